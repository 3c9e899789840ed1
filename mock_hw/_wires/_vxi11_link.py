"""The core channel of one VXI-11 client: its links to a box, and the procedures that it calls on them."""

import enum
import math
import socket
import threading
from collections.abc import Callable
from typing import Protocol

from mock_hw._scpi import InputClosed

from ._box import CHUNK, Box
from ._exchange import Exchange
from ._locks import LockAnswer, Locks
from ._port import Port, has_left, shut
from ._rpc import Garbage, Procedure, Unpacker, numbers, opaque

MOST_RECEIVED = CHUNK  # bytes that a device_write may bring
_MOST_SENT = 1 << 20  # bytes that a device_read gives, however many are asked for
_NAMES = (b"", b"inst0")
_LONGEST_NAME = 256
_WAIT_FOR_LOCK, _END, _TERMINATED = 1, 8, 128  # flags
_COUNT, _CHARACTER, _ENDED = 1, 2, 4  # reasons
_FOREVER = 0xFFFF_FFFF  # ms


class Error(enum.IntEnum):
    """Codes of what went wrong with a call."""

    NONE = 0
    NOT_ACCESSIBLE = 3
    NO_LINK = 4
    PARAMETER = 5
    NO_CHANNEL = 6
    NOT_SUPPORTED = 8
    NO_RESOURCES = 9
    LOCKED = 11
    NOT_LOCKED = 12
    TIMEOUT = 15
    ABORTED = 23


class Failed(Exception):
    """A call has failed."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.name)
        self.error = error


class Register(Protocol):
    """Counts links and gives them numbers."""

    def enter(self, link: "Link") -> int | None:
        """Number of a new link, None where there are too many."""
        ...

    def leave(self, number: int) -> None:
        """A link is gone."""
        ...


class Link:
    """One link: the exchange behind it, and whether what it waits for was `aborted`."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.aborted = threading.Event()


class Core:
    """What a client may call. Its calls come one after the other; locks, messages and answers belong to its links.

    A call that waits ends with its time, an abort, or the client; that raises `InputClosed`.
    """

    def __init__(
        self, connection: socket.socket, box: Box, locks: Locks, port: Port, register: Register
    ) -> None:
        self._connection = connection
        self._box = box
        self._locks = locks
        self._port = port
        self._register = register
        self._links: dict[int, Link] = {}
        actions: dict[int, tuple[Callable[[Unpacker], bytes], int]] = {  # and numbers of an answer beside the error
            10: (self._create_link, 3),
            11: (self._write, 1),
            12: (self._read, 2),
            13: (self._tell_status, 1),
            14: (self._trigger, 0),
            15: (self._clear, 0),
            16: (self._take_turn, 0),  # remote and local: there is no front panel
            17: (self._take_turn, 0),
            18: (self._lock, 0),
            19: (self._unlock, 0),
            20: (_refuse, 0),  # enable_srq
            22: (_refuse, 1),  # docmd
            23: (self._destroy_link, 0),
            25: (_refuse, 0),  # create_intr_chan
            26: (_destroy_channel, 0),
        }  # fmt: skip
        self.procedures: dict[int, Procedure] = {
            number: _with_error(*action) for number, action in actions.items()
        }

    def close(self) -> None:
        """The client is gone, its links and locks with it."""
        for number in list(self._links):
            self._end(number)

    def _end(self, number: int) -> None:
        link = self._links.pop(number)
        self._locks.forget(link)
        self._register.leave(number)
        link.exchange.close()

    def _create_link(self, call: Unpacker) -> bytes:
        call.number()  # of the client, to itself
        lock, milliseconds, name = call.number(), call.number(), call.opaque(_LONGEST_NAME)
        if name.lower() not in _NAMES:
            raise Failed(Error.NOT_ACCESSIBLE)
        link = Link(Exchange(self._box, lambda: shut(self._connection)))
        number = self._register.enter(link)
        if number is None:
            link.exchange.close()
            raise Failed(Error.NO_RESOURCES)
        self._links[number] = link
        if lock:
            try:
                self._request(link, _seconds(milliseconds))
            except Failed:
                self._end(number)
                raise
        return numbers(number, self._port.port, MOST_RECEIVED)

    def _destroy_link(self, call: Unpacker) -> bytes:
        number = call.number()
        if number not in self._links:
            raise Failed(Error.NO_LINK)
        self._end(number)
        return b""

    def _write(self, call: Unpacker) -> bytes:
        link, timeout, lock_timeout, flags = self._link(call), call.number(), call.number(), call.number()
        try:
            data = call.opaque(MOST_RECEIVED)
        except Garbage:
            raise Failed(Error.PARAMETER) from None
        self._wait_for_turn(link, flags, lock_timeout)
        if not link.exchange.write(data, bool(flags & _END), _seconds(timeout), self._ends(link)):
            raise self._why(link, Error.TIMEOUT)
        return numbers(len(data))

    def _read(self, call: Unpacker) -> bytes:
        link, most, timeout, lock_timeout = self._link(call), call.number(), call.number(), call.number()
        flags, character = call.number(), call.number()
        self._wait_for_turn(link, flags, lock_timeout)
        if not most:
            return numbers(_COUNT) + opaque(b"")
        stop = bytes([character & 0xFF]) if flags & _TERMINATED else b""
        got = link.exchange.read(min(most, _MOST_SENT), stop, _seconds(timeout), self._ends(link))
        if got is None:
            raise self._why(link, Error.TIMEOUT)
        data, ended = got
        reason = (
            _COUNT * (len(data) == most) | _CHARACTER * (bool(stop) and data.endswith(stop)) | _ENDED * ended
        )
        return numbers(reason) + opaque(data)

    def _tell_status(self, call: Unpacker) -> bytes:
        return numbers(self._in_turn(call)[0].exchange.status_byte())

    def _trigger(self, call: Unpacker) -> bytes:
        link, timeout = self._in_turn(call)
        if not link.exchange.trigger(timeout, self._ends(link)):
            raise self._why(link, Error.TIMEOUT)
        return b""

    def _clear(self, call: Unpacker) -> bytes:
        self._in_turn(call)[0].exchange.clear()
        return b""

    def _take_turn(self, call: Unpacker) -> bytes:
        self._in_turn(call)
        return b""

    def _lock(self, call: Unpacker) -> bytes:
        link, flags, milliseconds = self._link(call), call.number(), call.number()
        self._request(link, _seconds(milliseconds) if flags & _WAIT_FOR_LOCK else 0.0)
        return b""

    def _unlock(self, call: Unpacker) -> bytes:
        if self._locks.release(self._link(call)) is LockAnswer.ERROR:
            raise Failed(Error.NOT_LOCKED)
        return b""

    # What they have in common

    def _link(self, call: Unpacker) -> Link:
        link = self._links.get(call.number())
        if link is None:
            raise Failed(Error.NO_LINK)
        link.aborted.clear()
        return link

    def _in_turn(self, call: Unpacker) -> tuple[Link, float]:
        """The link of a call with the parameters that most have, once no lock is in its way; and its time-out."""
        link, flags, lock_timeout, timeout = self._link(call), call.number(), call.number(), call.number()
        self._wait_for_turn(link, flags, lock_timeout)
        return link, _seconds(timeout)

    def _wait_for_turn(self, link: Link, flags: int, milliseconds: int) -> None:
        seconds = _seconds(milliseconds) if flags & _WAIT_FOR_LOCK else 0.0
        if not self._locks.wait_for_turn(link, self._ends(link), seconds):
            raise self._why(link, Error.LOCKED)

    def _request(self, link: Link, seconds: float) -> None:
        if self._locks.request(link, b"", seconds, self._ends(link)) is not LockAnswer.EXCLUSIVE:
            raise self._why(link, Error.LOCKED)

    def _ends(self, link: Link) -> Callable[[], bool]:
        return lambda: link.aborted.is_set() or self._is_gone()

    def _is_gone(self) -> bool:
        return self._port.closed.is_set() or has_left(self._connection)

    def _why(self, link: Link, otherwise: Error) -> Exception:
        """Why a call did not get what it waited for."""
        if link.aborted.is_set():
            return Failed(Error.ABORTED)
        return InputClosed("the client is gone") if self._is_gone() else Failed(otherwise)


def _with_error(action: Callable[[Unpacker], bytes], others: int) -> Procedure:
    """A procedure whose answer begins with an error, and is all zeros behind one."""

    def procedure(call: Unpacker) -> bytes:
        try:
            return numbers(Error.NONE) + action(call)
        except Failed as failed:
            return numbers(failed.error, *[0] * others)

    return procedure


def _refuse(call: Unpacker) -> bytes:
    raise Failed(Error.NOT_SUPPORTED)


def _destroy_channel(call: Unpacker) -> bytes:
    raise Failed(Error.NO_CHANNEL)


def _seconds(milliseconds: int) -> float:
    return math.inf if milliseconds == _FOREVER else milliseconds / 1000
