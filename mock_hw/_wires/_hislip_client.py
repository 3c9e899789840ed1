"""One HiSLIP client: its two channels, the answer that it has not read yet, and the session of the box behind them."""

import logging
import struct
import threading
import time
from collections.abc import Callable, Iterator

from mock_hw._scpi import InputClosed

from ._box import Box, Response, lines
from ._hislip_messages import (
    HEADER,
    LARGEST,
    SMALLEST,
    Channel,
    Closed,
    Fatal,
    Header,
    Kind,
    Mistake,
    Refused,
)
from ._locks import Locks
from ._port import shut

log = logging.getLogger(__name__)

_DELIVERED = 1  # control code: the client has read the end of the last answer
_LONGEST_TEXT = 256
_LOCAL_CONTROLS = 7
_SETTLE = 1.0  # s that the release of a lock waits for messages sent before it
_RECENT = 1 << 12  # message numbers that may be under way
_BEFORE_FIRST = 0xFFFF_FF00 - 2
_ALL = 0xFFFF_FFFF


class Client:
    """One client of a box. A thread serves its synchronous channel, another the asynchronous one.

    An answer is `_unread` from when it is sent until the client says that it has read its end; another message
    before that interrupts it. `_clearing`: what comes on the synchronous channel is thrown away until the client says
    that its device clear is complete. Raises `InputClosed` where the box takes no connection.
    """

    def __init__(self, sync: Channel, box: Box, locks: Locks, stopping: threading.Event) -> None:
        self._sync = sync
        self._async: Channel | None = None
        self._locks = locks
        self._stopping = stopping
        self._gone = threading.Event()
        self._clearing = threading.Event()
        self._joining = threading.Lock()
        self._unread = False
        self._number = 0  # of the message that is acted on, or was last
        self._done = _BEFORE_FIRST
        self._size = LARGEST  # of the messages that the client takes
        self._session = box.open_session(self._hang_up)

    def join(self, channel: Channel) -> bool:
        """Take the asynchronous channel; False where there is one already."""
        with self._joining:
            if self._async is not None or self._gone.is_set():
                return False
            self._async = channel
            return True

    def leave(self) -> None:
        """One channel has ended, so the other does, too."""
        self._gone.set()
        self._hang_up()

    def close(self) -> None:
        """The client is gone, its locks and its session with it."""
        self.leave()
        self._locks.forget(self)
        self._session.close()

    def _hang_up(self) -> None:
        with self._joining:
            channels = (self._sync, self._async)
        for channel in channels:
            if channel is not None:
                shut(channel.socket)

    # The synchronous channel

    def serve_sync(self) -> None:
        """Act on messages until the client is gone, or does not open its other channel in time."""
        while True:
            try:
                header = self._sync.header(patient=lambda: self._async is not None)
            except TimeoutError:
                raise Refused(Fatal.ONE_CHANNEL, "the other channel was not opened in time") from None
            if self._async is None:
                raise Refused(Fatal.ONE_CHANNEL, "open both channels before anything else is sent")
            self._take(header)

    def _take(self, header: Header) -> None:
        if header.kind == Kind.DEVICE_CLEAR_COMPLETE:
            self._sync.skip(header)
            self._session.clear()
            self._unread, self._done = False, _BEFORE_FIRST
            self._clearing.clear()
            self._sync.send(Kind.DEVICE_CLEAR_ACKNOWLEDGE)
        elif header.kind in (Kind.ERROR, Kind.FATAL_ERROR):
            _hear(self._sync, header)
        elif self._clearing.is_set():
            self._sync.skip(header)
        elif header.kind not in (Kind.DATA, Kind.DATA_END, Kind.TRIGGER):
            self._sync.refuse(header, Mistake.KIND, "no message of this type belongs on this channel")
        else:
            self._take_message(header)

    def _take_message(self, header: Header) -> None:
        if header.control & _DELIVERED:
            self._unread = False
        if header.length > LARGEST:
            self._sync.refuse(header, Mistake.TOO_LARGE, f"a message has at most {LARGEST} bytes")
        elif self._may_act():
            self._act(header)
        else:
            self._sync.skip(header)

    def _may_act(self) -> bool:
        """Wait for a lock that others hold; False where a device clear came meanwhile."""
        if self._locks.wait_for_turn(self, lambda: self._clearing.is_set() or self._has_left(self._sync)):
            return True
        if self._clearing.is_set():
            return False
        raise Closed("gone while it waited for a lock")

    def _has_left(self, channel: Channel) -> bool:
        return self._gone.is_set() or channel.ended()

    def _act(self, header: Header) -> None:
        self._number = header.parameter
        answer: Response | None = None
        try:
            for each in self._answers(header):
                answer = each
                if self._clearing.is_set():
                    return
        except InputClosed:
            if answer is not None:
                self._send(answer, whole=False)
            raise
        if answer is not None:
            self._send(answer)
        self._done = header.parameter

    def _answers(self, header: Header) -> Iterator[Response | None]:
        """Act on a message, and give its answer; None for one that was interrupted by what followed in the message.

        That one has not left yet, so that the client has nothing to be told.
        """
        pending = False
        for piece, end in self._pieces(header):
            if piece.strip() or header.kind == Kind.TRIGGER:
                if pending:
                    self._session.interrupt()
                    pending = False
                    yield None
                self._interrupt()
            acting = (
                self._session.trigger() if header.kind == Kind.TRIGGER else self._session.feed(piece, end=end)
            )
            for answer in acting:
                pending = True
                yield answer

    def _pieces(self, header: Header) -> Iterator[tuple[bytes, bool]]:
        """What follows the header, cut behind line feeds, and whether the message ends there; a whole one does."""
        if header.kind == Kind.TRIGGER:
            self._sync.skip(header)
            yield b"", True
            return
        for piece in self._sync.payload(header):
            if self._clearing.is_set():
                continue  # nothing more of it is acted on
            for line in lines(piece):
                yield line, False
        if header.kind == Kind.DATA_END:
            yield b"", True

    def _interrupt(self) -> None:
        """Drop an answer that was sent and not read, where there is one."""
        if not self._unread or self._async is None:
            return
        self._unread = False
        self._session.interrupt()
        self._async.send(Kind.ASYNC_INTERRUPTED, 0, self._number)
        self._sync.send(Kind.INTERRUPTED, 0, self._number)

    def _send(self, answer: Response, *, whole: bool = True) -> None:
        """Send an answer in messages that the client can take, or only begin it where it is not `whole`."""
        most = self._size - HEADER.size
        held: memoryview | None = None  # the last one carries the end
        for piece in answer:
            if isinstance(piece, float | int):
                if self._stopping.wait(piece):
                    raise Closed("the lab is closing")
                continue
            view = memoryview(piece)
            for start in range(0, len(view), most):
                if self._clearing.is_set():
                    return
                if held is not None:
                    self._unread = True
                    self._sync.send(Kind.DATA, 0, self._number, held)
                held = view[start : start + most]
        if held is not None:
            self._unread = True
            self._sync.send(Kind.DATA_END if whole else Kind.DATA, 0, self._number, held)

    # The asynchronous channel

    def serve_async(self, channel: Channel) -> None:
        """Answer until the client is gone."""
        actions: dict[int, Callable[[Channel, Header], None]] = {
            Kind.ASYNC_MAXIMUM_MESSAGE_SIZE: self._agree_on_size,
            Kind.ASYNC_LOCK: self._lock,
            Kind.ASYNC_LOCK_INFO: self._tell_locks,
            Kind.ASYNC_STATUS_QUERY: self._tell_status,
            Kind.ASYNC_DEVICE_CLEAR: self._begin_clear,
            Kind.ASYNC_REMOTE_LOCAL_CONTROL: self._go_local,
            Kind.ERROR: _hear,
            Kind.FATAL_ERROR: _hear,
        }
        while True:
            header = channel.header()
            action = actions.get(header.kind)
            if action is None:
                channel.refuse(header, Mistake.KIND, "no message of this type belongs on this channel")
            else:
                action(channel, header)

    def _agree_on_size(self, channel: Channel, header: Header) -> None:
        if header.length != 8:
            channel.refuse(header, Mistake.UNIDENTIFIED, "a size has 8 bytes")
            return
        (size,) = struct.unpack("!Q", channel.text(header, 8))
        self._size = max(SMALLEST, size)
        channel.send(Kind.ASYNC_MAXIMUM_MESSAGE_SIZE_RESPONSE, 0, 0, struct.pack("!Q", LARGEST))

    def _lock(self, channel: Channel, header: Header) -> None:
        key = channel.text(header, _LONGEST_TEXT)
        if header.control == 1:
            answer = self._locks.request(self, key, header.parameter / 1000, lambda: self._has_left(channel))
        elif header.control == 0:
            self._settle(header.parameter)
            answer = self._locks.release(self)
        else:
            channel.complain(Mistake.CONTROL, "a lock is requested by 1 and released by 0")
            return
        channel.send(Kind.ASYNC_LOCK_RESPONSE, answer)

    def _settle(self, number: int) -> None:
        """Wait until the message of this number (0: none) has been acted on, where it was sent a moment ago."""
        ends = time.monotonic() + _SETTLE
        while number and 0 < (number - self._done & _ALL) < _RECENT and time.monotonic() < ends:
            if self._gone.wait(0.001):
                return

    def _tell_locks(self, channel: Channel, header: Header) -> None:
        channel.skip(header)
        exclusive, holders = self._locks.info()
        channel.send(Kind.ASYNC_LOCK_INFO_RESPONSE, int(exclusive), holders)

    def _tell_status(self, channel: Channel, header: Header) -> None:
        channel.skip(header)
        if header.control & _DELIVERED:
            self._unread = False
        channel.send(Kind.ASYNC_STATUS_RESPONSE, self._session.status_byte(self._unread))

    def _begin_clear(self, channel: Channel, header: Header) -> None:
        channel.skip(header)
        self._clearing.set()
        channel.send(Kind.ASYNC_DEVICE_CLEAR_ACKNOWLEDGE)

    def _go_local(self, channel: Channel, header: Header) -> None:
        channel.skip(header)
        if header.control < _LOCAL_CONTROLS:
            channel.send(Kind.ASYNC_REMOTE_LOCAL_RESPONSE)
        else:
            channel.complain(Mistake.CONTROL, "remote and local are controlled by 0 to 6")


def _hear(channel: Channel, header: Header) -> None:
    """Take an error that the client tells; a fatal one ends the connection."""
    text = channel.text(header, _LONGEST_TEXT).decode("ascii", "replace")
    log.info("the client says: error %d %s", header.control, text)
    if header.kind == Kind.FATAL_ERROR:
        raise Closed("the client has given up")
