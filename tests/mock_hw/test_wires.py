"""Wires under malformed, hostile and many clients: an SCPI error or a closed connection, never a dead server."""

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil
import pytest

from mock_hw import MacrospinDevice, SimulatedArray
from mock_hw._wires import MAX_CONNECTIONS, SerialWire, TcpWire
from mock_hw.boxes import ArrayBoard
from mock_hw.faults import FaultyBoard
from mock_hw.testing import address_of
from tests.mock_hw.conftest import OPERATING

MEBIBYTE = 1 << 20


def push(client, data: bytes) -> None:
    """Send whatever the board takes before it closes the connection."""
    try:
        client.socket.sendall(data)
    except OSError:
        return


def drain(sock: socket.socket) -> bytes:
    """Everything until the board closes the connection."""
    received = b""
    try:
        while data := sock.recv(65536):
            received += data
    except ConnectionError:
        pass
    return received


SURVIVED = {
    "binary junk": (bytes(range(128, 256)) * 100 + b"\n", [-101]),
    "control characters": (b"\x00\x01\x02\x03*IDN?\n", [-101]),
    "257 units": (b";".join([b"*CLS"] * 257) + b"\n", [-223]),
    "line of 64 KiB and one byte": (b"*CLS" + b" " * (65536 - 3) + b"\n", [-223]),
    "line of 100 KiB": (b"A" * 102400 + b"\n", [-223]),
    "half a block header": (b"ARR:MASK #4\n", [-161]),
    "a block without its length": (b"ARR:MASK #912\n", [-161]),
    "a block of a gigabyte": (b"ARR:TRIM #91000000000hello\n", [-161]),
    "something after a block": (b"ARR:MASK #15hello;*CLS\n", [-161]),
    "a block where none belongs": (b"*CLS #15hello\n", [-108]),
    "a block before the header": (b"#15hello\n", [-102]),
    "line feeds in a block": (b"ARR:MASK #3512" + b"\n" * 512 + b"\n", []),
    "empty lines": (b"\n\r\n  \n\t\n" * 1000, []),
    "a very long number": (b"PULS:VOLT " + b"9" * 60000 + b"\n", [-222]),
    "a very long header": (b"A" * 60000 + b"\n", [-113]),
    "many colons": (b":A" * 30000 + b"\n", [-113]),
    "many commas": (b"ARR:SEL " + b"," * 60000 + b"\n", [-108]),
}


@pytest.mark.parametrize("name", SURVIVED)
def test_malformed_input_gets_its_error_and_the_connection_goes_on(client, name):
    data, errors = SURVIVED[name]
    assert client.errors(data) == errors
    assert client.ask("*IDN?").startswith("MEMTJ,")


def test_longest_line_is_accepted_in_any_pieces(client):
    line = b"*OPC?" + b" " * (65536 - 5) + b"\n"
    for piece in (1000, len(line)):
        for start in range(0, len(line), piece):
            client.send(line[start : start + piece])
        assert client.line() == "1"
    mask = np.packbits(np.arange(4096) % 7 < 3).tobytes()
    message = b"ARR:MASK #3512" + mask + b"\r\nARR:MASK?\n"
    for index in range(len(message)):
        client.send(message[index : index + 1])
    assert client.block("*CLS") == mask
    assert client.error() == 0


HOSTILE = {
    "10 MB without a line feed": b"A" * (10 * MEBIBYTE),
    "a million commands in one line": b"*CLS;" * 1_000_000 + b"\n",
    "10 MB of zeros": bytes(10 * MEBIBYTE),
    "10 MB of block starts": b"#1" * (5 * MEBIBYTE),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_ends_the_connection_and_nothing_else(connect, wait_until, name):
    process = psutil.Process()
    witness = connect()
    witness.ask("*IDN?")
    memory, threads = process.memory_info().rss, threading.active_count()
    for _ in range(3):
        client = connect()
        push(client, HOSTILE[name])
        drain(client.socket)
        client.close()
    assert witness.ask("*IDN?;:SYST:ERR:COUN?").endswith(";0")
    wait_until(lambda: threading.active_count() <= threads)
    assert process.memory_info().rss - memory < 48 * MEBIBYTE


def test_many_commands_in_many_lines_are_all_answered(client, patience):
    reader = threading.Thread(target=lambda: [client.line() for _ in range(20_000)])
    reader.start()
    client.send(b"*OPC?\n" * 20_000)
    reader.join(patience(60))
    assert not reader.is_alive()


def test_half_a_line_and_gone(connect):
    for data in (b"*IDN", b"ARR:MASK #", b"ARR:MASK #3512abc", b"FETC?\nFETC?\n"):
        client = connect()
        client.send(data)
        client.close()
    assert connect().ask("*IDN?;:SYST:ERR:COUN?").endswith(";0")


@pytest.mark.slow
def test_thousands_of_connections(lab, connect, patience, wait_until):
    witness = connect()
    witness.ask("*IDN?")
    threads = threading.active_count()
    kept: list[socket.socket] = []
    try:
        for _ in range(1000):
            kept.append(socket.create_connection(address_of(lab.resources["board"]), timeout=patience(10)))
            if len(kept) > 200:
                kept.pop(0).close()
            # Twice: threads of connections that have just ended may still be on their way out.
            assert threading.active_count() <= threads + 2 * MAX_CONNECTIONS
        assert witness.ask("*OPC?") == "1"
    finally:
        for sock in kept:
            sock.close()
    wait_until(lambda: threading.active_count() <= threads)
    assert connect().ask("*OPC?") == "1"


def ask_for_ever(sock: socket.socket, seconds: float) -> None:
    """Ask for blocks without reading any until the board closes the connection."""
    began = time.monotonic()
    while True:
        try:
            sock.send(b"FETC?\n" * 100)
        except BlockingIOError:
            time.sleep(0.01)
        assert time.monotonic() - began < seconds


@contextlib.contextmanager
def board_on(wire: Callable[..., TcpWire | SerialWire], send_timeout: float) -> Iterator[tuple]:
    """A board and the wire that serves it."""
    board = ArrayBoard(SimulatedArray(MacrospinDevice.of("C", 4096, 1), 64, 64, 1))
    with (
        contextlib.closing(board),
        contextlib.closing(wire(FaultyBoard(board), send_timeout=send_timeout)) as end,
    ):
        yield board, end


def test_a_client_that_never_reads_is_closed_and_its_output_goes_off(patience, wait_until):
    with board_on(TcpWire, 0.5) as (board, wire):
        memory = psutil.Process().memory_info().rss
        deaf = socket.create_connection((wire.host, wire.port))
        deaf.sendall(OPERATING.encode() + b";:SYST:WATC 60;:SEQ:MODE TOGG;:ACQ:BLOC 2048;:OUTP ON;:INIT\n")
        deaf.setblocking(False)
        wait_until(lambda: board.output)
        with pytest.raises(OSError, match="Errno"):
            ask_for_ever(deaf, patience(30))
        wait_until(lambda: not board.output)
        wait_until(lambda: not board.connections)
        assert psutil.Process().memory_info().rss - memory < 150 * MEBIBYTE
        deaf.close()


def test_slow_reader_gets_everything(patience, wait_until):
    limit = patience(0.4)
    with board_on(TcpWire, limit) as (_, wire), socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        slow.connect((wire.host, wire.port))
        slow.settimeout(patience(60))
        slow.sendall(b"SEQ:MODE TOGG;:ACQ:BLOC 16384;:OUTP ON;:INIT\n")

        def is_there() -> bool:
            slow.sendall(b"ACQ:FIFO?\n")
            return not slow.recv(100).startswith(b"0,")

        wait_until(is_there, 60, "no block")  # FETCh? waits for half a second, and a busy board takes longer
        slow.sendall(b"FETC?\n")
        wanted, received, began = 10 + 64 + 8 * MEBIBYTE, 0, time.monotonic()
        while received < wanted:
            part = slow.recv(64 * 1024)
            assert part, "the wire was closed"
            received += len(part)
            time.sleep(
                1.5 * limit / 128
            )  # 128 parts at least: longer than the limit in all, not in one stretch
            assert time.monotonic() - began < patience(60)
        assert time.monotonic() - began > 1.2 * limit


def test_answers_of_clients_at_once_are_not_mixed(connect):
    clients = [connect() for _ in range(6)]
    wrong: list[str] = []

    def poll(number: int) -> None:
        client = clients[number]
        client.send(f"*ESE {number + 1}")
        for _ in range(300):
            if number % 2:
                answer = client.ask(f"*ESE?;*IDN?;*SRE {number};*SRE?")
                wrong.extend(
                    [answer] if answer != f"{number + 1};MEMTJ,ARRAY-BOARD-SIM,0001,1.2;{number}" else []
                )
            elif client.block("ARR:MASK?") != b"\xff" * 512:
                wrong.append("mask")

    threads = [threading.Thread(target=poll, args=(n,)) for n in range(len(clients))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
class TestSerial:
    @pytest.fixture
    def served(self, patience):
        with board_on(SerialWire, patience(0.2)) as served:
            yield served

    @pytest.fixture
    def port(self, served, patience):
        import serial

        with serial.Serial(served[1].path, timeout=patience(5)) as port:
            yield port

    def test_same_dialect(self, served, port):
        def ask(line: bytes) -> bytes:
            port.write(line + b"\n")
            return port.readline()

        assert ask(b"*IDN?") == b"MEMTJ,ARRAY-BOARD-SIM,0,1.2\n"
        assert ask(b"NONSENSE;:SYST:ERR?").startswith(b"-113,")
        mask = bytes(range(256)) * 2
        port.write(b"ARR:MASK #3512" + mask + b"\nARR:MASK?\n")
        assert port.read(5 + 512 + 1) == b"#3512" + mask + b"\n"
        port.write(b"*RST;:SEQ:MODE TOGG;:ACQ:BLOC 64;:OUTP ON;:INIT;:FETC?\n")
        head = port.read(7)
        assert head == b"#532832"
        payload = port.read(32832)
        assert payload[:4] == b"MTJB"
        assert port.read(1) == b"\n"
        assert ask(b"OUTP OFF;:OUTP?") == b"0\n"

    def test_time_out_alone_protects_a_line_that_was_left(self, served, patience, wait_until):
        import serial

        board, wire = served
        with serial.Serial(wire.path, timeout=patience(5)) as port:
            port.write(f"SYST:WATC {patience(0.6):.3f};:OUTP ON;:OUTP?\n".encode())
            assert port.readline() == b"1\n"
        assert board.output
        wait_until(lambda: not board.output)
        with serial.Serial(wire.path, timeout=patience(5)) as port:
            port.write(b"SYST:WATC:TRIP?\n")
            assert port.readline() == b"1\n"
            port.write(b"SYST:ERR?\n")
            assert port.readline().startswith(b"101,")

    def test_endless_line_and_unread_answers_do_not_end_it(self, served, patience):
        board, wire = served
        fd = os.open(wire.path, os.O_RDWR | os.O_NOCTTY)
        try:
            for _ in range(40):
                os.write(fd, b"A" * 4096)
            os.write(fd, b"\n")
            os.write(fd, b"SEQ:MODE TOGG;:ACQ:BLOC 2048;:OUTP ON;:INIT;:FETC?\n")
            # Nobody reads the megabyte; when the board has given up, what the line still holds is thrown away.
            time.sleep(patience(0.6))
            os.set_blocking(fd, False)
            received = b""
            os.write(fd, b"OUTP OFF;:SYST:ERR:COUN?\n")
            deadline = time.monotonic() + patience(10)
            while not received.endswith(b"\n1\n") and not received.endswith(b"1\n"):
                assert time.monotonic() < deadline
                try:
                    received = (received + os.read(fd, 65536))[-64:]
                except BlockingIOError:
                    time.sleep(0.01)
            assert not board.output
        finally:
            os.close(fd)
