"""A serial line on a pseudo-terminal that serves a box."""

import contextlib
import logging
import os
import select
import threading
from collections.abc import Iterable

from mock_hw._scpi import InputClosed

from ._box import CHUNK, SEND_TIMEOUT, Box

log = logging.getLogger(__name__)


class SerialWire:
    """Serves a box on a pseudo-terminal, as a USB serial board would look; not on Windows.

    A serial line has no close: the one session lasts as long as the wire. An answer that nobody reads is
    dropped after `send_timeout` seconds without progress.
    """

    def __init__(self, box: Box, *, send_timeout: float = SEND_TIMEOUT) -> None:
        try:
            import pty
            import tty
        except ImportError:
            raise OSError("there are no pseudo-terminals on Windows; serve this box on TCP") from None
        self._send_timeout = send_timeout
        self._ours, self._theirs = pty.openpty()
        # The other end stays open here: without it a read fails whenever no host has the line open.
        tty.setraw(self._theirs)
        self.path = os.ttyname(self._theirs)
        os.set_blocking(self._ours, False)
        self._stop, self._stopper = os.pipe()
        self._session = box.open_session(None)
        self._thread = threading.Thread(target=self._serve, name=f"serial-{self.path}", daemon=True)
        self._thread.start()

    @property
    def resource(self) -> str:
        """The VISA resource string."""
        return f"ASRL{self.path}::INSTR"

    def close(self) -> None:
        """Close the line."""
        os.write(self._stopper, b"x")
        self._thread.join()
        self._session.close()
        for descriptor in (self._ours, self._theirs, self._stop, self._stopper):
            os.close(descriptor)

    def _serve(self) -> None:
        while True:
            readable, _, _ = select.select([self._ours, self._stop], [], [])
            if self._stop in readable:
                return
            try:
                for response in self._session.feed(os.read(self._ours, CHUNK)):
                    if not self._send(response):
                        break
            except InputClosed as reason:
                log.info("%s: %s", self.path, reason)
            except BlockingIOError:
                continue

    def _send(self, response: Iterable[bytes | memoryview | float]) -> bool:
        """False when the wire is being closed."""
        for piece in response:
            if isinstance(piece, float | int):
                if select.select([self._stop], [], [], piece)[0]:
                    return False
                continue
            view = memoryview(piece)
            while view:
                readable, writable, _ = select.select([self._stop], [self._ours], [], self._send_timeout)
                if readable:
                    return False
                if not writable:
                    log.warning("%s: nobody reads; %d bytes of an answer dropped", self.path, len(view))
                    return True
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(self._ours, view[:CHUNK]) :]
        return True
