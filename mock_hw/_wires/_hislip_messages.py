"""Messages of HiSLIP (IVI-6.1): their header, and a channel that carries them within bounded memory."""

import enum
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ._box import CHUNK
from ._port import has_left, send_all

LARGEST = 1 << 20  # bytes of a message with its header that a client may send
HEADER = struct.Struct("!2sBBIQ")
SMALLEST = HEADER.size + 1  # bytes of a message that can carry anything


class Kind(enum.IntEnum):
    """Types of messages; what encrypted and authenticated connections have beside them is not offered."""

    INITIALIZE = 0
    INITIALIZE_RESPONSE = 1
    FATAL_ERROR = 2
    ERROR = 3
    ASYNC_LOCK = 4
    ASYNC_LOCK_RESPONSE = 5
    DATA = 6
    DATA_END = 7
    DEVICE_CLEAR_COMPLETE = 8
    DEVICE_CLEAR_ACKNOWLEDGE = 9
    ASYNC_REMOTE_LOCAL_CONTROL = 10
    ASYNC_REMOTE_LOCAL_RESPONSE = 11
    TRIGGER = 12
    INTERRUPTED = 13
    ASYNC_INTERRUPTED = 14
    ASYNC_MAXIMUM_MESSAGE_SIZE = 15
    ASYNC_MAXIMUM_MESSAGE_SIZE_RESPONSE = 16
    ASYNC_INITIALIZE = 17
    ASYNC_INITIALIZE_RESPONSE = 18
    ASYNC_DEVICE_CLEAR = 19
    ASYNC_STATUS_QUERY = 21
    ASYNC_STATUS_RESPONSE = 22
    ASYNC_DEVICE_CLEAR_ACKNOWLEDGE = 23
    ASYNC_LOCK_INFO = 24
    ASYNC_LOCK_INFO_RESPONSE = 25


class Fatal(enum.IntEnum):
    """Codes of FatalError, after which the connection is closed."""

    UNIDENTIFIED = 0
    HEADER = 1
    ONE_CHANNEL = 2
    INITIALIZATION = 3
    TOO_MANY = 4


class Mistake(enum.IntEnum):
    """Codes of Error, after which the connection goes on."""

    UNIDENTIFIED = 0
    KIND = 1
    CONTROL = 2
    TOO_LARGE = 4


class Refused(Exception):
    """What a client did ends its connection: FatalError with `code` and text."""

    def __init__(self, code: Fatal, text: str) -> None:
        super().__init__(text)
        self.code = code


class Closed(Exception):
    """The other end has closed the channel."""


@dataclass(frozen=True)
class Header:
    """Header of a message: its type (`Kind`, or a number that is none), control code, parameter, bytes that follow."""

    kind: int
    control: int
    parameter: int
    length: int


class Channel:
    """One of the two connections of a client; any thread may send, one receives.

    `send_timeout`: seconds without progress after which a client that does not read is given up (TimeoutError).
    """

    def __init__(self, connection: socket.socket, send_timeout: float) -> None:
        self.socket = connection
        self._sending = threading.Lock()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(send_timeout)

    def header(self, *, patient: Callable[[], bool] = lambda: True) -> Header:
        """The next header; raises Closed, Refused where it is none, TimeoutError once the client is not waited for."""
        data = bytearray()
        while len(data) < HEADER.size:
            data += self._receive(HEADER.size - len(data), patient)
        prologue, *fields = HEADER.unpack(data)
        if prologue != b"HS":
            raise Refused(Fatal.HEADER, "a message begins with HS")
        return Header(*fields)

    def payload(self, header: Header) -> Iterator[bytes]:
        """What follows the header, in pieces; all of it has to be taken before the next header."""
        left = header.length
        while left:
            piece = self._receive(min(left, CHUNK))
            left -= len(piece)
            yield piece

    def text(self, header: Header, most: int) -> bytes:
        """What follows the header, at most so many bytes: Refused where it is more."""
        if header.length > most:
            raise Refused(Fatal.HEADER, f"at most {most} bytes belong to a message of type {header.kind}")
        return b"".join(self.payload(header))

    def skip(self, header: Header) -> None:
        """Throw away what follows the header."""
        for _ in self.payload(header):
            pass

    def ended(self) -> bool:
        """Whether the other end has closed the channel; see `has_left`."""
        return has_left(self.socket)

    def send(
        self, kind: Kind, control: int = 0, parameter: int = 0, payload: bytes | memoryview = b""
    ) -> None:
        """Send a message."""
        head = HEADER.pack(b"HS", kind, control, parameter, len(payload))
        with self._sending:
            if len(payload) <= CHUNK:
                send_all(self.socket, head + bytes(payload))
            else:
                send_all(self.socket, head)
                send_all(self.socket, payload)

    def complain(self, code: Mistake, text: str) -> None:
        """Send an Error."""
        self.send(Kind.ERROR, code, 0, text.encode())

    def give_up(self, reason: Refused) -> None:
        """Send a FatalError."""
        self.send(Kind.FATAL_ERROR, reason.code, 0, str(reason).encode())

    def refuse(self, header: Header, code: Mistake, text: str) -> None:
        """Send an Error instead of acting on a message, and throw away what follows its header."""
        self.complain(code, text)
        self.skip(header)

    def _receive(self, most: int, patient: Callable[[], bool] = lambda: True) -> bytes:
        while True:
            try:
                data = self.socket.recv(most)
            except TimeoutError:
                if not patient():
                    raise
                continue
            if not data:
                raise Closed("the client has closed it")
            return data
