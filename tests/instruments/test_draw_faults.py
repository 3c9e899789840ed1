"""Faults in the middle of a draw: each is mended or a clear error, and output, hold and field are off afterwards."""

from collections.abc import Callable

import numpy as np
import pytest

from drivers import BoardError
from instruments import BenchError
from instruments.array import BoardArray, WorkingPoint
from instruments.bench import Bench
from mock_hw import Lab
from mock_hw.testing import BoardClient
from tests.instruments.conftest import COLUMNS, ROWS

CELLS = ROWS * COLUMNS
MISREAD = 0.005  # of the cells, at one threshold for all
POINT = WorkingPoint("reset", 0.9, 0.58e-9, 6e-9, 1.0, 0.6e-9, 0.1, 1e-6)
UNKNOWN = "whether the cells had their pulse is not known: read them"
MENDED = ("CORR 0,1", "CORR 0,3", "DEL 0.2", "DUPL 0", "RATE 100000")
# What goes wrong, and what the error says; of a draw whose outcome cannot be had it says so.
FATAL = {
    "DROP 0": f"is lost.*{UNKNOWN}",
    "CORR 0,9": f"nor did 3 repetitions.*{UNKNOWN}",
    "SKIP 0,1": f"ended the acquisition early.*{UNKNOWN}",
    "MUTE 1000000": f"did not answer.*{UNKNOWN}",
    "INT 0": "102",
    "TEMP 400": "103",
    "ERR -350": "-350",
}


def draws(array: BoardArray, after: Callable[[], object]) -> np.ndarray:
    """Draw once, and once more after something has happened; gives what the second draw says."""
    array.set_working_point(POINT)
    array.set_mask(True)
    array.set_thresholds(np.full(CELLS, 125e3))
    scale = array.set_dac_range(0.35, 1.1)
    array.switch_on(2.0)
    array.hold(-0.5)
    array.set_pulse_table(np.full(CELLS, scale.codes(np.array([0.68]))[0]))
    array.draw_once("flip")
    array.set_pulse_table(np.full(CELLS, scale.codes(np.array([0.66]))[0]))
    after()
    block = array.draw_once("flip")
    return np.unpackbits(block.bits, count=CELLS).astype(bool)


@pytest.fixture
def bench_path(write_bench, resource: str):
    return write_bench(resource, ("duty = 0.5", "hold_voltage = 0.6\nduty = 0.5"), timeout=0.5)


def is_off(lab: Lab, wait_until) -> None:
    """Output, hold and field go off: of themselves where nobody can say so to the board."""
    board = lab.boxes["board"]
    wait_until(lambda: not board.output, 10)
    assert (board.settings.hold, board.field_on) == (0.0, False)


def states(lab: Lab) -> np.ndarray:
    with lab.boxes["board"].changed:
        lab.boxes["board"].wait_until_still()
    return lab.arrays["board"].antiparallel.ravel()


@pytest.mark.parametrize("fault", MENDED)
def test_what_can_be_mended_leaves_the_outcome_as_it_is(
    bench_path, lab: Lab, wire: BoardClient, wait_until, fault: str
):
    with Bench.from_toml(bench_path) as bench:
        array = BoardArray(bench, POINT)
        array.field(False)
        drawn = draws(array, lambda: wire.errors(f"SIM:FAUL:{fault}") and pytest.fail(fault))
        assert (drawn != states(lab)).mean() < MISREAD
    is_off(lab, wait_until)


@pytest.mark.parametrize("fault", FATAL)
def test_what_cannot_is_a_clear_error_with_everything_off(
    bench_path, lab: Lab, wire: BoardClient, wait_until, fault: str
):
    def set_fault() -> None:
        wire.send(f"SIM:FAUL:{fault}")
        wire.ask("SIM:FAUL?")  # the board has taken it before another connection draws

    def draw() -> None:
        with Bench.from_toml(bench_path) as bench:
            array = BoardArray(bench, POINT)
            array.field(False)  # so that it is the host that has switched it, and it goes off
            draws(array, set_fault)

    with pytest.raises((BoardError, BenchError), match=f"(?s){FATAL[fault]}"):
        draw()
    is_off(lab, wait_until)


def test_a_draw_that_was_lost_is_had_by_a_reading_after_the_connection_is_back(
    bench_path, lab: Lab, wire: BoardClient
):
    with Bench.from_toml(bench_path) as bench:
        array = BoardArray(bench, POINT)
        array.field(False)
        with pytest.raises(BoardError, match=UNKNOWN) as lost:
            draws(array, lambda: wire.errors("SIM:FAUL:DROP 0"))
        assert lost.value.lost
        array.reconnect()
        array.set_working_point(POINT)
        array.set_mask(True)
        array.set_thresholds(np.full(CELLS, 125e3))
        array.switch_on(20.0)
        array.hold(-0.5)
        block = array.draw_once("read")
        read = np.unpackbits(block.bits, count=CELLS).astype(bool)
        assert (read != states(lab)).mean() < MISREAD
