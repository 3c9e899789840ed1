"""Estimators that count: most common value, collision, Markov, compression (SP 800-90B, 6.3.1 to 6.3.4)."""

import math

import numba
import numpy as np
from scipy.optimize import root_scalar

from .._blocks import block_values, log2_distances
from .._pair_sums import PairSums
from ._bounds import Z_99, min_entropy

_MARKOV_LENGTH = 128
_COMPRESSED_BITS = 6  # of one block
_DICTIONARY = 1000  # blocks


def most_common_value(bits: np.ndarray) -> float:
    """Estimate by the share of the more frequent value (6.3.1)."""
    return float(most_common_of_counts(int(np.count_nonzero(bits)), len(bits)))


def most_common_of_counts(ones: np.ndarray | int, counts: np.ndarray | int) -> np.ndarray:
    """Estimate so of many sequences at once, by their ones and lengths; float64, NaN where there is no second bit."""
    ones, counts = np.asarray(ones), np.asarray(counts)
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.maximum(ones, counts - ones) / counts
        bound = np.minimum(1.0, p + Z_99 * np.sqrt(p * (1 - p) / (counts - 1)))
        return np.where(counts > 1, -np.log2(bound) + 0.0, np.nan)


def collision(bits: np.ndarray) -> float:
    """Estimate by how soon a value comes again (6.3.2); for bits after two values, or else after three."""
    twos, threes = _collisions(bits)
    count = twos + threes
    if count < 2:
        return 1.0
    mean = (2 * twos + 3 * threes) / count
    deviation = math.sqrt(max(4 * twos + 9 * threes - count * mean**2, 0.0) / (count - 1))
    bound = max(mean - Z_99 * deviation / math.sqrt(count), 2.0)
    return min_entropy(0.5 + math.sqrt(max(1.25 - 0.5 * bound, 0.0))) if bound < 2.5 else 1.0


@numba.njit(cache=True, nogil=True)
def _collisions(bits):
    at = twos = threes = 0
    while at < len(bits) - 1:
        if bits[at] == bits[at + 1]:
            twos += 1
            at += 2
        elif at < len(bits) - 2:
            threes += 1
            at += 3
        else:
            break
    return twos, threes


def markov(bits: np.ndarray) -> float:
    """Estimate by the likeliest sequence of 128 bits of a first-order Markov chain (6.3.3)."""
    x, y = bits[:-1], bits[1:]
    sums = (len(x), np.count_nonzero(x), np.count_nonzero(y), np.count_nonzero(x & y))
    pairs = PairSums(*map(np.int64, sums))
    return float(markov_of_counts(int(np.count_nonzero(bits)), len(bits), pairs))


def markov_of_counts(ones: np.ndarray | int, counts: np.ndarray | int, pairs: PairSums) -> np.ndarray:
    """Estimate so of many sequences at once, by their ones, lengths and pairs; float64, NaN where there is no pair."""
    n, x, y, xy = pairs.floats()
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.asarray(ones) / np.asarray(counts)
        first = np.log2([1 - share, share])
        change = np.log2(np.nan_to_num([(y - xy) / (n - x), (x - xy) / x]))
        stay = np.log2(np.nan_to_num([(n - x - y + xy) / (n - x), xy / x]))
        half = _MARKOV_LENGTH // 2
        paths = [first[v] + (_MARKOV_LENGTH - 1) * stay[v] for v in (0, 1)]
        paths += [first[v] + half * change[v] + (half - 1) * change[1 - v] for v in (0, 1)]
        paths += [first[v] + change[v] + (_MARKOV_LENGTH - 2) * stay[1 - v] for v in (0, 1)]
        found = np.minimum(1.0, -np.fmax.reduce(paths) / _MARKOV_LENGTH) + 0.0
    return np.where(n > 0, found, np.nan)


def compression(bits: np.ndarray, dictionary: int = _DICTIONARY) -> float:
    """Estimate by Maurer's universal statistic over blocks of six bits (6.3.4).

    `dictionary`: how many blocks are only learned from. There must be two more.
    """
    values = block_values(bits, _COMPRESSED_BITS)
    blocks, tested = len(values), len(values) - dictionary
    total, squares = log2_distances(values, dictionary, 1 << _COMPRESSED_BITS)
    mean = total / tested
    deviation = 0.5907 * math.sqrt(max(squares / (tested - 1) - mean**2, 0.0))
    bound = mean - Z_99 * deviation / math.sqrt(tested)
    logs = np.log2(np.arange(1, blocks + 1))

    def excess(p: float) -> float:
        rest = (1 - p) / (2**_COMPRESSED_BITS - 1)
        others = (2**_COMPRESSED_BITS - 1) * _expected(rest, blocks, dictionary, logs)
        return _expected(p, blocks, dictionary, logs) + others - bound

    least = 2.0**-_COMPRESSED_BITS
    if excess(least) < 0:
        return 1.0
    if excess(1.0) >= 0:  # not even a constant is so regular, for the bound lies below its statistic, 0
        return 0.0
    found = root_scalar(excess, bracket=(least, 1.0), method="brentq", xtol=1e-13, rtol=1e-13)
    return min(min_entropy(float(found.root)) / _COMPRESSED_BITS, 1.0)


@numba.njit(cache=True, nogil=True)
def _expected(p, blocks, dictionary, logs):
    """Compute G(p) of 6.3.4 for one value: the mean of its log2 distance, weighted by its probability."""
    miss = 1.0 - p
    power = 1.0  # (1 - p)^(u - 1)
    near = 0.0  # sum over u < t of log2(u) p^2 (1 - p)^(u - 1)
    total = 0.0
    for t in range(1, blocks + 1):
        if near + logs[-1] * power == near:
            # What is left of the power changes no sum; as a denormal number it would be slow to multiply.
            for _ in range(max(t - 1, dictionary), blocks):
                total += near
            break
        if t > dictionary:
            total += near + logs[t - 1] * p * power
        near += logs[t - 1] * p * p * power
        power *= miss
    return total / (blocks - dictionary)
