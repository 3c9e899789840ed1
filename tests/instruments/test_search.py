"""The search for the pulse, on switching curves that are known: no board, no lab.

Statistical tests use fixed seeds, and bounds that chance passes with less than 1e-6 where the claim holds.
"""

import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom

from instruments.tuning._search import NEITHER, VOLTAGE, WIDTH, Range, Search, Tuned, expected_distance
from instruments.tuning._switching_curve import Prior, crossing, fit, logit

COLUMNS = 2000
RANGES = {VOLTAGE: Range(-0.2, 0.2), WIDTH: Range(-1e-10, 1e-10)}


class Curves:
    """A `Pulser` of columns whose probability is `law(voltage, width)`; every batch may drift, in logits."""

    def __init__(self, law, columns: int = COLUMNS, drift: float = 0.0, seed: int = 1) -> None:
        self.law, self.drift = law, drift
        self.random = np.random.default_rng(seed)
        self.pulses = np.zeros(columns)
        self.seen: list[np.ndarray] = []

    def run(self, voltage, width, active, pulses):
        self.seen.append(voltage)
        self.pulses += pulses * active
        eta = logit(np.clip(self.law(voltage, width), 1e-12, 1 - 1e-12))
        p = expit(eta + self.drift * self.random.standard_normal(len(voltage)))
        return np.full(len(p), float(pulses)), self.random.binomial(pulses, p).astype(float)


def searched(curves: Curves, target: float = 0.5, tolerance: float = 0.01, **more) -> Tuned:
    return Search(curves, len(curves.pulses), target, tolerance, RANGES, **more).run(
        np.ones(len(curves.pulses), bool)
    )


def spread_of(columns: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-0.1, 0.1, columns)


def few(share: float, of: int) -> float:
    """Most failures that chance has with probability 1e-6, where each fails with probability `share`."""
    return float(binom.ppf(1 - 1e-6, of, share))


@pytest.mark.parametrize(("slope", "target"), [(12.0, 0.5), (230.0, 0.02), (230.0, 0.5), (-40.0, 0.98)])
def test_every_column_comes_to_its_target(slope: float, target: float):
    """0.1 % may be further than the tolerance, by the rule's 3.3 standard errors; 5 % beyond their intervals."""
    place = spread_of(COLUMNS)
    curves = Curves(lambda v, w: expit(logit(target) + slope * (v - place / 4)))
    found = searched(curves, target)
    truth = curves.law(found.voltage, found.width)
    assert found.done.all()
    assert (np.abs(truth - target) > 0.01).sum() <= few(0.002, COLUMNS)
    outside = ((truth < found.low) | (truth > found.high)).sum()
    assert binom.ppf(1e-6, COLUMNS, 0.02) < outside < few(0.06, COLUMNS)
    needed = 3.3**2 / 1e-4 * target * (1 - target)
    assert curves.pulses.mean() < needed + 12_000
    steep = found.per_volt[found.actuator == VOLTAGE] / slope
    assert 0.75 < np.median(steep) < 1.1  # few pulses at the ends tell the slope no better


def test_a_column_that_the_voltage_does_not_move_is_tuned_by_its_width():
    place = spread_of(COLUMNS)
    plateau = np.arange(COLUMNS) < COLUMNS // 2

    def law(v, w):
        return expit(np.where(plateau, 0.3 + 3e10 * (w - place * 2e-10), 10 * (v - place)))

    found = searched(Curves(law))
    assert found.done.all()
    assert (found.actuator[plateau] == WIDTH).mean() > 0.99  # noise may look like a slope
    assert (found.actuator[~plateau] == VOLTAGE).mean() > 0.99
    assert np.isnan(found.per_volt[found.actuator == WIDTH]).all()
    truth = law(found.voltage, found.width)
    assert (np.abs(truth - 0.5) > 0.01).sum() <= few(0.002, COLUMNS)


def test_where_nothing_moves_it_the_trim_that_is_good_enough_is_taken():
    close = np.arange(COLUMNS) < COLUMNS // 2
    found = searched(Curves(lambda v, w: np.where(close, 0.502, 0.55) + 0 * v))
    assert (found.actuator[close] == NEITHER).mean() > 0.99
    assert found.done[close].all()
    assert not found.done[~close].any()
    assert np.isnan(found.low[~close]).all()
    assert ((found.low <= 0.502) & (found.high >= 0.502))[close].sum() > COLUMNS // 2 - few(
        0.06, COLUMNS // 2
    )


def test_drift_between_batches_is_in_the_stated_interval():
    place = spread_of(COLUMNS)
    curves = Curves(lambda v, w: expit(20 * (v - place)), drift=0.02)
    search = Search(curves, COLUMNS, 0.5, 0.01, RANGES)
    found = search.run(np.ones(COLUMNS, bool))
    assert 0.015 < search.drift < 0.025
    # What the present adds to the mean is as large as a batch's.
    now = expit(
        logit(curves.law(found.voltage, found.width))
        + 0.02 * np.random.default_rng(9).standard_normal(COLUMNS)
    )
    outside = ((now < found.low) | (now > found.high)).sum()
    assert binom.ppf(1e-6, COLUMNS, 0.025) < outside < few(0.08, COLUMNS)
    assert Search(Curves(curves.law), COLUMNS, 0.5, 0.01, RANGES).drift == 0


def test_columns_that_are_not_wanted_are_left_alone():
    place, wanted = spread_of(10), np.arange(10) % 2 == 0
    curves = Curves(lambda v, w: expit(20 * (v - place)), 10)
    found = Search(curves, 10, 0.5, 0.02, RANGES).run(wanted)
    assert (found.done == wanted).all()
    assert (found.voltage[~wanted] == 0).all()
    assert (curves.pulses[~wanted] == 0).all()
    assert all((trims[~wanted] == 0).all() for trims in curves.seen)


def test_no_trim_leaves_its_range():
    place = np.linspace(-0.4, 0.4, 200)
    curves = Curves(lambda v, w: expit(20 * (v - place)), 200)
    found = searched(curves)
    assert all((np.abs(trims) <= 0.2 + 1e-12).all() for trims in curves.seen)
    assert not found.done[np.abs(place) > 0.22].any()
    assert found.done[np.abs(place) < 0.19].all()


def test_crossings_of_scans_without_noise():
    offsets = np.linspace(-0.2, 0.2, 9)
    n = np.full((9, 4), 1e5)
    p = np.stack(
        [expit(30 * (offsets - 0.03)), expit(-30 * offsets), np.full(9, 0.7), expit(300 * (offsets - 0.1))], 1
    )
    found = crossing(offsets, n, p * n, 0.5)
    np.testing.assert_array_equal(found.found, [True, True, False, True])
    np.testing.assert_allclose(found.root[:2], [0.03, 0.0], atol=0.003)
    np.testing.assert_allclose(found.slope[:2], [30, -30], rtol=0.02)
    assert abs(found.root[3] - 0.1) < 0.05


def test_a_parabola_is_fitted_where_it_is_one():
    """With 1e9 pulses the prior says nothing and the fit is exact: worked by hand from a, b, c."""
    offsets = np.array([[-0.3], [-0.1], [0.0], [0.2], [0.4]])
    eta = 0.1 + 1.2 * offsets + 0.5 * offsets**2
    n = np.full_like(eta, 1e9)
    found = fit(
        offsets, n, n * expit(eta), 0.5, centre=np.zeros(1), scale=np.ones(1), prior=Prior(), window=1.0
    )
    root = (-1.2 + np.sqrt(1.2**2 - 4 * 0.5 * 0.1)) / (2 * 0.5)
    assert found.root[0] == pytest.approx(root, abs=1e-5)
    assert found.slope[0] == pytest.approx(1.2 + 2 * 0.5 * root, rel=1e-3)
    assert found.bend[0] == pytest.approx(0.5, rel=1e-2)
    assert found.sound[0]
    assert found.sigma[0] < 1e-4


def test_the_deviation_of_a_fit_is_that_of_counting():
    """One batch at the centre: the logit's standard deviation is 1 / √(n p q)."""
    n = np.full((1, 1), 10_000.0)
    found = fit(
        np.zeros((1, 1)), n, n * 0.5, 0.5, centre=np.zeros(1), scale=np.ones(1), prior=Prior(), window=1.0
    )
    assert found.sigma[0] == pytest.approx(0.02, rel=1e-3)


def test_a_trim_that_seems_good_by_chance_is_not_preferred():
    random = np.random.default_rng(4)
    n = np.full((2, 500), 256.0)
    k = np.stack([random.binomial(256, 0.5, 500), random.binomial(256, 0.58, 500)]).astype(float)
    trims = np.repeat([[0.0], [0.1]], 500, axis=1)
    distance = expected_distance(trims, 0 * trims, n, k, 0.5)
    assert (distance[0] < distance[1]).all()
    apart = expected_distance(trims + random.random(500), 0 * trims, n, k, 0.5)
    assert not (apart[0] < apart[1]).all()
