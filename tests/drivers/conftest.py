"""Blocks as the page describes them, written here a third time so that the tests trust neither program."""

import contextlib
import re
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest


def build_payload(
    bits: np.ndarray,
    *,
    sequence: int = 0,
    valid: np.ndarray | None = None,
    flags: int = 0,
    failed: int = 0,
    generation: int = 0,
) -> bytes:
    """Build the payload of a block of bits, 0/1 of shape (pulses, cells)."""
    pulses, cells = bits.shape
    data = np.packbits(bits.ravel()).tobytes()
    if valid is not None:
        data += np.packbits(valid.ravel()).tobytes()
        flags |= 1
    head = b"MTJB" + struct.pack(
        "<HHQQIIdQIII", 1, 64, sequence, pulses * cells, cells, pulses, 1.5, failed, flags, 0, generation
    )
    return head + struct.pack("<I", zlib.crc32(head + data)) + data


def build_block(content: bytes) -> bytes:
    """Wrap content as an IEEE 488.2 definite-length block and its line feed."""
    length = str(len(content)).encode()
    return b"#" + str(len(length)).encode() + length + content + b"\n"


@pytest.fixture
def payload():
    return build_payload


@pytest.fixture
def block():
    return build_block


_MARK = re.compile(rb"\*ESE (\d+);\*ESE\?;\*ESE (\d+);\*ESE\?;\*ESE (\d+);(.*?)(;\*ESE\?)?")

Say = Callable[[bytes], bytes | None]


@pytest.fixture
def scripted() -> Iterator[Callable[[Say], str]]:
    """Serve a board of few words; gives its resource.

    `say` gets a question without its mark and returns the whole answer, to go behind the mark as it is (None: nothing
    is sent, not even the mark; empty: the board refuses, so that the mark comes alone; a text without its line feed
    comes without its end).
    """
    closing = contextlib.ExitStack()

    def serve(say: Say) -> str:
        server = closing.enter_context(socket.create_server(("127.0.0.1", 0)))
        wires: list[socket.socket] = []

        def answer(line: bytes) -> bytes:
            mark = _MARK.fullmatch(line)
            said = say(mark[4] if mark else line)
            if said is None:
                return b""
            if mark is None:
                return said
            if mark[5]:  # behind a text comes what `*ESE` holds
                end = b"" if said and not said.endswith(b"\n") else mark[3]
                said = b";".join(part for part in (said.rstrip(b"\n"), end) if part) + b"\n"
            return mark[1] + b";" + mark[2] + (b";" + said if said else b"\n")

        def talk() -> None:
            with contextlib.suppress(OSError):
                while True:
                    wires.append(server.accept()[0])
                    wires[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    with wires[-1] as wire, wire.makefile("rb") as lines:
                        for line in lines:
                            wire.sendall(answer(line.strip()))

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()

        def end() -> None:
            with contextlib.suppress(OSError):
                server.shutdown(socket.SHUT_RDWR)
            for wire in wires:
                with contextlib.suppress(OSError):
                    wire.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            assert not thread.is_alive()

        closing.callback(end)
        return f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET"

    with closing:
        yield serve
