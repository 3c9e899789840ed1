"""Estimators by repeated tuples: t-tuple and longest repeated substring (SP 800-90B, 6.3.5 and 6.3.6)."""

import numba
import numpy as np

from ._bounds import bounded, min_entropy

_CUTOFF = 35


def tuples(bits: np.ndarray, cutoff: int = _CUTOFF) -> tuple[float, float]:
    """Estimate by t-tuples (6.3.5) and by longest repeated substrings (6.3.6).

    Tuples that occur `cutoff` times count for the first, longer ones for the second; where there are none, it is 1.
    """
    length = len(bits)
    common, pairs = _repeats(_shared(bits))
    most = int(np.flatnonzero(common[1:] >= cutoff)[-1]) + 1 if (common[1:] >= cutoff).any() else 0
    sizes = np.arange(1, most + 1)
    t_tuple = _estimate(common[1 : most + 1] / (length - sizes + 1), sizes, length)
    longest = len(common) - 1
    sizes = np.arange(most + 1, longest + 1)
    windows = (length - sizes + 1).astype(np.float64)
    shares = pairs[most + 1 : longest + 1] / (windows * (windows - 1) / 2)
    return t_tuple, _estimate(shares, sizes, length)


def longest_repeat(bits: np.ndarray) -> int:
    """Give the length of the longest substring that occurs twice, overlaps included."""
    return int(_shared(bits).max())


def _shared(bits: np.ndarray) -> np.ndarray:
    from pydivsufsort import divsufsort  # here, for it takes long to load

    return _shared_prefixes(bits, divsufsort(np.require(bits, requirements="W")))


def _estimate(shares: np.ndarray, sizes: np.ndarray, length: int) -> float:
    if not len(shares):
        return 1.0
    p = float(np.max(shares ** (1 / sizes)))
    return min_entropy(bounded(p, length))


@numba.njit(cache=True, nogil=True)
def _shared_prefixes(bits, suffixes):
    """Compute how many bits neighbours of the suffix array share (Kasai et al. 2001); int32, (length,)."""
    length = len(bits)
    rank = np.empty(length, np.int32)
    for at in range(length):
        rank[suffixes[at]] = at
    shared = np.zeros(length, np.int32)
    same = 0
    for at in range(length):
        if rank[at] == 0:
            same = 0
            continue
        other = suffixes[rank[at] - 1]
        while at + same < length and other + same < length and bits[at + same] == bits[other + same]:
            same += 1
        shared[rank[at]] = same
        if same:
            same -= 1
    return shared


@numba.njit(cache=True, nogil=True)
def _repeats(shared):
    """For each tuple length: how often its commonest tuple occurs, and how many pairs of places are equal.

    A walk over the intervals of the suffix array in which all suffixes share a prefix. Returns int64 and float64,
    both of the longest repeat's length + 1; index 0 is of no use.
    """
    longest = 0
    for value in shared:
        longest = max(longest, value)
    common = np.ones(longest + 1, np.int64)
    pairs = np.zeros(longest + 1, np.float64)
    depths = np.empty(len(shared) + 1, np.int32)
    sizes = np.empty(len(shared) + 1, np.int64)  # suffixes of an interval, those inside it not counted
    top = -1
    for at in range(1, len(shared) + 1):
        depth = shared[at] if at < len(shared) else 0
        size = np.int64(1)
        while top >= 0 and depths[top] >= depth:
            # the interval `top` ends here; what it holds is joined with what came before, at its depth
            pairs[depths[top]] += float(sizes[top]) * float(size)
            size += sizes[top]
            common[depths[top]] = max(common[depths[top]], size)
            top -= 1
        if depth > 0:
            top += 1
            depths[top] = depth
            sizes[top] = size
    for depth in range(longest - 1, -1, -1):
        pairs[depth] += pairs[depth + 1]
        common[depth] = max(common[depth], common[depth + 1])
    return common, pairs
