"""Draws within the limits of a bench, whatever is set in whatever order, and though the board be careless."""

import contextlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import BoardError
from instruments import BenchError
from instruments.array import BoardArray, Trims, WorkingPoint
from instruments.bench import Bench
from mock_hw.boxes.array_board import Limits
from mock_hw.testing import BoardClient, board_lab

ROWS, COLUMNS = 3, 4
CELLS = ROWS * COLUMNS
PULSE_LIMIT, HOLD_LIMIT, OVERSHOOT = 1.5, 0.6, 0.1
POINT = WorkingPoint("reset", 0.4, 0.58e-9, 6e-9, 0.4, 0.6e-9, 0.1, 1e-6)
HAIR = 1 + 1e-9

VOLTS = st.floats(-1.7, 1.7) | st.sampled_from([0.0, 0.35, 0.9, 1.3, -1.36])
LOW_VOLTS = st.floats(-0.8, 0.8) | st.sampled_from([0.0, -0.5])
CODES = st.lists(st.integers(-1, 256), min_size=CELLS, max_size=CELLS) | st.sampled_from(
    [[255] * CELLS, [1] * CELLS, [0] * (CELLS - 1) + [255], [0] * CELLS]
)
Step = Callable[[BoardArray], object]


def point(voltage: float, reset: float) -> WorkingPoint:
    return WorkingPoint("reset", voltage, 0.58e-9, 6e-9, reset, 0.6e-9, 0.1, 1e-6)


def ready(array: BoardArray) -> None:
    """Have small pulses, a wide range of codes and a hold voltage."""
    array.set_working_point(POINT)
    array.set_dac_range(0.35, 1.3)
    array.switch_on(20.0)
    array.hold(-0.5)


STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.one_of(
        CODES.map(lambda codes: lambda array: array.set_pulse_table(np.array(codes))),
        CODES.map(lambda codes: lambda array: array.set_pulse_table(np.array(codes))),
        st.tuples(VOLTS, VOLTS).map(lambda volts: lambda array: array.set_dac_range(*volts)),
        LOW_VOLTS.map(lambda volts: lambda array: array.hold(volts)),
        st.tuples(VOLTS, VOLTS).map(lambda volts: lambda array: array.set_working_point(point(*volts))),
        st.tuples(LOW_VOLTS, LOW_VOLTS).map(lambda volts: lambda array: array.set_trims(Trims(volts[0], 0, volts[1]))),
        st.booleans().map(lambda on: lambda array: array.field(on)),
        st.just(ready),
        st.just(lambda array: array.switch_on(20.0)),
        st.just(lambda array: array.switch_off()),
        st.just(lambda array: array.reconnect()),
        st.sampled_from(["write", "flip", "read"]).map(lambda mode: lambda array: array.draw_once(mode)),
    ),
    min_size=4,
    max_size=16,
)  # fmt: skip


@contextlib.contextmanager
def bench_of(resource: str, write_bench: Callable[..., Path]):
    path = write_bench(
        resource,
        ("duty = 0.5", f"hold_voltage = {HOLD_LIMIT}\nduty = 0.5"),
        ("pulse_voltage = 1.8", f"pulse_voltage = {PULSE_LIMIT}"),
        ("overshoot = 0.0", f"overshoot = {OVERSHOOT}"),
        rows=ROWS,
        columns=COLUMNS,
    )
    with Bench.from_toml(path) as bench:
        yield bench


@pytest.mark.parametrize("careless", [True, False], ids=["the host alone", "host and board"])
def test_no_sequence_of_settings_drives_a_junction_above_a_limit(write_bench, careless: bool):
    """At the device, overshoot included; where the board is careless it has no limits of its own left."""
    with board_lab(rows=ROWS, columns=COLUMNS, seed=5) as lab:
        board = lab.boxes["board"]

        def check(gain: float) -> None:
            now = board.settings
            assert now.largest("voltage") * gain * (1 + OVERSHOOT) <= PULSE_LIMIT * HAIR
            assert abs(now.hold) * gain * (1 + OVERSHOOT) <= HOLD_LIMIT * HAIR
            assert board.output or now.hold == 0

        @settings(max_examples=40)
        @given(st.booleans(), STEPS)
        def sequence(begin_ready: bool, steps: list[Step]) -> None:
            lab.power_cycle()
            with bench_of(lab.resources["board"], write_bench) as bench:
                array = BoardArray(bench, POINT)
                for step in [ready] * begin_ready + steps:
                    if careless:
                        board.limits = Limits(10.0, 10e-9, 0.5, 10.0)
                    table = board.settings.codes.copy()
                    try:
                        step(array)
                    except (BenchError, BoardError, ValueError):
                        # Nothing of a table that is refused is set; a range that is refused leaves the table.
                        if step is not ready:
                            np.testing.assert_array_equal(board.settings.codes, table)
                    check(bench.board.path.gain)
            assert not board.output
            check(1.0)

        sequence()


@pytest.mark.parametrize("when", ["before", "during"])
def test_a_scale_that_somebody_else_changed_is_refused(write_bench, when: str):
    """Before the output is on, or between the host's question and the output's going on."""
    with (
        board_lab(rows=ROWS, columns=COLUMNS, seed=5) as lab,
        bench_of(lab.resources["board"], write_bench) as bench,
        BoardClient(lab) as other,
    ):
        array = BoardArray(bench, POINT)
        array.set_working_point(POINT)
        array.set_dac_range(0.35, 1.1)
        array.set_pulse_table(np.ones(CELLS, int))
        driver = bench.board.board
        if when == "before":
            assert other.errors("PULS:DAC:RANG 0.35,1.2") == []
        else:
            write = driver.write

            def late(command: str, **kwargs: object) -> None:
                if command == "OUTP 1":
                    assert other.errors("PULS:DAC:RANG 0.35,1.2") == []
                write(command, **kwargs)

            driver.write = late
        with pytest.raises(BenchError, match="look at who else changes the board, and set the table anew"):
            array.switch_on(20.0)
        assert not lab.boxes["board"].output


def test_a_hold_counts_with_trims_that_were_set_before(write_bench):
    with (
        board_lab(rows=ROWS, columns=COLUMNS, seed=5) as lab,
        bench_of(lab.resources["board"], write_bench) as bench,
    ):
        array = BoardArray(bench, POINT)
        array.set_working_point(POINT)
        array.set_trims(Trims(0.6, 0.0, 0.6))
        array.switch_on(20.0)
        with pytest.raises(BenchError, match=r"pulse and hold voltage together of 1\.65 V"):
            array.hold(-0.5)
        with pytest.raises(BenchError, match="pulse and hold voltage together"):
            array.set_working_point(point(0.9, 0.4))
        array.hold(-0.3)
        assert lab.boxes["board"].settings.hold == pytest.approx(-0.3 / bench.board.path.gain)
        array.switch_on(20.0)  # it is on: the hold stays, and is known
        with pytest.raises(BenchError, match="pulse and hold voltage together"):
            array.set_working_point(point(0.5, 0.4))
