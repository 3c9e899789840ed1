"""The exchange of messages that VXI-11 and GPIB ask for: a box acts when it is told to, its answer waits to be read."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from mock_hw._scpi import InputClosed

from ._box import CHUNK, Box, Response, lines

log = logging.getLogger(__name__)

_LOOK = 0.1  # s after which a host that waits is looked at: is it still there?
_OVERHEAD = 64  # bytes that a message counts beside its own


@dataclass(frozen=True)
class _Message:
    """Bytes for the box, and whether the message ends with them; or a trigger, or a device clear."""

    data: bytes = b""
    end: bool = False
    trigger: bool = False
    clear: bool = False

    @property
    def says_something(self) -> bool:
        """Whether it ends the time to read the last answer."""
        return self.trigger or bool(self.data.strip())


class Exchange:
    """One session of a box, with messages that wait for it and an answer that waits for the host.

    A thread acts on the messages in turn. A message that comes before the last answer was read to its end drops that
    (−410), and who reads while there is none to come is an error, too (−420). `hang_up` ends the connection, None where
    the wire has none to end; then the session lasts until `close`. Raises `InputClosed` where the box takes no
    connection.
    """

    def __init__(self, box: Box, hang_up: Callable[[], None] | None) -> None:
        self._session = box.open_session(hang_up)
        self._hang_up = hang_up
        self._changed = threading.Condition()
        self._waiting: deque[_Message] = deque()
        self._size = 0  # of what waits
        self._acting = False
        self._turn = 0  # one more with each device clear
        self._answer = bytearray()
        self._more = False  # of the answer is to come
        self._held = False  # what comes next may interrupt it
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="exchange", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the session once the line that is acted on is through."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    # For the host

    def write(self, data: bytes, end: bool, seconds: float, gone: Callable[[], bool]) -> bool:
        """Have the box act on bytes; False where it had no room for them in time, or the host is `gone` meanwhile."""
        return self._add(_Message(data, end), seconds, gone)

    def trigger(self, seconds: float, gone: Callable[[], bool]) -> bool:
        """Trigger the box behind all that was written; False as for `write`."""
        return self._add(_Message(trigger=True), seconds, gone)

    def read(
        self, most: int, stop: bytes, seconds: float, gone: Callable[[], bool]
    ) -> tuple[bytes, bool] | None:
        """Up to `most` bytes of the answer, to `stop` where it has that, and whether it ends there; None: none in time.

        What is there is given at once, but the last byte only when it is known to be the last.
        """
        ends = time.monotonic() + seconds
        with self._changed:
            self._wait(lambda: self._ready > 0 or self._is_idle, seconds, gone)
            nothing = self._is_idle
        if nothing:
            self._session.unterminated()
        with self._changed:
            if not self._wait(lambda: self._ready > 0, ends - time.monotonic(), gone):
                return None
            count = min(most, self._ready)
            found = self._answer.find(stop, 0, count) if stop else -1
            count = count if found < 0 else found + 1
            data = bytes(self._answer[:count])
            del self._answer[:count]
            return data, not self._answer and not self._more

    def clear(self) -> None:
        """Device clear: forget messages and answers, now, and what the box has begun when it has come so far."""
        with self._changed:
            self._turn += 1
            self._waiting.clear()
            self._waiting.append(_Message(clear=True))
            self._size, self._more = 0, False
            self._answer.clear()
            self._changed.notify_all()

    def status_byte(self) -> int:
        """The status byte, as a serial poll reads it."""
        with self._changed:
            available = self._ready > 0
        return self._session.status_byte(available)

    def _add(self, message: _Message, seconds: float, gone: Callable[[], bool]) -> bool:
        with self._changed:
            if not self._wait(lambda: self._size < CHUNK, seconds, gone):
                return False
            self._waiting.append(message)
            self._size += len(message.data) + _OVERHEAD
            self._changed.notify_all()
        return True

    @property
    def _ready(self) -> int:
        if self._waiting or self._held:
            return 0
        return len(self._answer) - (1 if self._more else 0)

    @property
    def _is_idle(self) -> bool:
        return not (self._answer or self._more or self._waiting or self._acting)

    def _wait(self, ready: Callable[[], bool], seconds: float, gone: Callable[[], bool]) -> bool:
        ends = time.monotonic() + seconds
        while not ready():
            left = ends - time.monotonic()
            if left <= 0 or gone():
                return False
            self._changed.wait(min(left, _LOOK))
        return True

    # For the box

    def _run(self) -> None:
        try:
            while (taken := self._take()) is not None:
                try:
                    self._act(*taken)
                except InputClosed as reason:
                    log.info("input closed: %s", reason)
                    if self._hang_up is not None:
                        return
        finally:
            if self._hang_up is not None and not self._closed:
                self._hang_up()
            self._session.close()

    def _take(self) -> tuple[_Message, int] | None:
        with self._changed:
            self._acting = self._held = False
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            message = self._waiting.popleft()
            self._size -= 0 if message.clear else len(message.data) + _OVERHEAD
            self._acting, self._held = True, message.says_something
            self._changed.notify_all()
            return message, self._turn

    def _act(self, message: _Message, turn: int) -> None:
        if message.clear:
            self._session.clear()
            return
        pieces = list(_pieces(message))
        last = max((n for n, (piece, _) in enumerate(pieces) if piece.strip() or message.trigger), default=-1)
        for number, (piece, end) in enumerate(pieces):
            if self._is_over(turn):
                return
            if number <= last:
                self._drop_unread(held=number < last)
            acting = self._session.trigger() if message.trigger else self._session.feed(piece, end=end)
            for answer in acting:
                self._put(answer, turn)
            with self._changed:  # not before: it may be cut
                self._more = False
                self._changed.notify_all()

    def _is_over(self, turn: int) -> bool:
        with self._changed:
            return self._turn != turn or self._closed

    def _drop_unread(self, *, held: bool) -> None:
        """Drop an answer that was not read to its end, where there is one; `held`: the next is dropped, too."""
        with self._changed:
            unread = bool(self._answer) or self._more
            self._answer.clear()
            self._more, self._held = False, held
        if unread:
            self._session.interrupt()

    def _put(self, answer: Response, turn: int) -> None:
        """Lay out an answer, to be read as far as it has come."""
        with self._changed:
            self._more = self._turn == turn
        for piece in answer:
            with self._changed:
                if isinstance(piece, float | int):
                    self._wait(lambda: self._turn != turn or self._closed, piece, lambda: False)
                if self._turn != turn or self._closed:
                    return
                if not isinstance(piece, float | int):
                    self._answer += piece
                self._changed.notify_all()


def _pieces(message: _Message) -> Iterator[tuple[bytes, bool]]:
    for line in lines(message.data):
        yield line, False
    if message.end or message.trigger:
        yield b"", message.end
