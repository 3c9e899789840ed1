"""Blocks as the page describes them, written here a third time so that the tests trust neither program."""

import contextlib
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from mock_hw.testing import Say, canned_board


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


@pytest.fixture
def scripted() -> Iterator[Callable[[Say], str]]:
    """Serve canned boards until the end of the test; gives their resources."""
    with contextlib.ExitStack() as closing:
        yield lambda say: closing.enter_context(canned_board(say))
