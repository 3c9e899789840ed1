"""The permutation tests (SP 800-90B, 5.1): is the sequence an ordinary one among its own permutations?"""

import bz2
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np

from entropy.arguments import Count, takes

PERMUTATIONS = 10_000  # the standard's
_LAGS = (1, 2, 8, 16, 32)
STATISTICS = (
    "excursion", "directional_runs", "longest_directional_run", "increases_and_decreases", "runs", "longest_run",
    "mean_collision", "longest_collision", *(f"periodicity_{lag}" for lag in _LAGS),
    *(f"covariance_{lag}" for lag in _LAGS), "compression",
)  # fmt: skip
_ENOUGH = 5  # permutations beyond the sequence, on either side: one more, and the statistic has passed
_THREADS = 2
_SPACE, _ZERO = ord(" "), ord("0")


@dataclass(frozen=True, eq=False)
class PermutationTests:
    """How the sequence ranks among its permutations, statistic by statistic in the order of `STATISTICS`.

    `values`: float64, of the sequence; `above`, `equal`, `below`: how many permutations had a higher, the same, a
    lower value, as long as it was counted: a statistic has passed once more than five are at least as high and more
    than five at least as low. `permutations`: how many were made.
    """

    values: np.ndarray
    above: np.ndarray
    equal: np.ndarray
    below: np.ndarray
    permutations: int

    @property
    def passed(self) -> bool | None:
        """Whether every statistic passed; None where one did not in fewer than the standard's 10,000 permutations."""
        if not self.outliers:
            return True
        return False if self.permutations >= PERMUTATIONS else None

    @property
    def outliers(self) -> tuple[str, ...]:
        """The statistics by which the sequence is not yet an ordinary one."""
        ordinary = _ordinary(self.above, self.equal, self.below)
        return tuple(name for name, usual in zip(STATISTICS, ordinary, strict=True) if not usual)


def _ordinary(above: np.ndarray, equal: np.ndarray, below: np.ndarray) -> np.ndarray:
    return (above + equal > _ENOUGH) & (equal + below > _ENOUGH)


@takes(permutations=Count(1), seed=Count())
def permutation_tests(
    bits: np.ndarray,
    permutations: int = PERMUTATIONS,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> PermutationTests:
    """Rank the sequence among permutations of itself by 19 statistics; the shuffling is seeded.

    `bits`: uint8, 0 or 1, (n,), at least 512 of them; `progress` is told of permutations made and wanted. Bits that
    pass need a few hundred permutations, others all of them.
    """
    if len(bits) < 512:
        raise ValueError("the permutation tests need 512 bits at least")
    mean = float(bits.mean())
    own = _all_statistics(bits, mean, True)
    counts = np.zeros((3, len(own)), np.int64)  # above, equal, below
    shufflers = [_Shuffler(bits, mean, seed, number) for number in range(_THREADS)]
    done = 0
    open_ = np.ones(len(own), bool)
    with ThreadPoolExecutor(_THREADS) as threads:
        while done < permutations and open_.any():
            wanted = shufflers[: min(_THREADS, permutations - done)]
            compressed = [bool(open_[-1])] * len(wanted)
            for values in threads.map(_Shuffler.next, wanted, compressed):
                for row, hits in zip(counts, (values > own, values == own, values < own), strict=True):
                    row += hits & open_
                open_ = ~_ordinary(*counts)
                done += 1
            if progress is not None:
                progress(done, permutations)
    return PermutationTests(own, counts[0], counts[1], counts[2], done)


class _Shuffler:
    """Shuffles its own copy again and again."""

    def __init__(self, bits: np.ndarray, mean: float, seed: int, number: int) -> None:
        self._bits, self._mean = bits.copy(), mean
        self._state = np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)

    def next(self, compressed: bool) -> np.ndarray:
        _shuffle(self._bits, self._state)
        return _all_statistics(self._bits, self._mean, compressed)


def _all_statistics(bits: np.ndarray, mean: float, compressed: bool) -> np.ndarray:
    """Compute the statistics in their order; the last one only if wanted, for it takes the longest."""
    counted = _statistics(bits, mean, np.array(_LAGS))
    size = float(_compressed(bits)) if compressed else np.nan
    return np.append(counted, size)


def _compressed(bits: np.ndarray) -> int:
    """Compress the bits written as text, "1 0 0 1 …" (5.1.11)."""
    text = np.full(2 * len(bits) - 1, _SPACE, np.uint8)
    text[::2] = bits + np.uint8(_ZERO)
    return len(bz2.compress(text.tobytes(), 5))


@numba.njit(cache=True, nogil=True)
def _shuffle(bits, state):
    """Fisher and Yates, with SplitMix64 (Steele, Lea and Flood 2014)."""
    s = state[0]
    for last in range(len(bits) - 1, 0, -1):
        s += np.uint64(0x9E3779B97F4A7C15)
        z = s
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        other = np.int64(np.float64(z >> np.uint64(11)) * 1.1102230246251565e-16 * (last + 1))
        bits[last], bits[other] = bits[other], bits[last]
    state[0] = s


@numba.njit(cache=True, nogil=True)
def _statistics(bits, mean, lags):
    """All but the compression; the conversions of 5.1 make ones per byte, and bytes, of the bits."""
    found = np.zeros(8 + 2 * len(lags))
    total = 0
    runs = run = longest = 0
    blocks = (len(bits) + 7) // 8
    weights = np.zeros(blocks, np.uint8)
    values = np.zeros(blocks, np.uint8)
    for at in range(len(bits)):
        bit = bits[at]
        total += bit
        found[0] = max(found[0], abs(total - (at + 1) * mean))
        if at and bit == bits[at - 1]:
            run += 1
        else:
            runs += 1
            run = 1
        longest = max(longest, run)
        weights[at >> 3] += bit
        values[at >> 3] |= bit << np.uint8(7 - (at & 7))
    found[4], found[5] = runs, longest
    runs = run = longest = rises = 0
    before = False
    for at in range(blocks - 1):
        rise = weights[at] <= weights[at + 1]
        rises += rise
        if at and rise == before:
            run += 1
        else:
            runs += 1
            run = 1
        longest = max(longest, run)
        before = rise
    found[1], found[2], found[3] = runs, longest, max(rises, blocks - 1 - rises)
    seen = np.zeros(256, np.int64)  # up to where the collision search that a value was seen in began
    start, collisions, length, longest = 0, 0, 0, 0
    for at in range(blocks):
        if seen[values[at]] > start:
            collisions += 1
            length += at - start + 1
            longest = max(longest, at - start + 1)
            start = at + 1
        else:
            seen[values[at]] = at + 1
    found[6] = length / max(collisions, 1)
    found[7] = longest
    for number in range(len(lags)):
        lag = lags[number]
        same = product = 0
        for at in range(blocks - lag):
            same += weights[at] == weights[at + lag]
            product += np.int64(weights[at]) * np.int64(weights[at + lag])
        found[8 + number] = same
        found[8 + len(lags) + number] = product
    return found
