"""The wires to a board: bytes out, bytes in, and how long they are waited for."""

import contextlib
import re
import select
import socket
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import pyvisa
from pymeasure.adapters import Adapter, SerialAdapter, VISAAdapter
from pyvisa.constants import StatusCode
from pyvisa.resources import GPIBInstrument, MessageBasedResource, TCPIPInstrument, USBInstrument

from drivers._errors import BoardError

from . import _settings as settings

TIMEOUT = 2.0  # s; a board answers within 0.5 s, and a stuck one must not hold up a safe shutdown
_LONGEST = 86400.0  # s
_FASTEST = 10**9  # baud
_CHUNK = 1 << 18


class Wire(Protocol):
    """Carries bytes.

    `marks`: answers may be late, or left by a program before, so that questions need marks; `clean`: nothing can be
    on it yet; `messages`: what is written at once is one message (HiSLIP, USBTMC, GPIB), which a board answers once,
    and a new one drops an answer that nobody has read; `patience`: seconds for which something is waited for.
    """

    marks: bool
    clean: bool
    messages: bool

    @property
    def patience(self) -> float: ...

    def take(self, count: int | None) -> bytes:
        """Give what has arrived: up to `count` bytes, or of a line (None); empty where nothing came in time."""
        ...


def wire_of(adapter: Adapter) -> Wire:
    """Give the wire behind an adapter."""
    if isinstance(adapter, SerialAdapter):
        return SerialWire(adapter)
    connection = adapter.connection if isinstance(adapter, VISAAdapter) else None
    if not isinstance(connection, MessageBasedResource):
        return AdapterWire(adapter)
    if isinstance(connection, GPIBInstrument | TCPIPInstrument | USBInstrument):
        return MessageWire(connection)
    below = _socket(connection)
    return VisaWire(connection) if below is None else SocketWire(connection, below)


class SocketWire:
    """A socket of pyvisa-py's, read by ourselves.

    pyvisa-py takes a close for silence, loses what came before a time-out, and looks at every byte of a block.
    """

    marks = clean = True
    messages = False

    def __init__(self, connection: MessageBasedResource, below: socket.socket) -> None:
        self._connection = connection
        self._below = below
        with contextlib.suppress(OSError):
            below.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @property
    def patience(self) -> float:
        return _seconds(self._connection)

    def take(self, count: int | None) -> bytes:
        if not select.select([self._below], [], [], self.patience)[0]:
            return b""
        data = self._below.recv(_CHUNK if count is None else min(count, _CHUNK))
        if not data:
            raise ConnectionResetError("the other end closed it")
        return data


class VisaWire:
    """A session of any other VISA library or kind."""

    marks = clean = True
    messages = False

    def __init__(self, connection: MessageBasedResource) -> None:
        self._connection = connection

    @property
    def patience(self) -> float:
        return _seconds(self._connection)

    def take(self, count: int | None) -> bytes:
        try:
            if count is None:
                return self._connection.read_raw()
            with self._unended():
                return self._connection.read_bytes(min(count, _CHUNK))
        except pyvisa.errors.VisaIOError as error:
            if error.error_code == StatusCode.error_timeout:
                return b""
            raise

    @contextlib.contextmanager
    def _unended(self) -> Iterator[None]:
        """Switch the termination character off while a block is read: it may occur in it."""
        before, self._connection.read_termination = self._connection.read_termination, None
        try:
            yield
        finally:
            self._connection.read_termination = before


class MessageWire:
    """A session that carries messages with an end, of any VISA library: HiSLIP, VXI-11, USBTMC, GPIB.

    pyvisa's `read_bytes` would ask for ever for what a message that has ended lacks.
    """

    marks = clean = messages = True

    def __init__(self, connection: MessageBasedResource) -> None:
        self._connection = connection

    @property
    def patience(self) -> float:
        return _seconds(self._connection)

    def take(self, count: int | None) -> bytes:
        most = _CHUNK if count is None else min(count, _CHUNK)
        try:
            with self._connection.ignore_warning(StatusCode.success_max_count_read):
                return bytes(self._connection.visalib.read(self._connection.session, most)[0])
        except pyvisa.errors.VisaIOError as error:
            if error.error_code == StatusCode.error_timeout:
                return b""
            raise
        except RuntimeError as error:  # pyvisa-py's HiSLIP, of a connection that the other end has closed
            raise ConnectionResetError(str(error)) from error


class SerialWire:
    """A serial line. It has no beginning: a program that ended before may have left half an answer on it."""

    marks, clean, messages = True, False, False

    def __init__(self, adapter: SerialAdapter) -> None:
        self._port = adapter.connection

    @property
    def patience(self) -> float:
        return self._port.timeout or TIMEOUT

    def take(self, count: int | None) -> bytes:
        first = self._port.read(1)
        waiting = self._port.in_waiting if first else 0
        return first + self._port.read(min(waiting, count or _CHUNK, _CHUNK) - 1) if waiting else first


class AdapterWire:
    """Any other adapter, pymeasure's for tests among them: it gives one answer for each question."""

    marks, clean, messages, patience = False, True, False, TIMEOUT

    def __init__(self, adapter: Adapter) -> None:
        self._adapter = adapter

    def take(self, count: int | None) -> bytes:
        if count is None:
            return self._adapter.read().encode("ascii", "replace") + b"\n"
        return self._adapter.read_bytes(count)


def open_adapter(adapter: Adapter | str, name: str, kwargs: dict[str, Any]) -> Adapter:
    """Open a VISA resource; raises ValueError for an option that is none, and BoardError where it cannot be reached."""
    if not isinstance(adapter, str):
        return adapter
    timeout = round(
        settings.within("time-out", "ms")(kwargs.get("timeout", 1000 * TIMEOUT), (1, 1000 * _LONGEST))
    )
    baud_rate = settings.count("baud")(kwargs.get("baud_rate", 115200), (1, _FASTEST))
    port = _serial_port(adapter)
    try:
        if port is not None:
            return SerialAdapter(
                port,
                write_termination="\n",
                read_termination="\n",
                baudrate=baud_rate,
                timeout=timeout / 1000,
                write_timeout=TIMEOUT,
            )
        terminations = {"read_termination": "\n", "write_termination": "\n"}
        return VISAAdapter(adapter, **{"open_timeout": 3000, **terminations, **kwargs, "timeout": timeout})
    except Exception as error:  # pyvisa-py raises a bare Exception where a host cannot be reached
        raise BoardError(
            f"{name} cannot be reached at {adapter} ({error}): check the resource, its power and the wire",
            lost=True,
        ) from error


def resource_of(adapter: Adapter | str) -> str:
    """Name what is at the other end of an adapter."""
    if isinstance(adapter, str):
        return adapter
    connection = getattr(adapter, "connection", None)
    name = getattr(adapter, "resource_name", None) or getattr(connection, "port", None)
    return name if isinstance(name, str) else type(adapter).__name__


def _seconds(connection: MessageBasedResource) -> float:
    return min(connection.timeout / 1000, _LONGEST)


def _serial_port(resource: str) -> str | None:
    """Return the port that pyserial knows by another name as a VISA resource, or None for any other wire."""
    match = re.fullmatch(r"ASRL(.+?)(::INSTR)?", resource, re.IGNORECASE)
    if match is None:
        return None
    if match[1].isdigit():
        return f"COM{match[1]}" if sys.platform == "win32" else None
    return match[1]


def _socket(connection: MessageBasedResource) -> socket.socket | None:
    """Return the socket below a connection of pyvisa-py's, or None where there is none to be seen."""
    sessions: Any = getattr(connection.visalib, "sessions", None)
    session = sessions.get(connection.session) if isinstance(sessions, dict) else None
    below = getattr(session, "interface", None)
    return below if isinstance(below, socket.socket) else None
