"""IID tests and restart tests of SP 800-90B: plain code, sources with known faults, exact cutoffs."""

import bz2
import itertools
from pathlib import Path

import numpy as np
import pytest

from entropy import NotEnoughBits
from entropy.quality.iid import (
    STATISTICS,
    goodness_of_fit,
    independence,
    longest_repeat_test,
    permutation_tests,
)
from entropy.quality.iid._permutations import _all_statistics, _Shuffler
from entropy.quality.restarts import cutoff_of, restart_tests

DATA = Path(__file__).parent / "data" / "sp80090b"


def file_bits(name: str) -> np.ndarray:
    return np.unpackbits(np.fromfile(DATA / f"{name}.bin", np.uint8))


def sticky(count: int, stay: float, seed: int) -> np.ndarray:
    changes = np.random.default_rng(seed).random(count) >= stay
    return (np.cumsum(changes) % 2).astype(np.uint8)


def runs(values: list[int]) -> list[int]:
    lengths = [1]
    for before, after in itertools.pairwise(values):
        if before == after:
            lengths[-1] += 1
        else:
            lengths.append(1)
    return lengths


def plain_statistics(s: list[int]) -> dict[str, float]:
    """Follow the steps of 5.1.1 to 5.1.11, with the conversions for bits."""
    mean = sum(s) / len(s)
    padded = s + [0] * (-len(s) % 8)
    blocks = [padded[at : at + 8] for at in range(0, len(padded), 8)]
    weights = [sum(block) for block in blocks]
    values = [int("".join(map(str, block)), 2) for block in blocks]
    directions = [1 if a <= b else -1 for a, b in itertools.pairwise(weights)]
    collisions, seen = [], []
    for value in values:
        seen.append(value)
        if value in seen[:-1]:
            collisions.append(len(seen))
            seen = []
    found: dict[str, float] = {
        "excursion": max(abs(sum(s[: at + 1]) - (at + 1) * mean) for at in range(len(s))),
        "directional_runs": len(runs(directions)),
        "longest_directional_run": max(runs(directions)),
        "increases_and_decreases": max(directions.count(1), directions.count(-1)),
        "runs": len(runs(s)),
        "longest_run": max(runs(s)),
        "mean_collision": sum(collisions) / len(collisions),
        "longest_collision": max(collisions),
        "compression": len(bz2.compress(" ".join(map(str, s)).encode(), 5)),
    }
    for lag in (1, 2, 8, 16, 32):
        pairs = list(zip(weights, weights[lag:], strict=False))
        found[f"periodicity_{lag}"] = sum(a == b for a, b in pairs)
        found[f"covariance_{lag}"] = sum(a * b for a, b in pairs)
    return found


@pytest.mark.parametrize("count", [800, 1203])
@pytest.mark.parametrize("stay", [0.5, 0.9])
def test_the_statistics_are_those_of_the_standards_steps(count, stay):
    bits = sticky(count, stay, seed=count)
    found = dict(zip(STATISTICS, _all_statistics(bits, float(bits.mean()), True), strict=True))
    assert found == pytest.approx(plain_statistics(bits.tolist()), abs=1e-9)


def test_shuffling_keeps_the_ones_and_reaches_every_place():
    bits = np.zeros(64, np.uint8)
    bits[0] = 1
    shuffler = _Shuffler(bits, float(bits.mean()), 0, 0)
    places = np.zeros(64, np.int64)
    for _ in range(6400):
        shuffler.next(False)
        places[np.flatnonzero(shuffler._bits)] += 1
    assert places.sum() == 6400
    # χ² of 63 degrees of freedom; above 137 once in a million times
    assert ((places - 100) ** 2 / 100).sum() < 137


def test_independent_bits_pass_and_a_chain_does_not():
    """A seeded sequence: one in about 50 ideal ones would miss a statistic in so few permutations and need more."""
    fair = sticky(8_000, 0.5, seed=4)
    passed = permutation_tests(fair, 2000)
    assert passed.passed is True
    assert passed.permutations < 2000
    chain = permutation_tests(sticky(8_000, 0.6, seed=4), 40)
    assert chain.passed is None
    assert {"runs", "covariance_1"} & set(chain.outliers)
    assert chain.permutations == 40
    again = permutation_tests(fair, 2000)
    np.testing.assert_array_equal(again.above, passed.above)


@pytest.mark.slow
def test_a_chain_is_rejected_after_all_permutations():
    chain = permutation_tests(sticky(4096, 0.6, seed=1))
    assert chain.passed is False
    assert chain.permutations == 10_000


def test_the_chi_square_tests_find_what_they_look_for():
    """Memory is found by independence, drift by goodness of fit, and bias by neither (each p below 0.001 otherwise)."""
    assert independence(file_bits("fair")).passed
    assert goodness_of_fit(file_bits("fair")).passed
    assert independence(file_bits("biased")).passed
    assert goodness_of_fit(file_bits("biased")).passed
    assert independence(file_bits("sticky")).p_value < 1e-12
    halves = np.concatenate([file_bits("fair")[:200_000], file_bits("biased")[:200_000]])
    assert goodness_of_fit(halves).p_value < 1e-12
    assert independence(file_bits("fair")).freedom == 2**11 - 2
    few = independence(np.array([1] + 99 * [0], np.uint8))
    assert (few.freedom, few.passed) == (0, True)
    assert goodness_of_fit(np.zeros(1000, np.uint8)).passed


def test_the_longest_repeat_test_finds_a_copy():
    fair = file_bits("fair")[:100_000]
    assert longest_repeat_test(fair).passed
    copied = longest_repeat_test(np.concatenate([fair, fair[5000:5200]]))
    assert copied.length >= 200
    assert copied.p_value < 1e-12
    assert longest_repeat_test(np.zeros(1000, np.uint8)).passed


def test_restarts_of_a_good_source_pass():
    found = restart_tests(file_bits("fair").reshape(1000, 1000), 0.85)
    assert found.standard
    assert found.passed
    assert found.assessed == min(0.85, found.by_row.assessed, found.by_column.assessed)


def test_a_source_that_always_starts_alike_fails():
    """Each row by itself is fair, and every row is the same."""
    rng = np.random.default_rng(1)
    found = restart_tests(np.tile(rng.integers(0, 2, 1000, dtype=np.uint8), (100, 1)), 0.9)
    assert not found.sane
    assert not found.passed
    assert found.assessed == 0
    assert found.by_column.assessed < 0.05


def test_restarts_below_half_of_the_estimate_fail():
    matrix = sticky(100_000, 0.75, seed=2).reshape(100, 1000)
    found = restart_tests(matrix, 0.9)
    assert not found.passed


def test_the_cutoff_is_that_of_the_likeliest_value():
    """Against 200,000 draws: so many exceed the cutoff as it says, more the one below; six sigma."""
    draws = np.random.default_rng(3).binomial(1000, 0.5, 200_000)
    highest = np.maximum(draws, 1000 - draws)
    cutoff = cutoff_of(1000, 20, 1.0)  # looser, so that draws reach it: alpha is 5e-4
    share = float((highest > cutoff).mean())
    before = float((highest > cutoff - 1).mean())
    assert share < 5.02e-4 + 6 * (5e-4 / 200_000) ** 0.5
    assert before > 5.02e-4 - 6 * (5e-4 / 200_000) ** 0.5
    assert cutoff_of(1000, 2000, 1.0) > cutoff
    assert cutoff_of(1000, 2000, 0.0) == 1000


def test_too_small_a_matrix_and_wrong_things_are_refused():
    with pytest.raises(NotEnoughBits, match="matrix of restarts"):
        restart_tests(np.zeros((5, 1000), np.uint8), 0.5)
    with pytest.raises(ValueError, match="matrix of bits"):
        restart_tests(np.zeros(10_000, np.uint8), 0.5)
    with pytest.raises(ValueError, match="512 bits"):
        permutation_tests(np.zeros(100, np.uint8))
