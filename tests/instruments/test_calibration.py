"""What the start-up of a recording makes of readings and counts: worked examples."""

from dataclasses import replace

import numpy as np
import pytest

from instruments.array import Block, WorkingPoint, count_switchings
from instruments.recording._account import Counts
from instruments.recording._energy import energy_per_bit
from instruments.tuning._calibration import _reasons, apart, two_states


def readings(*cells: tuple[float, float, float, float]) -> np.ndarray:
    """Make 400 readings of cells, each given by R_P, R_AP, the relative noise and the fraction of AP."""
    random = np.random.default_rng(3)
    columns = []
    for low, high, noise, fraction in cells:
        state = random.random(400) < fraction
        columns.append(np.where(state, high, low) * (1 + noise * random.standard_normal(400)))
    return np.stack(columns, 1).astype(np.float32)


def test_two_states_are_found():
    found = two_states(readings((75e3, 170e3, 0.01, 0.5), (60e3, 120e3, 0.02, 0.1)))
    np.testing.assert_allclose(found[0], [75e3, 60e3], rtol=0.01)
    np.testing.assert_allclose(found[1], [170e3, 120e3], rtol=0.01)
    np.testing.assert_allclose(found[2], [750, 1200], rtol=0.2)
    assert apart(found).all()


def test_cells_that_cannot_be_used_get_their_reason():
    good = [(75e3, 170e3, 0.01, 0.5)] * 5
    bad = [
        (75e3, 170e3, 0.01, 0.0),  # stuck parallel
        (75e3, 170e3, 0.01, 1.0),  # stuck antiparallel
        (75e3, 90e3, 0.05, 0.5),  # its windows overlap
        (200.0, 210.0, 0.01, 0.5),  # shorted
        (2e7, 4e7, 0.01, 0.5),  # open
    ]
    found = two_states(readings(*good, *bad))
    reason = _reasons(found, apart(found))
    assert list(reason[:5]) == [""] * 5
    assert list(reason[5:]) == ["stuck in P", "stuck in AP", "its two states overlap", "shorted", "open"]


def test_a_reading_that_never_changes():
    found = two_states(np.full((50, 2), 1e5, np.float32))
    assert not apart(found).any()
    assert all(_reasons(found, apart(found)))


def block_of(bits: np.ndarray, valid: np.ndarray | None = None) -> Block:
    return Block(0, *bits.shape, 0.0, np.packbits(bits), None if valid is None else np.packbits(valid))


def counted(blocks: list[Block], toggle: bool) -> list:
    return [each.tolist() for each in count_switchings(iter(blocks), 3, toggle)]


def test_pulses_are_counted_by_the_state_that_they_start_from():
    bits = np.array([[1, 0, 1], [0, 0, 1], [1, 0, 0], [1, 0, 1]], np.uint8)
    assert counted([block_of(bits)], False) == [[[4, 4, 4], [0, 0, 0]], [[3, 0, 3], [0, 0, 0]]]
    assert counted([block_of(bits)], True) == [[[1, 3, 1], [2, 0, 2]], [[1, 0, 1], [1, 0, 1]]]
    valid = np.array([[1, 1, 0], [1, 1, 0], [0, 1, 0], [1, 1, 0]], np.uint8)
    blocks = [block_of(bits & valid, valid)]
    assert counted(blocks, False) == [[[3, 4, 0], [0, 0, 0]], [[2, 0, 0], [0, 0, 0]]]
    assert counted(blocks, True) == [[[0, 3, 0], [1, 0, 0]], [[0, 0, 0], [1, 0, 0]]]
    assert counted([block_of(bits)] * 2, False)[0][0] == [8, 8, 8]


def lag1(ones: int, bits: int, changed: int, pairs: int) -> float:
    return Counts(bits=bits, ones=ones, changed=changed, pairs=pairs).lag1


def test_lag1_is_the_correlation():
    # A two-state chain that stays with 0.6 has correlation 0.2, whatever is counted to the last bit.
    assert lag1(500, 1000, 400, 1000) == pytest.approx(0.2)
    # Independent outcomes with P(1) = 0.7 change in 2 · 0.7 · 0.3 of all pairs.
    assert lag1(700, 1000, 420, 1000) == pytest.approx(0.0, abs=1e-12)
    assert np.isnan(lag1(0, 1000, 0, 999))
    assert np.isnan(lag1(10, 20, 0, 0))


def test_energy_is_voltage_squared_times_time_over_resistance():
    point = WorkingPoint("toggle", 2.0, 1e-9, 6e-9, 3.0, 2e-9, 0.1, 1e-6)
    one = {
        "pulse_volts": np.array([2.0]), "width": np.array([1e-9]), "r_p": np.array([1e5]), "r_ap": np.array([2e5]),
        "ones_fraction": 0.5,
    }  # fmt: skip
    toggle = energy_per_bit(point, usable_fraction=1.0, **one)  # type: ignore[arg-type]
    mean = 0.5 / 1e5 + 0.5 / 2e5
    assert toggle.write == pytest.approx(4 * 1e-9 * mean)
    assert toggle.read == pytest.approx(0.01 * 1e-6 * mean)
    assert toggle.reset == 0
    reset = energy_per_bit(replace(point, mode="reset"), usable_fraction=0.5, **one)  # type: ignore[arg-type]
    assert reset.write == pytest.approx(2 * 4 * 1e-9 / 1e5)
    assert reset.read == pytest.approx(2 * 0.01 * 1e-6 * (mean + 1 / 1e5))
    assert reset.reset == pytest.approx(2 * 9 * 2e-9 * 0.5 / 2e5)
