"""A GPIB of boxes behind a Prologix GPIB-ETHERNET adapter: its own commands begin with `++`, all else goes to a box.

What the adapter does is from the manual of its sister GPIB-USB and from pyvisa-py's client; docs/simulated-lab.md says
which commands there are.
"""

import logging
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping

from ._box import CHUNK, SEND_TIMEOUT, Box
from ._exchange import Exchange
from ._port import Port, has_left, send_all
from ._prologix_adapter import Adapter

log = logging.getLogger(__name__)

MAX_WAITING = 8  # connections, of which one is served
_LONGEST_LINE = 8 << 20  # bytes
_GRACE = 1.0  # s for which the lines of a host that has closed are still acted on
_LOOK = 0.1  # s
_ESCAPE = b"\x1b"
_TOKEN = re.compile(rb"[^\x1b\r\n+]+|\x1b[\s\S]|[\r\n+\x1b]")


class PrologixWire:
    """Serves boxes by their GPIB addresses on a TCP port (0: a free one), one connection at a time.

    The next one waits until that is closed. A GPIB has no close: no box learns that its host is gone.
    """

    def __init__(
        self,
        boxes: Mapping[int, Box],
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        send_timeout: float = SEND_TIMEOUT,
    ) -> None:
        self._send_timeout = send_timeout
        self._bus = threading.Lock()
        self._port = Port(host, port, self._serve, most=MAX_WAITING)
        self.host, self.port = self._port.host, self._port.port
        self._exchanges = {address: Exchange(box, None) for address, box in boxes.items()}
        self._adapter = Adapter(self._exchanges, send_timeout)

    @property
    def resource(self) -> str:
        """The VISA resource string of the adapter, to be opened before those of its boxes."""
        return f"PRLGX-TCPIP0::{self.host}::{self.port}::INTFC"

    @staticmethod
    def resource_at(address: int) -> str:
        """The VISA resource string of the box at an address."""
        return f"GPIB0::{address}::INSTR"

    def close(self) -> None:
        """Close the port and every connection, and end the sessions of the boxes."""
        self._port.close()
        for exchange in self._exchanges.values():
            exchange.close()

    def _serve(self, connection: socket.socket) -> None:
        while not self._bus.acquire(timeout=_LOOK):
            if self._port.closed.is_set() or has_left(connection):
                return
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            self._talk(connection)
        except OSError as reason:
            log.info("connection closed: %s", reason)
        finally:
            self._bus.release()

    def _talk(self, connection: socket.socket) -> None:
        lines, host = Lines(), _Host(connection, self._port.closed)
        while True:
            connection.settimeout(None)
            data = connection.recv(CHUNK)
            if not data:
                return
            connection.settimeout(self._send_timeout)
            for command, line in lines.feed(data):
                if host.is_gone():
                    return
                act = self._adapter.obey if command else self._adapter.pass_on
                for answer in act(line, host.is_gone):
                    send_all(connection, answer)


class _Host:
    """Who is at the other end of a connection, for a while after its close: it may wait for answers all the same."""

    def __init__(self, connection: socket.socket, closed: threading.Event) -> None:
        self._connection = connection
        self._closed = closed
        self._left: float | None = None

    def is_gone(self) -> bool:
        """Whether nothing more is done for it."""
        if self._left is None and has_left(self._connection):
            self._left = time.monotonic()
        return self._closed.is_set() or (self._left is not None and time.monotonic() - self._left > _GRACE)


class Lines:
    """Cuts what the host sends into lines, whose bytes CR, LF, ESC and + are escaped by an ESC or dropped."""

    def __init__(self) -> None:
        self._rest = b""
        self._line = bytearray()
        self._pluses = 0
        self._overlong = False

    def feed(self, data: bytes) -> Iterator[tuple[bool, bytes]]:
        """Whether it is one of the adapter's commands, without the `++`, and the line; empty ones are left out."""
        tokens = _TOKEN.findall(self._rest + data)
        self._rest = tokens.pop() if tokens[-1:] == [_ESCAPE] else b""
        for token in tokens:
            if token in (b"\r", b"\n"):
                if (self._line or self._pluses > 1) and not self._overlong:
                    yield self._pluses > 1, bytes(self._line)
                self._line.clear()
                self._pluses, self._overlong = 0, False
            elif token == b"+":
                self._pluses += not self._line
            elif len(self._line) + len(token) > _LONGEST_LINE:
                self._line, self._overlong = bytearray(b"."), True
            else:
                self._line += token.removeprefix(_ESCAPE) if len(token) > 1 else token
