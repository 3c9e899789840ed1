"""Tests of the sequence as a random walk: cumulative sums, random excursions (SP 800-22, 2.13 to 2.15)."""

import math

import numpy as np
from scipy.special import erfc, gammaincc, ndtr

from entropy.arguments import Count, takes

from ._sequence import PValues, TooShort, chi_square, need

_LEAST_CYCLES = 500


def cumulative_sums(bits: np.ndarray) -> PValues:
    """Test the largest excursion of the random walk, forwards and backwards (2.13)."""
    need(bits, 2, "cumulative sums")
    steps = 2 * bits.astype(np.int64) - 1
    forward = int(np.abs(np.cumsum(steps)).max())
    backward = int(np.abs(np.cumsum(steps[::-1])).max())
    return {
        "cumulative_sums_forward": _excursion(forward, len(bits)),
        "cumulative_sums_backward": _excursion(backward, len(bits)),
    }


def _excursion(z: int, n: int) -> float:
    root = math.sqrt(n)

    def between(low: int, high: int, a: int, b: int) -> float:
        k = np.arange(low, high + 1)
        return float((ndtr((4 * k + a) * z / root) - ndtr((4 * k + b) * z / root)).sum())

    # C's division, as NIST's program does it, truncates towards 0
    start = int((-(n // z) + 1) / 4)
    end = int((n // z - 1) / 4)
    first = between(start, end, 1, -1)
    start = int((-(n // z) - 3) / 4)
    second = between(start, end, 3, 1)
    return 1 - first + second


def _cycles(bits: np.ndarray, test: str, least: int | None) -> tuple[np.ndarray, np.ndarray]:
    walk = np.concatenate([[0], np.cumsum(2 * bits.astype(np.int64) - 1), [0]])
    returns = np.flatnonzero(walk == 0)[1:]
    if walk[-2] == 0:
        returns = returns[:-1]
    wanted = max(0.005 * math.sqrt(len(bits)), _LEAST_CYCLES) if least is None else least
    if len(returns) < wanted:
        raise TooShort(
            f"the {test} test needs {wanted:.0f} cycles of the random walk and there are {len(returns)}"
        )
    return walk, returns


@takes(least=Count())
def random_excursions(bits: np.ndarray, least: int | None = None) -> PValues:
    """Test how often the random walk visits the states -4 to 4 in a cycle (2.14).

    `least`: how many cycles it takes; the standard's number if None.
    """
    walk, returns = _cycles(bits, "random excursions", least)
    result = {}
    for state in (-4, -3, -2, -1, 1, 2, 3, 4):
        visits = np.flatnonzero(walk[: returns[-1] + 1] == state)
        counts = np.bincount(np.searchsorted(returns, visits), minlength=len(returns))
        seen = np.bincount(np.minimum(counts, 5), minlength=6)
        stay = 1 - 1 / (2 * abs(state))
        shares = np.array(
            [stay, *((1 / (4 * state**2)) * stay ** (k - 1) for k in range(1, 5)), stay**4 / (2 * abs(state))]
        )
        result[f"random_excursions_{state:+d}"] = float(
            gammaincc(2.5, chi_square(seen, len(returns) * shares) / 2)
        )
    return result


@takes(least=Count())
def random_excursions_variant(bits: np.ndarray, least: int | None = None) -> PValues:
    """Test how often the random walk visits the states -9 to 9 in all (2.15); `least` as above."""
    walk, returns = _cycles(bits, "random excursions variant", least)
    cycles = len(returns)
    result = {}
    for state in (*range(-9, 0), *range(1, 10)):
        visits = int(np.count_nonzero(walk == state))
        off = abs(visits - cycles) / math.sqrt(2 * cycles * (4 * abs(state) - 2))
        result[f"random_excursions_variant_{state:+d}"] = float(erfc(off))
    return result
