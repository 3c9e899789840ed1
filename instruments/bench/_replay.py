"""A wire log played again: the boxes' side of it over sockets, or as a test in pymeasure's form (docs/wire-log.md)."""

import contextlib
import json
import os
import re
import socket
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from .._errors import BenchError
from ._wire_log import FORMAT

# Before a question its mark, which every program chooses for itself, and of a board what `*ESE` is to hold.
_MARK = re.compile(rb"\*ESE (\d+);\*ESE\?;")
_MARKS = re.compile(rb"(?:\*ESE \d+;\*ESE\?;)+(\*ESE \d+;)?")
_CLOSED = (ConnectionError, EOFError)


@dataclass(frozen=True)
class Piece:
    """What was sent at once: bytes, or where they are left out of the log how many and their CRC."""

    data: bytes
    left_out: tuple[int, str] | None = None


@dataclass
class Exchange:
    """What was sent to a box, and what came from it before anything else was sent; `line`: of the log."""

    line: int
    sent: Piece
    got: list[Piece] = field(default_factory=list)

    @property
    def answer(self) -> bytes:
        """All that came; raises BenchError where a piece is left out of the log."""
        if any(piece.left_out for piece in self.got):
            raise BenchError(
                f"the answer at line {self.line} of the log is left out of it, as it is long: nothing behind it can be "
                "played"
            )
        return b"".join(piece.data for piece in self.got)


class WireLogReplay:
    """What each box of a wire log was asked and answered; entered, it is served on free ports of this computer."""

    def __init__(self, exchanges: Mapping[str, Sequence[Exchange]], driver_of: Mapping[str, str]) -> None:
        self.exchanges, self._drivers = exchanges, driver_of
        self.resources: dict[str, str] = {}
        self._closing = contextlib.ExitStack()
        self._threads: list[threading.Thread] = []
        self._wrong: list[BenchError] = []

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a wire log; raises BenchError where it is none."""
        try:
            lines = Path(path).read_bytes().splitlines(keepends=True)
        except OSError as error:
            raise BenchError(f"cannot read the wire log {path}: {error.strerror or error}") from error
        exchanges: dict[str, list[Exchange]] = {}
        driver_of: dict[str, str] = {}
        try:
            if json.loads(lines[0])["format"] != FORMAT:
                raise ValueError
            for number, line in enumerate(lines[1:], 2):
                if line.endswith(
                    b"\n"
                ):  # a program that was killed, or a disk that was full, leaves half a line
                    _enter(json.loads(line), number, exchanges, driver_of)
        except (ValueError, LookupError, TypeError, AttributeError):
            raise BenchError(f"{path} is no wire log of this version: name a file of --wire-log") from None
        return cls(exchanges, driver_of)

    def __enter__(self) -> Self:
        for name, exchanges in self.exchanges.items():
            server = self._closing.enter_context(socket.create_server(("127.0.0.1", 0)))
            self.resources[name] = f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET"
            thread = threading.Thread(target=self._serve, args=(name, server, exchanges), daemon=True)
            thread.start()
            self._threads.append(thread)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def wait(self) -> None:
        """Wait until all was played and every client has closed; raises BenchError where something else was said."""
        for thread in self._threads:
            while thread.is_alive() and not self._wrong:
                thread.join(0.2)
        if self._wrong:
            raise self._wrong[0]

    def expected_protocol(self, name: str) -> str:
        """Give a test of the box's driver in pymeasure's form, marks of questions left out.

        Raises BenchError where the log has no such box.
        """
        if name not in self.exchanges:
            raise BenchError(f"the log has no box {name!r}: it has {', '.join(self.exchanges) or 'none'}")
        module, _, driver = self._drivers[name].rpartition(".")
        pairs, end = [], ""
        for exchange in self.exchanges[name]:
            try:
                sent, answer = _unmarked(exchange.sent, exchange.answer)
            except BenchError as error:
                end = f"        # {error}\n"
                break
            pairs.append(f"        ({sent!r}, {answer or None!r}),\n")
        return (
            f"from {module or 'drivers'} import {driver}\nfrom pymeasure.test import expected_protocol\n\n"
            f"with expected_protocol(\n    {driver},\n    [\n{''.join(pairs)}{end}    ],\n) as instrument:\n    ...\n"
        )

    def _serve(self, name: str, server: socket.socket, exchanges: Sequence[Exchange]) -> None:
        left = list(exchanges)
        try:
            while left:
                client = server.accept()[0]
                with client, client.makefile("rb") as lines, contextlib.suppress(*_CLOSED):
                    while left:
                        _play(client, lines, left)
                    if more := lines.readline():
                        raise BenchError(f"{more!r} came, and nothing more is in the log")
        except BenchError as error:
            self._wrong.append(BenchError(f"the box {name!r}: {error}"))
        except OSError:
            return  # the server is closed


def _play(client: socket.socket, lines: Any, left: list[Exchange]) -> None:
    """Take what the next exchange of `left` expects, and answer; raises EOFError where the client has closed."""
    exchange = left[0]
    if exchange.sent.left_out is not None:
        size, crc = exchange.sent.left_out
        said = lines.read(size)
        same = len(said) == size and f"{zlib.crc32(said):08x}" == crc
    else:
        wanted = exchange.sent.data.rstrip(b"\r\n")
        said = b"".join(lines.readline() for _ in range(wanted.count(b"\n") + 1))
        same = _MARK.sub(b"", said).rstrip(b"\r\n") == _MARK.sub(b"", wanted)
    if not said:
        raise EOFError
    if not same:
        raise BenchError(
            f"{said[:100]!r} came where line {exchange.line} of the log has {exchange.sent.data[:100]!r}"
        )
    answer = exchange.answer
    del left[0]
    if answer:
        then, now = (b";".join(_MARK.findall(each)) for each in (exchange.sent.data, said))
        answer = answer.replace(then, now, 1) if then else answer
        client.sendall(answer if answer.endswith(b"\n") else answer + b"\n")


def _enter(
    values: dict[str, Any], line: int, exchanges: dict[str, list[Exchange]], driver_of: dict[str, str]
) -> None:
    name, what = values["box"], values["what"]
    of_box = exchanges.setdefault(name, [])
    if what == "opened":
        driver_of[name] = values["driver"]

    elif what in ("sent", "got"):
        if "data" in values:
            piece = Piece(values["data"].encode("latin-1"))
        else:
            piece = Piece(values["begins"].encode("latin-1"), (int(values["bytes"]), str(values["crc32"])))
        if what == "sent":
            of_box.append(Exchange(line, piece))
        elif of_box:
            of_box[-1].got.append(piece)


def _unmarked(sent: Piece, answer: bytes) -> tuple[bytes, bytes]:
    """Give a question and its answer without marks and without what ends a line."""
    if sent.left_out is not None:
        raise BenchError("what was sent next is left out of the log, as it is long")
    line, said = sent.data.rstrip(b"\r\n"), answer.rstrip(b"\r\n")
    marked = _MARKS.search(line)
    if marked is None:
        return line, said
    marks = b";".join(_MARK.findall(marked[0])) + b";"
    line, said = line[marked.end() :], said.splitlines()[-1].removeprefix(marks) if said else b""
    if marked[1] and line.endswith(b";*ESE?"):
        line, said = line.removesuffix(b";*ESE?"), said.rpartition(b";")[0]
    return line, said
