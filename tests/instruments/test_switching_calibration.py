"""V(P) of every cell from few pulses, held against the simulated truth."""

import tracemalloc

import numpy as np
import pytest
from scipy.special import expit

from benchmarks.bernoulli import TrueCells, measure
from instruments.array import SwitchingLaw
from instruments.tuning import _voltage_curves, calibrate


def test_few_pulses_tell_the_voltage_of_every_probability():
    found = measure("C", 15_000, cells=256)
    assert found["pulses"] <= 15_000
    assert found["mean_error"] <= 0.01
    assert found["quantile_99"] <= 0.03
    assert 0.9 <= found["covered"] <= 0.995


@pytest.mark.slow
@pytest.mark.parametrize(("pulses", "mean_error"), [(60_000, 0.007), (15_000, 0.01)])
@pytest.mark.parametrize("device", ["C", "D"])
def test_a_calibrated_array_draws_what_was_asked_for(device: str, pulses: int, mean_error: float):
    found = measure(device, pulses)
    assert found["pulses"] <= pulses
    assert found["mean_error"] <= mean_error
    assert found["quantile_99"] <= (0.03 if pulses == 60_000 else 0.05)
    assert found["largest_mean"] <= 0.002
    assert 0.9 <= found["covered"] <= 0.99


def test_voltages_at_which_cells_do_not_begin_to_switch_are_refused():
    with pytest.raises(ValueError, match="do not span"):
        calibrate(TrueCells("C", 0.58e-9, 16, 3), 0.2, 0.45, 2000)
    with pytest.raises(ValueError, match="too few"):
        calibrate(TrueCells("C", 0.58e-9, 16, 3), 0.3, 1.1, 100)


def test_a_law_gives_back_the_probability_that_its_voltage_was_asked_for():
    logits = np.linspace(-6, 6, 25)
    volts = np.stack([0.6 + 0.05 * logits * slope for slope in (1.0, 1.2, 0.9)])
    law = SwitchingLaw(logits, np.stack([volts, volts + 0.01]), np.full((2, 3, 25), 1e-3), 0.2, 1.0)
    state, p = np.array([False, True, False]), np.array([0.01, 0.5, 0.97])
    reached, sigma = law.voltage(p, state)
    np.testing.assert_allclose(law.probability(reached, state), p, rtol=1e-9)
    low, high = law.interval(p, state)
    assert (low < p).all()
    assert (p < high).all()
    assert (sigma == 1e-3).all()
    assert law.voltage(0.0, False)[0].min() >= 0.2
    np.testing.assert_allclose(law.response(reached, state)[1], 1 / (0.05 * np.array([1.0, 1.2, 0.9])))
    np.testing.assert_array_equal(law.response(2.0, False)[1], 0)
    narrow = law.narrowed(0.1)
    assert 0.2 < law.narrowed(0.01).lowest < narrow.lowest < narrow.highest < 1.0
    np.testing.assert_array_equal(narrow.voltage(0.001, False)[0], narrow.lowest)
    with pytest.raises(ValueError, match="falls"):
        SwitchingLaw(logits, law.volts[..., ::-1], law.sigma, 0.2, 1.0)


def test_no_copy_of_a_large_array_keeps_the_board_waiting(monkeypatch: pytest.MonkeyPatch):
    """Between two rests no more memory is taken than a part wants: copying 500 MB took longer than a watchdog waits."""
    monkeypatch.setattr(_voltage_curves, "_AT_ONCE", 64)
    rng, cells = np.random.default_rng(1), 2048
    volts = np.broadcast_to(np.linspace(0.35, 1.1, 24)[:, None, None], (24, 2, cells))
    n = np.full(volts.shape, 50)
    k = rng.binomial(n, expit((volts - 0.67 - 0.02 * rng.standard_normal((2, cells))) / 0.03))
    curves, counts = _voltage_curves.first_guess(_voltage_curves.Counts(volts, n, k))
    peaks: list[int] = []

    def rest() -> None:
        peaks.append(tracemalloc.get_traced_memory()[1] - held)
        tracemalloc.reset_peak()

    tracemalloc.start()
    held = tracemalloc.get_traced_memory()[0]
    try:
        _voltage_curves.improve(curves, counts, 2, rest)
        end = tracemalloc.get_traced_memory()[1] - held
    finally:
        tracemalloc.stop()
    whole = curves.spread.nbytes
    assert max(*peaks[1:], end) < 1.5 * whole, "the parts' arrays beside the one that is filled"
