"""Wires that serve a box: TCP socket, serial line on a pseudo-terminal, HiSLIP, VXI-11, GPIB. They know no SCPI.

A box offers `open_session(hang_up)`; a session takes received bytes by `feed`, which yields responses
(pieces of bytes to send in order, a number among them being a pause in seconds) and raises `InputClosed` when
the connection should end, and is told of its end by `close`.
"""

from mock_hw._wires._box import Box, Session
from mock_hw._wires._hislip import MAX_CLIENTS, HislipWire
from mock_hw._wires._prologix import PrologixWire
from mock_hw._wires._serial import SerialWire
from mock_hw._wires._tcp import MAX_CONNECTIONS, TcpWire
from mock_hw._wires._vxi11 import MAX_LINKS, Vxi11Wire

Wire = TcpWire | SerialWire | HislipWire | Vxi11Wire

__all__ = [
    "MAX_CLIENTS",
    "MAX_CONNECTIONS",
    "MAX_LINKS",
    "Box",
    "HislipWire",
    "PrologixWire",
    "SerialWire",
    "Session",
    "TcpWire",
    "Vxi11Wire",
    "Wire",
]
