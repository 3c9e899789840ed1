"""What a wire needs of a box, and of a connection to it; a wire knows nothing of SCPI."""

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

CHUNK = 64 * 1024
SEND_TIMEOUT = 10.0  # s without any progress

Response = Iterable[bytes | memoryview | float]
"""Pieces of bytes to send in order; a number among them is a pause in seconds."""


class Session(Protocol):
    """One connection to a box. Whatever acts raises `InputClosed` when the connection should end."""

    def feed(self, data: bytes | memoryview, *, end: bool = False) -> Iterator[Response]:
        """Act on received bytes and yield the responses; `end`: the wire says that the message ends with them."""
        ...

    def trigger(self) -> Iterator[Response]:
        """Act as on `*TRG`, where the box has it, and yield the responses."""
        ...

    def interrupt(self) -> None:
        """A message came before the last answer was read: that answer is dropped, and this an error."""
        ...

    def unterminated(self) -> None:
        """The host wants an answer where there is none to come, which is an error."""
        ...

    def clear(self) -> None:
        """Forget the message that was begun (device clear); status and settings stay."""
        ...

    def status_byte(self, available: bool) -> int:
        """The status byte, as a serial poll reads it; `available`: an answer waits."""
        ...

    def close(self) -> None:
        """The connection has ended."""
        ...


class Box(Protocol):
    """What a wire needs of a box."""

    def open_session(self, hang_up: Callable[[], None] | None) -> Session:
        """A session for a new connection; the box calls `hang_up` to end it (None: the wire has no close).

        Raises `InputClosed` where it takes no connection.
        """
        ...


def lines(data: bytes) -> Iterator[bytes]:
    """Bytes cut behind line feeds."""
    start = 0
    while end := data.find(b"\n", start) + 1:
        yield data[start:end]
        start = end
    if start < len(data):
        yield data[start:]
