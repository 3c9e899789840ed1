"""Draws of an array: pulse codes, hold voltage and field, and that no junction is above its limit."""

import time

import numpy as np
import pytest

from instruments import BenchError
from instruments.array import BoardArray, DacScale, WorkingPoint
from instruments.bench import Bench
from mock_hw import Lab
from tests.instruments.conftest import COLUMNS, ROWS

CELLS = ROWS * COLUMNS
MISREAD = 0.005  # of the cells, at one threshold for all
POINT = WorkingPoint("reset", 0.9, 0.58e-9, 6e-9, 1.0, 0.6e-9, 0.1, 1e-6)


@pytest.fixture
def bench(write_bench, resource: str):
    with Bench.from_toml(write_bench(resource, ("duty = 0.5", "hold_voltage = 0.6\nduty = 0.5"))) as bench:
        yield bench


@pytest.fixture
def array(bench: Bench) -> BoardArray:
    """An array that is on, held, in its field, with codes from 0.35 to 1.1 V."""
    array = BoardArray(bench, POINT)
    array.set_working_point(POINT)
    array.set_mask(True)
    array.set_thresholds(np.full(CELLS, 125e3))
    array.set_dac_range(0.35, 1.1)
    array.switch_on(20.0)
    array.hold(-0.5)
    array.field(True)
    return array


def states(lab: Lab) -> np.ndarray:
    with lab.boxes["board"].changed:
        lab.boxes["board"].wait_until_still()
    return lab.arrays["board"].antiparallel.ravel()


def bits(block) -> np.ndarray:
    return np.unpackbits(block.bits, count=CELLS).astype(bool)


def test_a_draw_flips_the_cells_that_have_a_pulse_and_stores_its_outcome(array: BoardArray, lab: Lab):
    scale = array.dac()
    assert (scale.bits, scale.highest) == (8, 255)
    assert scale.volts(np.array([0, 1, 255])) == pytest.approx([0, 0.35, 1.1], rel=1e-6)
    before = bits(array.draw_once("read"))
    assert (before != states(lab)).mean() < MISREAD
    pulsed = np.arange(CELLS) % 2 == 0
    array.set_pulse_table(np.where(pulsed, scale.codes(np.full(CELLS, 0.68)), 0))
    block = array.draw_once("flip")
    assert (block.pulses, block.cells, block.valid) == (1, CELLS, None)
    after = bits(block)
    assert (after != states(lab)).mean() < MISREAD
    assert (before != after)[~pulsed].mean() < MISREAD
    assert 0.3 < (before != after)[pulsed].mean() < 0.9
    assert (bits(array.draw_once("read")) != after).mean() < MISREAD
    array.set_pulse_table(np.where(pulsed, scale.highest, 0))
    written = bits(array.draw_once("write"))
    assert written[pulsed].mean() > 0.97
    assert written[~pulsed].mean() < 0.03


def test_what_is_held_stays_and_what_is_not_is_lost_with_time_in_the_field(array: BoardArray):
    kept = bits(array.draw_once("read"))
    time.sleep(0.3)
    again = bits(array.draw_once("read"))
    assert (again != kept).mean() < MISREAD
    array.hold(0.0)
    time.sleep(0.2)
    lost = (bits(array.draw_once("read")) != kept).mean()
    assert 0.1 < lost < 0.5  # 18 % in 0.2 s, and more on a slow machine
    array.field(False)
    now = bits(array.draw_once("read"))
    time.sleep(0.3)
    assert (bits(array.draw_once("read")) != now).mean() < MISREAD


def test_hold_and_field_go_off_with_the_output(array: BoardArray, lab: Lab):
    board = lab.boxes["board"]
    assert board.settings.hold == pytest.approx(-0.5 / array.role.path.gain)
    assert board.field_on
    array.switch_off()
    assert (board.settings.hold, board.field_on) == (0.0, False)
    # What pulses without a draw has its field back.
    array.switch_on(20.0)
    assert board.field_on


def test_hold_and_pulse_together_are_within_the_limit(array: BoardArray, lab: Lab):
    """The bench stands 1.8 V: with 0.5 V held a pulse has 1.3 V left, at the bench and at the board."""
    with pytest.raises(BenchError, match=r"pulse and hold voltage together of 1\.\d+ V"):
        array.set_dac_range(0.35, 1.31)
    array.hold(0.0)
    array.set_dac_range(0.35, 1.7)
    scale = array.dac()
    array.set_pulse_table(np.full(CELLS, scale.highest))
    with pytest.raises(BenchError, match=r"pulse and hold voltage together of 2\.2 V"):
        array.hold(-0.5)
    array.set_pulse_table(np.full(CELLS, 1))
    array.hold(-0.5)
    table = lab.boxes["board"].settings.codes.copy()
    with pytest.raises(BenchError, match="pulse and hold voltage together"):
        array.set_pulse_table(np.where(np.arange(CELLS) == 7, scale.highest, 1))
    np.testing.assert_array_equal(lab.boxes["board"].settings.codes, table)
    with pytest.raises(BenchError, match=r"limits\.hold_voltage = 0\.6 V"):
        array.hold(0.61)


def test_a_scale_that_has_changed_since_the_table_was_set_keeps_the_output_off(
    array: BoardArray, wire, bench: Bench
):
    array.set_pulse_table(np.ones(CELLS, int))
    array.switch_off()
    assert wire.errors("PULS:DAC:RANG 0.1,1.1") == []
    with pytest.raises(BenchError, match="look at who else changes the board"):
        array.switch_on(20.0)
    assert wire.ask("OUTP?") == "0"


def test_cells_are_held_before_they_are_in_the_field(
    array: BoardArray, lab: Lab, monkeypatch: pytest.MonkeyPatch
):
    board, held = lab.boxes["board"], []
    switch = board.set_field

    def set_field(on: bool) -> None:
        held.append((on, board.settings.hold))
        switch(on)

    monkeypatch.setattr(board, "set_field", set_field)
    array.field(False)
    assert array.switch_off()
    array.switch_on(20.0, -0.5)
    assert held == [(on, pytest.approx(-0.5, rel=1e-3)) for on in (False, True)]
    assert board.field_on


def test_a_board_of_1_1_is_refused_in_one_sentence(bench: Bench):
    bench.board.board._version = (1, 1)
    array = BoardArray(bench, POINT)
    with pytest.raises(BenchError, match=r"no pulse table, hold voltage and field: update .* protocol 1\.2$"):
        array.draw_once("flip")


def test_codes_are_the_nearest_ones():
    scale = DacScale(4, -0.1, 2.0)
    codes = scale.codes(np.array([1.9, 1.84, 0.5, 3.0, -1.0]))
    np.testing.assert_array_equal(codes, [1, 2, 15, 1, 15])
