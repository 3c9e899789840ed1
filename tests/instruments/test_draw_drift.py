"""A drift of all cells' volts is followed from the outcomes of draws, and without that the draws are off."""

import numpy as np
import pytest

from benchmarks.bernoulli import PROBABILITIES, drifting
from instruments.array import DrawDrift, SwitchingLaw

CELLS = 1024


def logistic_law(seed: int) -> SwitchingLaw:
    """Cells whose logit rises by 24 to 26 a volt about 0.6 to 0.75 V, known to 1.5 mV."""
    dice = np.random.default_rng(seed)
    logits = np.linspace(-7, 7, 71)
    centre, rise = dice.normal(0.67, 0.02, (2, CELLS, 1)), dice.uniform(0.038, 0.042, (2, CELLS, 1))
    return SwitchingLaw(
        logits, np.maximum(centre + rise * logits, 0.3), np.full((2, CELLS, 71), 1.5e-3), 0.3, 1.1
    )


def worst_mean(drawn: SwitchingLaw | DrawDrift, law: SwitchingLaw, change: float) -> float:
    """The largest error of P in the mean over the cells, where their volts are off by `change`."""
    return max(
        abs(float((law.probability(drawn.voltage(p, state)[0] / (1 + change), state) - p).mean()))
        for p in PROBABILITIES
        for state in (False, True)
    )


def after(law: SwitchingLaw, change: float, draws: int, seed: int) -> DrawDrift:
    """What has followed draws while the volts went by `change`; a tenth of the cells had no pulse each time."""
    dice, drift, state = np.random.default_rng(seed), DrawDrift(law), np.zeros(CELLS, bool)
    for draw in range(draws):
        volts, _ = drift.voltage(dice.choice(PROBABILITIES, CELLS), state)
        drawn = dice.random(CELLS) < 0.9
        p = law.probability(volts / (1 + change * draw / draws), state)
        switched = drawn & (dice.random(CELLS) < p)
        drift.take(np.where(drawn, volts, 0.0), switched, drawn, state)
        state = state ^ switched
    return drift


@pytest.mark.parametrize("change", [0.01, -0.01])
def test_a_drift_of_one_per_cent_is_followed(change: float):
    law = logistic_law(2)
    drift = after(law, change, 3000, 4)
    assert worst_mean(drift, law, change) <= 0.003
    assert worst_mean(law, law, change) > 0.03
    assert np.abs(drift.change - change).mean() < 1e-3
    state = np.zeros(CELLS, bool)
    np.testing.assert_allclose(drift.probability(drift.voltage(0.3, state)[0], state), 0.3, atol=1e-9)


def test_where_nothing_drifts_hardly_anything_is_corrected():
    law = logistic_law(3)
    drift = after(law, 0.0, 1000, 5)
    assert worst_mean(drift, law, 0.0) <= 0.002
    assert np.abs(drift.change).max() < 5e-3


def test_a_draw_without_pulses_tells_nothing():
    law = logistic_law(3)
    drift = DrawDrift(law)
    none = np.zeros(CELLS, bool)
    drift.take(np.zeros(CELLS), none, none, none)
    assert not drift.change.any()


@pytest.mark.slow
@pytest.mark.parametrize("device", ["C", "D"])
def test_draws_of_a_drifting_array_stay_as_near_as_its_calibration(device: str):
    found = dict(drifting(device))
    followed, left = found["followed"], found["not followed"]
    assert followed["mean_error"] <= 0.007
    assert followed["quantile_99"] <= 0.03
    assert followed["largest_mean"] <= 0.002
    assert left["mean_error"] > 0.007
    assert left["quantile_99"] > 0.03
    assert left["largest_mean"] > 0.002
