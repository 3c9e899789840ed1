"""VXI-11: a box served by remote procedure calls, as those on a network were before HiSLIP, and GPIB gateways are.

Core and abort channel on one port, no portmapper beside it; docs/decisions/0024-vxi11-and-prologix.md says what is left
out.
"""

import itertools
import logging
import socket
import threading

from mock_hw._scpi import InputClosed

from ._box import SEND_TIMEOUT, Box
from ._locks import Locks
from ._port import Port
from ._rpc import Program, Unpacker, answer, numbers, receive, send
from ._vxi11_link import Core, Error, Link

log = logging.getLogger(__name__)

MAX_LINKS = 32
CORE, ABORT, PORTMAPPER = 0x0607AF, 0x0607B0, 100000
_MAX_CONNECTIONS = 2 * MAX_LINKS
_VERSION = 1
_DEVICE_ABORT = 1
_GET_PORT = 3
_TCP = 6


class Vxi11Wire:
    """Serves a box by VXI-11 on a TCP port (0: a free one), up to `MAX_LINKS` links.

    Who asks the port for the ports of its programs, as one asks a portmapper, is told this one.
    """

    def __init__(
        self, box: Box, *, host: str = "127.0.0.1", port: int = 0, send_timeout: float = SEND_TIMEOUT
    ) -> None:
        self._box = box
        self._send_timeout = send_timeout
        self._locks = Locks()
        self._links: dict[int, Link] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._port = Port(host, port, self._serve, most=_MAX_CONNECTIONS)
        self.host, self.port = self._port.host, self._port.port

    @property
    def resource(self) -> str:
        """The VISA resource string, as pyvisa-py spells a port."""
        return f"TCPIP::{self.host},{self.port}::INSTR"

    def close(self) -> None:
        """Close the port and every connection."""
        self._port.close()

    def enter(self, link: Link) -> int | None:
        """Count a link in, and give its number; None where there are too many."""
        with self._lock:
            if len(self._links) >= MAX_LINKS:
                return None
            number = next(n for each in self._numbers if (n := each % 2**31) and n not in self._links)
            self._links[number] = link
            return number

    def leave(self, number: int) -> None:
        """A link is gone."""
        with self._lock:
            del self._links[number]

    def _serve(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.settimeout(self._send_timeout)
        core = Core(connection, self._box, self._locks, self._port, self)
        programs = {
            CORE: Program(_VERSION, core.procedures),
            ABORT: Program(_VERSION, {_DEVICE_ABORT: self._abort}),
            PORTMAPPER: Program(2, {_GET_PORT: self._tell_port}),
        }
        try:
            while (record := receive(connection)) is not None:
                if (reply := answer(record, programs)) is None:
                    log.info("connection closed: what comes is no call")
                    return
                send(connection, reply)
        except (InputClosed, OSError) as reason:
            log.info("connection closed: %s", reason)
        finally:
            core.close()

    def _abort(self, call: Unpacker) -> bytes:
        with self._lock:
            link = self._links.get(call.number())
        if link is None:
            return numbers(Error.NO_LINK)
        link.aborted.set()
        return numbers(Error.NONE)

    def _tell_port(self, call: Unpacker) -> bytes:
        program, version, protocol, _ = (call.number() for _ in range(4))
        here = program in (CORE, ABORT) and version == _VERSION and protocol == _TCP
        return numbers(self.port if here else 0)
