"""A TCP port whose connections are each served in a thread."""

import contextlib
import logging
import select
import socket
import threading
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

_LEFT: int = getattr(select, "POLLRDHUP", 0)


class Port:
    """Listens on a TCP port (0: a free one) and has `serve` called with each connection, in a thread of its own.

    At most `most` connections are open at once; one more is handed to `refuse`, which must not wait, and closed.
    """

    def __init__(
        self,
        host: str,
        port: int,
        serve: Callable[[socket.socket], None],
        *,
        most: int,
        refuse: Callable[[socket.socket], None] = lambda connection: None,
    ) -> None:
        self._serve = serve
        self._most = most
        self._refuse = refuse
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._lock = threading.Lock()
        self.closed = threading.Event()
        self._listener = socket.create_server((host, port), backlog=128)
        self.host, self.port = self._listener.getsockname()[:2]
        self._acceptor = threading.Thread(target=self._accept, name=f"tcp-{self.port}", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Close the port and every connection."""
        with self._lock:
            self.closed.set()
            threads = list(self._connections.values())
            for connection in self._connections:
                shut(connection)
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
                if self.closed.is_set():
                    return
                time.sleep(0.05)
                continue
            with self._lock:
                if self.closed.is_set():
                    connection.close()
                    return
                if len(self._connections) >= self._most:
                    log.warning("connection from %s refused: %d are open", peer, self._most)
                    with contextlib.suppress(OSError):
                        self._refuse(connection)
                    connection.close()
                    continue
                thread = threading.Thread(
                    target=self._run, args=(connection,), name=f"tcp-{self.port}-{peer[1]}", daemon=True
                )
                self._connections[connection] = thread
                thread.start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        finally:
            with self._lock:
                del self._connections[connection]
            connection.close()


def shut(connection: socket.socket) -> None:
    """End a connection that another thread may be reading."""
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def has_left(connection: socket.socket) -> bool:
    """Whether the other end has closed it; elsewhere than on Linux, what waits in it hides that."""
    try:
        if _LEFT:
            look = select.poll()
            look.register(connection, _LEFT)
            return bool(look.poll(0))
        readable, _, _ = select.select([connection], [], [], 0)
        return bool(readable) and not connection.recv(1, socket.MSG_PEEK)
    except ValueError:  # more files are open than `select` can name
        return False
    except OSError:
        return True


def send_all(connection: socket.socket, data: bytes | memoryview) -> None:
    """Like `sendall`, but the time-out is for a stretch without any progress, not for the whole."""
    view = memoryview(data)
    while view:
        view = view[connection.send(view) :]
