"""ONC RPC version 2 over TCP (RFC 5531), as far as a server of VXI-11 needs it, within bounded memory."""

import enum
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass

from ._box import CHUNK
from ._port import send_all

LARGEST = CHUNK + 2048  # bytes of a record that a client may send: so many of data, with its headers
_VERSION = 2
_CALL, _REPLY = 0, 1
_ACCEPTED, _DENIED = 0, 1
_LAST = 1 << 31
_LONGEST_CREDENTIALS = 400


class Accept(enum.IntEnum):
    """What becomes of a call that is accepted."""

    SUCCESS = 0
    NO_PROGRAM = 1
    NO_VERSION = 2
    NO_PROCEDURE = 3
    GARBAGE = 4


class Garbage(Exception):
    """What was sent is not what it should be."""


class Unpacker:
    """Takes numbers and bytes from what was packed by XDR (RFC 4506); raises `Garbage` where they are not there."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self) -> int:
        """The next unsigned number."""
        return int.from_bytes(self._take(4))

    def opaque(self, most: int) -> bytes:
        """The next bytes, of a length that is told, at most so many."""
        length = self.number()
        if length > most:
            raise Garbage(f"at most {most} bytes belong there")
        data = self._take(length)
        self._take(-length % 4)
        return data

    def _take(self, count: int) -> bytes:
        data = self._data[self._at : self._at + count]
        if len(data) < count:
            raise Garbage("the call is cut off")
        self._at += count
        return data


def numbers(*values: int) -> bytes:
    """Unsigned numbers, packed."""
    return struct.pack(f"!{len(values)}I", *values)


def opaque(data: bytes) -> bytes:
    """Bytes with their length, packed."""
    return numbers(len(data)) + data + bytes(-len(data) % 4)


Procedure = Callable[[Unpacker], bytes]


@dataclass(frozen=True)
class Program:
    """What a program of one version offers: procedures by their numbers. Each has number 0, which does nothing."""

    version: int
    procedures: dict[int, Procedure]


def answer(record: bytes, programs: dict[int, Program]) -> bytes | None:
    """The reply to a call, None where the record is no call; raises what the procedure does."""
    call = Unpacker(record)
    try:
        number = call.number()
        if call.number() != _CALL:
            return None
        if call.number() != _VERSION:
            return numbers(number, _REPLY, _DENIED, 0, _VERSION, _VERSION)
        head = numbers(number, _REPLY, _ACCEPTED, 0, 0)
        program, version, procedure = (call.number() for _ in range(3))
        for _ in range(2):  # credentials and verifier
            call.number()
            call.opaque(_LONGEST_CREDENTIALS)
    except Garbage:
        return None
    known = programs.get(program)
    if known is None:
        return head + numbers(Accept.NO_PROGRAM)
    if version != known.version:
        return head + numbers(Accept.NO_VERSION, known.version, known.version)
    if procedure and procedure not in known.procedures:
        return head + numbers(Accept.NO_PROCEDURE)
    try:
        result = known.procedures[procedure](call) if procedure else b""
    except Garbage:
        return head + numbers(Accept.GARBAGE)
    return head + numbers(Accept.SUCCESS) + result


def receive(connection: socket.socket) -> bytes | None:
    """The next record; None where the other end has closed, or what it sends is larger than any call."""
    record, last = bytearray(), False
    while not last:
        mark = _exactly(connection, 4)
        if mark is None:
            return None
        length = int.from_bytes(mark)
        last, length = length >= _LAST, length % _LAST
        if len(record) + length > LARGEST:
            return None
        fragment = _exactly(connection, length)
        if fragment is None:
            return None
        record += fragment
    return bytes(record)


def send(connection: socket.socket, record: bytes) -> None:
    """Send a record, in one fragment."""
    send_all(connection, numbers(_LAST | len(record)) + record)


def _exactly(connection: socket.socket, count: int) -> bytes | None:
    data = bytearray()
    while len(data) < count:
        try:
            part = connection.recv(min(CHUNK, count - len(data)))
        except TimeoutError:
            continue
        if not part:
            return None
        data += part
    return bytes(data)
