"""The further laws of the noise map against exact results, and the elementary logarithm and exponential."""

import hashlib
import math
from collections import Counter
from itertools import permutations

import mpmath
import numpy as np
import pytest
from scipy import stats

from sampler import OperatingSystemSource, SoftwareSource
from sampler._elementary import log_of_one_minus, natural_exp, natural_log
from sampler._laws import (
    cauchys,
    choices,
    distinct_choices,
    exponentials,
    geometrics,
    log_normals,
    open_uniforms,
)

N = 200_000
CHANCE = 1e-7  # of a false alarm, each test


def fresh(words: int) -> np.ndarray:
    return OperatingSystemSource().read(32 * words)


def test_the_elementary_logarithm_and_exponential_are_right_to_4_units_in_the_last_place() -> None:
    draw = np.random.default_rng()
    x = np.concatenate(
        [
            draw.random(2000),
            1 - draw.random(1000) * 1e-6,
            np.exp(draw.uniform(-700, 700, 2000)),
            [1.0, 2.0**-53],
        ]
    )
    y = np.concatenate([draw.uniform(-700, 700, 2000), draw.uniform(-1, 1, 2000), [0.0, 1.0]])
    with mpmath.workdps(40):
        for value, got in zip(x, natural_log(x), strict=True):
            assert abs(mpmath.mpf(got) - mpmath.log(mpmath.mpf(value))) <= 4 * math.ulp(got)
        for value, got in zip(y, natural_exp(y), strict=True):
            assert abs(mpmath.mpf(got) - mpmath.exp(mpmath.mpf(value))) <= 4 * math.ulp(got)
        for p in (1e-300, 1e-9, 0.01, 0.24, 0.26, 0.5, 0.999):
            exact = mpmath.log1p(-mpmath.mpf(p))
            assert abs(mpmath.mpf(log_of_one_minus(p)) - exact) <= 4 * abs(exact) * 2.0**-53
    assert natural_log(np.array([1.0]))[0] == 0
    assert natural_exp(np.array([0.0]))[0] == 1
    assert natural_exp(np.array([-1e4, 1e4])).tolist() == [0.0, math.inf]


def test_the_same_bits_give_the_same_numbers_on_every_machine() -> None:
    bits = SoftwareSource(1).read(64 * 4096)
    numbers = [
        exponentials(bits),
        exponentials(bits, wide=True),
        cauchys(bits),
        log_normals(bits, 0.5, 1.5),
        geometrics(bits, 0.01),
    ]
    together = hashlib.sha256(b"".join(x.astype("<f8").tobytes() for x in numbers)).hexdigest()
    assert together == "1b743b08d8b5639cd4210e64524a7ee483c7364e909852e70a8187709619c773"


def test_open_uniforms_are_exact_and_leave_both_ends_out() -> None:
    ends = np.array([0, 2**64 - 1], ">u8").view(np.uint8)
    assert open_uniforms(ends, wide=True).tolist() == [2.0**-53, 1 - 2.0**-53]
    assert open_uniforms(ends, wide=False).tolist() == [2.0**-33] * 2 + [1 - 2.0**-33] * 2
    assert exponentials(ends, wide=True).min() == pytest.approx(2.0**-53)


def test_exponential_numbers_have_their_law() -> None:
    for wide, words in ((False, N), (True, 2 * N)):
        assert stats.kstest(exponentials(fresh(words), wide=wide), "expon").pvalue > CHANCE


def test_cauchy_numbers_have_their_law() -> None:
    assert stats.kstest(cauchys(fresh(2 * N)), "cauchy").pvalue > CHANCE


def test_log_normal_numbers_have_their_law() -> None:
    x = log_normals(fresh(N), 0.5, 1.5)
    assert stats.kstest(x, stats.lognorm(1.5, scale=math.exp(0.5)).cdf).pvalue > CHANCE


@pytest.mark.parametrize("p", [1e-3, 0.2, 0.5, 0.9])
def test_geometric_numbers_have_their_law(p: float) -> None:
    trials = geometrics(fresh(2 * N), p)
    assert trials.min() >= 1
    # Cells of equal probability, as far as whole numbers allow.
    edges = np.unique(stats.geom.ppf(np.linspace(0.05, 0.95, 19), p))
    cells = np.searchsorted(edges, trials, side="left")
    expected = np.diff(np.concatenate([[0], stats.geom.cdf(edges, p), [1]])) * N
    assert stats.chisquare(np.bincount(cells, minlength=len(expected)), expected).pvalue > CHANCE


def test_categories_have_their_weights() -> None:
    weights = np.array([0.0, 3.0, 0.0, 1.0, 0.5, 5.5, 0.0])
    drawn = np.bincount(choices(fresh(2 * N), weights[None])[0], minlength=7)
    assert drawn[weights == 0].tolist() == [0, 0, 0]
    there = weights > 0
    assert stats.chisquare(drawn[there], N * weights[there] / weights.sum()).pvalue > CHANCE


def test_the_last_of_the_uniforms_falls_on_the_last_category_with_weight() -> None:
    most = np.full(8, 255, np.uint8)
    for total in np.random.default_rng(1).random(200):
        assert choices(most, np.array([[total / 3, total, 0.0]])).tolist() == [[1]]


def test_different_categories_come_in_the_order_of_drawing_without_putting_back() -> None:
    weights = np.array([4.0, 0.0, 1.0, 2.0, 3.0])
    rounds = 60_000
    drawn = distinct_choices(fresh(2 * 5 * rounds), np.tile(weights, (rounds, 1)), 3)
    counted = Counter(map(tuple, drawn.tolist()))
    exact = {}
    for order in permutations([0, 2, 3, 4], 3):
        left, chance = weights.sum(), 1.0
        for category in order:
            chance *= weights[category] / left
            left -= weights[category]
        exact[order] = chance
    assert counted.keys() <= exact.keys()
    assert stats.chisquare([counted[o] for o in exact], [rounds * p for p in exact.values()]).pvalue > CHANCE
