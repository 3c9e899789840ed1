"""Time in the simulated laboratory: pulses at the device's own pace, and arrays that are left alone."""

import struct
import time
from typing import Any

import numpy as np
import pytest

from mock_hw import Lab, LabError, LabSettings, MacrospinDevice, SimulatedArray
from mock_hw.boxes.array_board import TABLE, ArrayBoard, Session
from mock_hw.testing import board_lab
from tests.mock_hw.conftest import SMALL

# 12 rows of 1 ms and a little, so 12 ms for a pulse of TOGGle and 24 ms for one of RESet.
SLOW = (
    "PULS:VOLT 1.34;WIDT 0.34e-9;PER 1e-6;:RES:VOLT 1.55;WIDT 0.595e-9;:SENS:VOLT 0.1;SETT 1e-3;:SYST:WATC 60"
)
PULSE = 12 * (1e-3 + 1e-6)


def settings(**lab: object) -> LabSettings:
    return LabSettings.model_validate({"lab": lab, "boxes": {"board": {"kind": "array-board", **SMALL}}})


@pytest.fixture
def slow(serve, connect_to):
    """A client of a board that pulses at the device's pace."""
    return connect_to(serve(pace="real", seed=4))


class Reading:
    """The board's clock, between two looks at the computer's: a busy machine may take long to answer."""

    def __init__(self, client) -> None:
        self.before = time.monotonic()
        self.clock = float(client.ask("SYST:TIME?"))
        self.after = time.monotonic()

    def follows(self, first: "Reading") -> bool:
        """Whether as much time went by on the board as on the computer since the first reading, to 0.1 s."""
        least, most = self.before - first.after, self.after - first.before
        return least - 0.1 < self.clock - first.clock < most + 0.1


def times(blocks: list[bytes]) -> list[float]:
    return [struct.unpack_from("<d", block, 32)[0] for block in blocks]


@pytest.mark.parametrize(("mode", "factor"), [("TOGG", 1), ("RES", 2)])
def test_real_pace_takes_the_time_that_the_settings_say(slow, patience, mode, factor):
    sent = time.monotonic()
    slow.send(f"{SLOW};:SEQ:MODE {mode};:ACQ:COUN 20;BLOC 4;:OUTP ON;:INIT")
    began = Reading(slow)
    blocks = []
    while len(blocks) < 5:
        if block := slow.block("FETC?"):
            blocks.append(block)
            assert time.monotonic() - sent > 0.99 * len(blocks) * 4 * factor * PULSE
    elapsed = time.monotonic() - sent
    assert 20 * factor * PULSE < elapsed < 20 * factor * PULSE + patience(1)
    assert Reading(slow).follows(began)
    # A computer that is held up may make the board late, never early.
    assert np.diff(times(blocks)).min() == pytest.approx(4 * factor * PULSE, rel=1e-6)
    assert abs(times(blocks)[0] - began.clock) < 0.1 + began.after - sent


def test_the_clock_follows_the_computers_while_pulses_wait(slow):
    slow.send(f"{SLOW};:ACQ:BLOC 1000;:OUTP ON;:INIT")
    began = Reading(slow)
    for _ in range(5):
        time.sleep(0.05)
        assert Reading(slow).follows(began)
    assert slow.ask("ACQ:STAT?;FIFO?").startswith("RUN;0,")


@pytest.mark.parametrize("stop", ["ABOR", "OUTP OFF", "*RST"])
def test_an_abort_does_not_wait_for_pulses(slow, patience, stop):
    slow.send(f"{SLOW};:ACQ:BLOC 10000;:OUTP ON;:INIT")
    assert slow.ask("ACQ:STAT?") == "RUN"
    began = time.monotonic()
    slow.send(stop)
    assert slow.ask("ACQ:STAT?") == "IDLE"
    # *RST waits until the array is free, and so does the next acquisition.
    slow.send(f"{SLOW};:ACQ:COUN 1;BLOC 1;:OUTP ON;:INIT")
    while not slow.block("FETC?"):
        pass
    assert time.monotonic() - began < patience(0.5)


def test_a_lab_at_the_devices_pace_ends_at_once(connect_to, patience):
    with board_lab(**SMALL, pace="real", seed=4) as lab:
        slow = connect_to(lab)
        slow.send(f"{SLOW};:ACQ:BLOC 10000;:OUTP ON;:INIT")
        assert slow.ask("ACQ:STAT?") == "RUN"
        began = time.monotonic()
    assert time.monotonic() - began < patience(1)


def test_the_pace_changes_no_bit(serve, connect_to, monkeypatch):
    # What the array does while it is left alone follows the computer's clock.
    monkeypatch.setattr("mock_hw.SimulatedArray.rest", lambda self, seconds, **how: None)
    drawn = []
    for pace in ("fast", "real"):
        board = connect_to(serve(pace=pace, seed=4))
        board.send(f"{SLOW};:ACQ:COUN 10;BLOC 10;:OUTP ON;:INIT")
        while not (block := board.block("FETC?")):
            pass
        drawn.append(block[64:])
    assert drawn[0] == drawn[1]


def test_the_call_goes_before_the_file_and_fast_is_the_default():
    assert Lab(settings()).pace == "fast"
    assert Lab(settings(pace="real")).pace == "real"
    assert Lab(settings(pace="real"), pace="fast").pace == "fast"


def test_a_pace_that_does_not_exist(lab_file):
    path = lab_file('[lab]\npace = "slow"\n[boxes.a]\nkind = "array-board"\n')
    with pytest.raises(LabError, match=r"lab\.toml is wrong: lab\.pace: .*'fast' or 'real'"):
        Lab.from_toml(path)


# What time does to an array that is left alone: the array is told how long it was


class PatientArray(SimulatedArray):
    """Notes the rests that it is given."""

    def __init__(self) -> None:
        super().__init__(MacrospinDevice.of("C", 120, 1), 12, 10, 1)
        self.rests: list[float] = []

    def rest(self, seconds: float, **how: Any) -> None:
        assert {"nearly": False, **how} == {
            "temperature": 310.0,
            "powered": True,
            "hold": 0.0,
            "nearly": False,
        }
        self.rests.append(seconds)
        super().rest(seconds, **how)


@pytest.fixture
def board():
    board = ArrayBoard(PatientArray(), temperature=310.0)
    yield board
    board.close()


def say(board: ArrayBoard, line: str) -> None:
    session = Session(board, TABLE)
    list(session.feed(line.encode() + b"\n"))
    with board.changed:
        board.wait_until_still()
    session.close()


def test_an_array_rests_for_the_whole_seconds_of_board_time_that_it_was_left_alone(board):
    array = board.array
    assert isinstance(array, PatientArray)
    board.clock.advance(1.1)
    say(board, f"{SLOW};:ACQ:COUN 100;BLOC 100;:OUTP ON;:INIT")
    # More than a second of pulses is no rest, however fast it was simulated; nor is what comes right after it.
    assert board.clock.now() > 1.1 + 2 * 100 * PULSE
    say(board, "OUTP ON;:ARR:RES?")
    # What was left of the first second counts with what comes later.
    board.clock.advance(0.95)
    say(board, "OUTP ON;:ARR:RES?")
    assert array.rests == [1.0, 0.0, 1.0]


def test_a_power_cycle_does_not_lose_the_rest(board, patience):
    array = board.array
    assert isinstance(array, PatientArray)
    say(board, "OUTP ON;:ARR:RES?")
    for _ in range(2):
        board.clock.advance(0.6)
        board.power_cycle()
    assert board.clock.now() < min(0.6, patience(0.3))
    say(board, f"{SLOW};:ACQ:COUN 1;BLOC 1;:OUTP ON;:INIT")
    assert array.rests == [0.0, 1.0]
