"""The driver over real wires: a TCP socket through VISA, and a pseudo-terminal through pyserial."""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pymeasure.adapters import SerialAdapter

from drivers import ArrayBoard, BoardError, CorruptBlock
from mock_hw import Lab
from mock_hw.testing import board_lab

WIRES = [
    "tcp",
    "another VISA",
    pytest.param("serial", marks=pytest.mark.skipif(sys.platform == "win32", reason="no pty")),
]
WORKING_POINT = {
    "voltage": 1.34, "width": 0.34e-9, "reset_voltage": 1.55, "reset_width": 0.595e-9, "read_voltage": 0.1,
    "thresholds": 1.2e5,
}  # fmt: skip


def lab_with(wire: str, rows: int = 16, columns: int = 24) -> Lab:
    return board_lab(rows=rows, columns=columns, wire=wire, seed=11)


@pytest.fixture(params=WIRES)
def board(
    request: pytest.FixtureRequest, patience: Callable[[float], float], monkeypatch: pytest.MonkeyPatch
) -> Iterator[ArrayBoard]:
    if request.param == "another VISA":  # whose socket cannot be seen
        monkeypatch.setattr("drivers.array_board._wire._socket", lambda connection: None)
    with lab_with("serial" if request.param == "serial" else "tcp") as lab:
        # Enough for `FETCh?`, which waits for 0.5 s.
        board = ArrayBoard(lab.resources["board"], timeout=round(1000 * patience(0.7)))
        yield board
        board.shutdown()
        board.close()


@pytest.fixture
def ready(board: ArrayBoard) -> ArrayBoard:
    board.watchdog = 60.0  # longer than any time-out here
    for name, value in WORKING_POINT.items():
        setattr(board, name, value)
    board.output_enabled = True
    return board


def test_the_box_answers(board: ArrayBoard):
    assert board.id.split(",")[1].startswith("ARRAY-BOARD")
    assert board.size == (16, 24)
    assert board.origin == "simulation"
    trims = np.linspace(-0.1, 0.1, 16 * 24, dtype="<f4").reshape(16, 24)
    board.trims = trims
    np.testing.assert_array_equal(board.trims, trims)
    mask = np.arange(16 * 24).reshape(16, 24) % 3 > 0
    board.mask = mask
    np.testing.assert_array_equal(board.mask, mask)
    if isinstance(board.adapter, SerialAdapter):
        assert board.resource.startswith("ASRL")


def test_blocks_come_whole_and_in_order(ready: ArrayBoard):
    ready.mode = "reset"
    ready.pulses, ready.pulses_per_block = 1000, 300
    ready.start()
    blocks = []
    while not blocks or not blocks[-1].last:
        block = ready.fetch()
        assert block is not None
        blocks.append(block)
    assert [block.sequence for block in blocks] == [0, 1, 2, 3]
    assert [block.pulses for block in blocks] == [300, 300, 300, 100]
    bits = np.concatenate([np.unpackbits(b.bits, count=b.positions) for b in blocks])
    assert 0.3 < bits.mean() < 0.7  # cells differ; this only says that it is no constant
    again = ready.fetch_again()
    assert again is not None
    np.testing.assert_array_equal(again.bits, blocks[-1].bits)
    assert ready.id  # the wire is in step


def test_readings_show_two_states(ready: ArrayBoard):
    readings = ready.resistances
    assert readings.shape == (16, 24)
    assert readings.min() > 1e4
    assert readings.max() > 1.5 * readings.min()
    ready.selection = (2, 3, 4, 8)
    assert ready.resistances.shape == (2, 5)


def test_a_refused_command_says_why_at_once(ready: ArrayBoard, patience: Callable[[float], float]):
    ready.write("PULS:VOLT 9")
    with pytest.raises(BoardError, match=r"-222") as caught:
        ready.check_errors()
    assert caught.value.number == -222
    began = time.monotonic()
    with pytest.raises(BoardError, match=r"refused 'NONSENSE\?': error -113"):
        ready.ask("NONSENSE?")
    assert time.monotonic() - began < patience(4)
    assert ready.error_count == 0


def test_an_interrupted_block_does_not_spoil_the_next_answer(ready: ArrayBoard):
    ready.mode = "toggle"
    ready.pulses_per_block = 200
    ready.start()
    ready.write("FETC?")  # as if Ctrl-C had come before the answer was read
    ready._link._in_step = False
    assert ready.state in ("running", "stalled")
    ready.abort()
    assert ready.id.split(",")[1].startswith("ARRAY-BOARD")


def test_threads_do_not_mix_answers(ready: ArrayBoard):
    ready.pulses_per_block = 50
    ready.start()
    wrong: list[object] = []

    def poll() -> None:
        for _ in range(30):
            if ready.size != (16, 24) or not ready.id:
                wrong.append("mixed")

    threads = [threading.Thread(target=poll) for _ in range(3)]
    for thread in threads:
        thread.start()
    got = [ready.fetch() for _ in range(30)]
    for thread in threads:
        thread.join()
    assert not wrong
    assert [block.sequence for block in got if block is not None] == list(range(len(got)))


def test_nothing_listens():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    resource = f"TCPIP::127.0.0.1::{port}::SOCKET"
    with pytest.raises(BoardError, match=resource) as caught:
        _ = ArrayBoard(resource).id
    assert caught.value.lost


def test_a_box_that_says_nothing():
    with socket.create_server(("127.0.0.1", 0)) as server:
        board = ArrayBoard(f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET", timeout=200)
        with pytest.raises(BoardError, match="did not answer") as caught:
            _ = board.id
        assert caught.value.lost
        board.close()


def test_a_box_that_goes_away():
    with lab_with("tcp") as lab:
        board = ArrayBoard(lab.resources["board"], timeout=300)
        assert board.id
    with pytest.raises(BoardError, match=r"board at TCPIP") as caught:
        _ = board.id
    assert caught.value.lost
    board.shutdown()
    board.close()


OK = b'0,"No error"\n'


def test_a_block_that_stops_in_the_middle(scripted):
    resource = scripted(lambda line: b"#3100" + b"\n" * 50 if line == b"FETC?" else None)
    board = ArrayBoard(resource, timeout=200)
    with pytest.raises(BoardError, match=r"in the middle of its answer to 'FETC\?' within 0\.2 s") as caught:
        board.fetch()
    assert caught.value.lost
    assert caught.value.partial
    assert board.adapter.connection.read_termination == "\n"
    board.close()


def test_a_block_of_which_a_part_is_missing_is_had_again(scripted, patience: Callable[[float], float]):
    """The board sends half a block, then answers as ever: a serial line that lost bytes."""
    asked: list[bytes] = []

    def say(line: bytes) -> bytes:
        asked.append(line)
        return {b"FETC?": b"#3100" + b"\n" * 50, b"FETC:AGA?": b"#10\n", b"SYST:ERR?": OK}.get(line, b"0\n")

    board = ArrayBoard(scripted(say), timeout=round(1000 * patience(0.2)))
    with pytest.raises(CorruptBlock, match="in the middle of its answer"):
        board.fetch()
    assert board.fetch_again() is None
    assert [line for line in asked if line != b"*ESE?"] == [b"FETC?", b"SYST:ERR?", b"FETC:AGA?"]
    board.close()


def test_a_rest_that_never_ends_is_not_waited_for(monkeypatch):
    monkeypatch.setattr("drivers.array_board._link.LONGEST_REST", 0.3)
    server = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with server.accept()[0] as wire, contextlib.suppress(OSError):
            while True:
                wire.sendall(b"x" * 10_000)
                time.sleep(0.001)

    thread = threading.Thread(target=serve)
    thread.start()
    with server:
        board = ArrayBoard(f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET", timeout=200)
        board._link._first = board._link._in_step = False
        with pytest.raises(BoardError, match="still arrives: the wire is too slow"):
            _ = board.id
        board.close()
        thread.join()


@pytest.mark.parametrize(
    "answer", [b"MTJB\n", b"#0abc\n", b"#x12\n", b"#2+1a\n", b"#11a?", b"#9999999999a\n"]
)
def test_an_answer_that_is_no_block(answer: bytes, scripted, patience):
    board = ArrayBoard(
        scripted(lambda line: answer if line == b"FETC?" else OK), timeout=round(1000 * patience(0.2))
    )
    with pytest.raises(CorruptBlock):
        board.fetch()
    assert board.adapter.connection.read_termination == "\n"
    assert board.check_errors() == []  # in step again
    board.close()


def test_blocks_are_read_five_times_faster_than_by_pyvisa():
    with lab_with("tcp", 64, 64) as lab:
        board = ArrayBoard(lab.resources["board"])
        for name, value in WORKING_POINT.items():
            setattr(board, name, value)
        board.mode, board.pulses, board.pulses_per_block = "toggle", 2048, 2048
        board.output_enabled = True
        board.start()
        assert board.fetch() is not None
        ours, plain = [], []
        for _ in range(5):
            began = time.perf_counter()
            assert board.fetch_again() is not None
            ours.append(time.perf_counter() - began)
            began = time.perf_counter()
            board.adapter.connection.query_binary_values("FETC:AGA?", datatype="B", container=np.array)
            plain.append(time.perf_counter() - began)
        board.shutdown()
        board.close()
    assert min(plain) > 5 * min(ours)
