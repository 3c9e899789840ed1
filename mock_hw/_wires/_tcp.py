"""A raw TCP socket that serves a box."""

import logging
import socket

from mock_hw._scpi import InputClosed

from ._box import CHUNK, SEND_TIMEOUT, Box, Session
from ._port import Port, send_all, shut

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 32
_AHEAD = 4 << 20  # bytes that the system may hold for a client: some blocks, which it then takes at once


class TcpWire:
    """Serves a box on a TCP port (0: a free one), up to `MAX_CONNECTIONS` connections, each in a thread."""

    def __init__(
        self, box: Box, *, host: str = "127.0.0.1", port: int = 0, send_timeout: float = SEND_TIMEOUT
    ) -> None:
        self._box = box
        self._send_timeout = send_timeout
        self._port = Port(host, port, self._serve, most=MAX_CONNECTIONS)
        self.host, self.port = self._port.host, self._port.port

    @property
    def resource(self) -> str:
        """The VISA resource string."""
        return f"TCPIP::{self.host}::{self.port}::SOCKET"

    def close(self) -> None:
        """Close the port and every connection."""
        self._port.close()

    def _serve(self, connection: socket.socket) -> None:
        session: Session | None = None
        try:
            session = self._box.open_session(lambda: shut(connection))
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _AHEAD)
            buffer = bytearray(CHUNK)
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
                            send_all(connection, piece)
                        elif self._port.closed.wait(piece):
                            return
        except (InputClosed, OSError) as reason:
            log.info("connection closed: %s", reason)
        finally:
            if session is not None:
                session.close()
