"""Wires that serve a box: a TCP socket and a serial line on a pseudo-terminal. They know nothing of SCPI.

A box offers `open_session(hang_up)`; a session takes received bytes by `feed`, which yields responses
(pieces of bytes to send in order, a number among them being a pause in seconds) and raises `InputClosed` when
the connection should end, and is told of its end by `close`.
"""

import contextlib
import logging
import os
import select
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from mock_hw._scpi import InputClosed

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
SEND_TIMEOUT = 10.0
_CHUNK = 64 * 1024
_AHEAD = 4 << 20  # bytes that the system may hold for a client: some blocks, which it then takes at once


class Session(Protocol):
    """One connection to a box."""

    def feed(self, data: bytes | memoryview) -> Iterator[Iterable[bytes | memoryview | float]]:
        """Act on received bytes and yield the responses."""
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


class TcpWire:
    """Serves a box on a TCP port (0: a free one), up to `MAX_CONNECTIONS` connections, each in a thread."""

    def __init__(
        self, box: Box, *, host: str = "127.0.0.1", port: int = 0, send_timeout: float = SEND_TIMEOUT
    ) -> None:
        self._box = box
        self._send_timeout = send_timeout
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._listener = socket.create_server((host, port), backlog=128)
        self.host, self.port = self._listener.getsockname()[:2]
        self._acceptor = threading.Thread(target=self._accept, name=f"tcp-{self.port}", daemon=True)
        self._acceptor.start()

    @property
    def resource(self) -> str:
        """The VISA resource string."""
        return f"TCPIP::{self.host}::{self.port}::SOCKET"

    def close(self) -> None:
        """Close the port and every connection."""
        with self._lock:
            self._closed.set()
            threads = list(self._connections.values())
            for connection in self._connections:
                _shut(connection)
        # A connection to ourselves wakes the acceptor on every platform; closing the listener does not.
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=1):
            pass
        self._acceptor.join()
        self._listener.close()
        for thread in threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                connection, peer = self._listener.accept()
            except OSError:
                # Out of file descriptors, or a connection that was reset before it was accepted.
                if self._closed.is_set():
                    return
                time.sleep(0.05)
                continue
            with self._lock:
                if self._closed.is_set():
                    connection.close()
                    return
                if len(self._connections) >= MAX_CONNECTIONS:
                    log.warning("connection from %s refused: %d are open", peer, MAX_CONNECTIONS)
                    connection.close()
                    continue
                thread = threading.Thread(
                    target=self._serve, args=(connection,), name=f"tcp-{self.port}-{peer[1]}", daemon=True
                )
                self._connections[connection] = thread
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        session: Session | None = None
        try:
            session = self._box.open_session(lambda: _shut(connection))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AHEAD)
            buffer = bytearray(_CHUNK)
            view = memoryview(buffer)
            while True:
                connection.settimeout(None)
                count = connection.recv_into(buffer)
                if count == 0:
                    return
                for response in session.feed(view[:count]):
                    # While this waits nothing more is read, so a client that never reads its answers stops
                    # itself.
                    connection.settimeout(self._send_timeout)
                    for piece in response:
                        if not isinstance(piece, float | int):
                            _send_all(connection, piece)
                        elif self._closed.wait(piece):
                            return
        except (InputClosed, OSError) as reason:
            log.info("connection closed: %s", reason)
        finally:
            if session is not None:
                session.close()
            with self._lock:
                del self._connections[connection]
            connection.close()


def _send_all(connection: socket.socket, data: bytes | memoryview) -> None:
    """Like `sendall`, but the time-out is for a stretch without any progress, not for the whole."""
    view = memoryview(data)
    while view:
        view = view[connection.send(view) :]


def _shut(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


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
                for response in self._session.feed(os.read(self._ours, _CHUNK)):
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
                    view = view[os.write(self._ours, view[:_CHUNK]) :]
        return True
