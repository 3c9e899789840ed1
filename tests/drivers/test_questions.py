"""Which answer belongs to which question: late ones, those that come twice, and none at all."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from pymeasure.adapters import ProtocolAdapter

from drivers import ArrayBoard, BoardError
from mock_hw import Lab
from mock_hw.testing import board_lab

OK = b'0,"No error"\n'
VALUES = {
    b"SYST:TEMP?": b"300.5\n", b"SYST:TIME?": b"12.5\n", b"SYST:INT?": b"1\n", b"OUTP?": b"0\n", b"SYST:ERR?": OK,
    b"*ESE?": b"0\n", b"ACQ:STAT?": b"IDLE\n", b"*IDN?": b"M,ARRAY-BOARD,1,1\n",
}  # fmt: skip


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with board_lab(rows=4, columns=4, seed=2) as lab:
        yield lab


@pytest.fixture
def board(lab: Lab) -> Iterator[ArrayBoard]:
    lab.power_cycle()
    board = ArrayBoard(lab.resources["board"], timeout=20_000)
    yield board
    lab.faults["board"].clear()
    board.close()


def time_out(board: ArrayBoard, milliseconds: int) -> None:
    board.adapter.connection.timeout = milliseconds  # type: ignore[attr-defined]


def test_answers_that_come_after_the_time_out_are_thrown_away(board: ArrayBoard, lab: Lab):
    """A delay of 1.25 time-outs: each answer arrives while the next one is waited for."""
    time_out(board, 100)
    board.write("SIM:FAUL:DEL 0.125")
    for name in (
        "temperature",
        "clock",
        "output_enabled",
        "interlock_closed",
        "pulses",
        "protocol_version",
        "trims",
    ):
        with pytest.raises(BoardError, match="did not answer"):
            getattr(board, name)
    lab.faults["board"].clear()
    time_out(board, 20_000)
    assert board.protocol_version == "1.2"
    assert board.interlock_closed is True


def test_a_refused_question_is_known_at_once_and_says_why(board: ArrayBoard):
    time_out(board, 60_000)
    began = time.monotonic()
    assert board.id  # the first question has no mark
    for ask in (lambda: board.ask("NONSENSE?"), lambda: board._ask_block("NONSENSE?")):
        with pytest.raises(BoardError, match=r"refused 'NONSENSE\?': error -113") as caught:
            ask()
        assert caught.value.number == -113
    assert time.monotonic() - began < 30


def test_the_registers_are_as_they_were_set(board: ArrayBoard, lab: Lab):
    assert board.event_status_enable == 0
    board.event_status_enable = 60
    board.service_request_enable = 32
    assert (board.event_status_enable, board.service_request_enable) == (60, 32)
    board.write("NONSENSE")
    assert board.status == 4 + 32 + 64  # an error is queued, and the event summary asks for service
    board.write("*ESE 1")
    assert (board.ask("*ESE?;*ESE?"), board.status) == ("1;1", 4)
    session = lab.boxes["board"].connections[-1]
    assert session.status.event_enable == 1


def answering(changes: dict[bytes, bytes | list[bytes] | None]) -> Callable[[bytes], bytes | None]:
    def say(line: bytes) -> bytes | None:
        said = changes.get(line, VALUES.get(line, b""))
        return said.pop(0) if isinstance(said, list) else said

    return say


@pytest.mark.parametrize(
    ("name", "query"), [("output_enabled", b"OUTP?"), ("interlock_closed", b"SYST:INT?")]
)
def test_a_state_is_believed_where_it_was_said_twice(name: str, query: bytes, scripted):
    board = ArrayBoard(
        scripted(answering({query: [b"OFF\n", b"0\n", b"1\n", b"0\n", b"ON\n", b"1\n"]})), timeout=20_000
    )
    assert getattr(board, name) is False
    assert getattr(board, name) is True  # it changed between the first two
    board.close()
    board = ArrayBoard(scripted(answering({query: [b"1\n", b"0\n"] * 2})), timeout=20_000)
    with pytest.raises(BoardError, match=r"answered '.*\?' with '1', and asked again at once with '0'"):
        getattr(board, name)
    board.close()


def test_an_answer_that_was_cut_off_is_told(scripted):
    board = ArrayBoard(scripted(answering({b"SYST:TEMP?": b"300.5", b"SYST:TIME?": b"1;5"})), timeout=20_000)
    assert board.id
    for name, answer in [("temperature", "300.5"), ("clock", "1;5")]:
        with pytest.raises(
            BoardError, match=rf"answered '{answer}' to '.*\?', without its end: check the wire"
        ):
            getattr(board, name)
    assert board.interlock_closed
    board.close()


def test_what_is_read_by_hand_is_refused_while_an_answer_is_owed(board: ArrayBoard):
    board.write("SYST:VERS?")
    assert board.read() == "1999.0"
    board.write("SIM:FAUL:MUTE 2")
    time_out(board, 100)
    with pytest.raises(BoardError, match="did not answer"):
        _ = board.temperature
    board.write("SYST:VERS?")
    with pytest.raises(BoardError, match="owes an earlier answer: use 'ask'"):
        board.read()
    time_out(board, 20_000)
    assert board.scpi_version == "1999.0"


def test_an_adapter_without_marks_is_given_up_after_a_silence():
    class Silent(ProtocolAdapter):
        def _read(self, **kwargs: object) -> str:
            if self.comm_pairs[self._index - 1][1] is None:
                raise TimeoutError("nothing came")
            return super()._read(**kwargs)

    board = ArrayBoard(Silent([("SYST:TEMP?", None), ("SYST:ERR?", None), ("SYST:TIME?", "300.5")]), "board")
    with pytest.raises(BoardError, match="nothing came") as caught:
        _ = board.temperature
    assert caught.value.lost
    with pytest.raises(BoardError, match="owes an earlier answer: open another connection"):
        _ = board.clock


def test_it_says_what_it_sent_where_the_board_says_rubbish_or_nothing(scripted):
    for said in (b"MAYBE\n", None):
        asked: list[bytes] = []

        def say(line: bytes, said: bytes | None = said, asked: list[bytes] = asked) -> bytes | None:
            asked.append(line)
            return said if line == b"OUTP?" else VALUES.get(line, b"")

        board = ArrayBoard(scripted(say), timeout=100)
        with pytest.raises(
            BoardError, match=r"'ABOR;:OUTP OFF' was sent, and whether the output is off is not known: "
        ):
            board.switch_off()
        assert b"ABOR;:OUTP OFF" in asked
        board.close()


def test_a_board_that_is_slow_to_become_idle_is_waited_for(scripted, block, payload):
    """After its last block a setting is sent only when it says that it is idle."""
    states = [b"RUN\n", b"STALL\n", b"RUN\n", b"IDLE\n"]
    asked: list[bytes] = []

    def say(line: bytes) -> bytes | None:
        asked.append(line)
        if line == b"FETC?":
            return block(payload(np.ones((1, 8), np.uint8), flags=32))
        return states.pop(0) if line == b"ACQ:STAT?" else VALUES.get(line, b"")

    board = ArrayBoard(scripted(say), timeout=20_000)
    board.start()
    assert board.fetch().last  # type: ignore[union-attr]
    board.voltage = 0.5
    board.width = 1e-9
    assert asked[3:-4] == 4 * [b"ACQ:STAT?"]
    assert asked[-4:] == [b"PULS:VOLT 0.5", b"SYST:ERR?", b"PULS:WIDT 1e-09", b"SYST:ERR?"]
    board.close()


def test_a_board_that_never_becomes_idle_is_not_waited_for_long(scripted, block, payload, patience):
    last = block(payload(np.ones((1, 8), np.uint8), flags=32))
    board = ArrayBoard(
        scripted(answering({b"FETC?": last, b"ACQ:STAT?": b"RUN\n"})), timeout=round(1000 * patience(0.2))
    )
    assert board.fetch().last  # type: ignore[union-attr]
    with pytest.raises(BoardError, match=r"still not idle after [\d.]+ s: abort it"):
        board.voltage = 0.5
    board.close()


def test_settings_right_after_the_last_block_are_taken(board: ArrayBoard):
    board.watchdog, board.voltage, board.read_voltage, board.pulses, board.pulses_per_block = (
        60,
        1.3,
        0.1,
        2,
        1,
    )
    board.output_enabled = True
    for number in range(200):
        board.start()
        board.fetch()
        assert board.fetch().last  # type: ignore[union-attr]
        board.voltage = 1.3 + 1e-4 * number
    board.switch_off()
