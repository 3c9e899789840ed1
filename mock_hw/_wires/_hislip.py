"""HiSLIP (IVI-6.1): a box served in messages that have an end, as newer instruments are on a network.

Synchronized mode alone, protocol 1.0 to 2.0 without encryption; docs/decisions/0022-wires.md says what is left out.
"""

import itertools
import logging
import socket
import threading

from mock_hw._scpi import InputClosed

from ._box import SEND_TIMEOUT, Box
from ._hislip_client import Client
from ._hislip_messages import Channel, Closed, Fatal, Header, Kind, Refused
from ._locks import Locks
from ._port import Port

log = logging.getLogger(__name__)

MAX_CLIENTS = 32
NEWEST = 0x0200  # of the protocol: 2.0
_OLDEST = 0x0100
_VENDOR = 0x4D54  # "MT", which is nobody's
_NAMES = (b"", b"hislip0")
_LONGEST_NAME = 256


class HislipWire:
    """Serves a box by HiSLIP on a TCP port (0: a free one), up to `MAX_CLIENTS` clients of two connections each.

    `send_timeout` is also the time within which a client has to open both of its connections.
    """

    def __init__(
        self, box: Box, *, host: str = "127.0.0.1", port: int = 0, send_timeout: float = SEND_TIMEOUT
    ) -> None:
        self._box = box
        self._send_timeout = send_timeout
        self._locks = Locks()
        self._clients: dict[int, Client] = {}
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._port = Port(host, port, self._serve, most=2 * MAX_CLIENTS, refuse=_refuse)
        self.host, self.port = self._port.host, self._port.port

    @property
    def resource(self) -> str:
        """The VISA resource string, as pyvisa-py spells a port."""
        return f"TCPIP::{self.host}::hislip0,{self.port}::INSTR"

    def close(self) -> None:
        """Close the port and every connection."""
        self._port.close()

    def _serve(self, connection: socket.socket) -> None:
        try:
            channel = Channel(connection, self._send_timeout)
            try:
                self._begin(channel)
            except Refused as reason:
                log.info("connection refused: %s", reason)
                channel.give_up(reason)
        except (Closed, InputClosed, OSError) as reason:
            log.info("connection closed: %s", reason)

    def _begin(self, channel: Channel) -> None:
        header = channel.header(patient=lambda: False)
        if header.kind == Kind.INITIALIZE:
            self._serve_sync(channel, header)
        elif header.kind == Kind.ASYNC_INITIALIZE:
            self._serve_async(channel, header)
        else:
            raise Refused(Fatal.INITIALIZATION, "a connection begins with Initialize or AsyncInitialize")

    def _serve_sync(self, channel: Channel, header: Header) -> None:
        if channel.text(header, _LONGEST_NAME).lower() not in _NAMES:
            raise Refused(Fatal.INITIALIZATION, "the only device here is hislip0")
        version = min(header.parameter >> 16, NEWEST)
        if version < _OLDEST:
            raise Refused(Fatal.INITIALIZATION, "the oldest protocol here is 1.0")
        client = Client(channel, self._box, self._locks, self._port.closed)
        number = None
        try:
            number = self._enter(client)
            channel.send(Kind.INITIALIZE_RESPONSE, 0, version << 16 | number)
            client.serve_sync()
        except Refused as reason:  # said before the channel is shut
            channel.give_up(reason)
        finally:
            if number is not None:
                with self._lock:
                    del self._clients[number]
            client.close()

    def _serve_async(self, channel: Channel, header: Header) -> None:
        channel.text(header, 0)
        with self._lock:
            client = self._clients.get(header.parameter)
        if client is None or not client.join(channel):
            raise Refused(Fatal.INITIALIZATION, "no session of that number waits for its second connection")
        try:
            channel.send(Kind.ASYNC_INITIALIZE_RESPONSE, 0, _VENDOR)
            client.serve_async(channel)
        except Refused as reason:
            channel.give_up(reason)
        finally:
            client.leave()

    def _enter(self, client: Client) -> int:
        with self._lock:
            if len(self._clients) >= MAX_CLIENTS:
                raise Refused(Fatal.TOO_MANY, f"{MAX_CLIENTS} clients are connected")
            number = next(n for each in self._numbers if (n := each & 0xFFFF) and n not in self._clients)
            self._clients[number] = client
            return number


def _refuse(connection: socket.socket) -> None:
    Channel(connection, 0.0).send(Kind.FATAL_ERROR, Fatal.TOO_MANY, 0, b"too many connections are open")
