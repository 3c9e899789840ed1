"""The fifteen tests of NIST SP 800-22 rev. 1a on one sequence of bits; p-values, uniform for ideal bits.

Every test takes `bits`, uint8 of 0 and 1, shape (n,), and returns its p-values by name; those that a sequence is too short
for raise ValueError, saying how many bits are needed. Section numbers are the standard's.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numba
import numpy as np
from scipy import fft
from scipy.special import erfc, gammaincc, ndtr

PValues = dict[str, float]


def _need(bits: np.ndarray, count: int, test: str) -> None:
    if len(bits) < count:
        raise ValueError(f"the {test} test needs {count:,} bits and there are {len(bits):,}")


def _chi_square(seen: np.ndarray, expected: np.ndarray) -> float:
    return float(((seen - expected) ** 2 / expected).sum())


def frequency(bits: np.ndarray) -> PValues:
    """Test the share of ones (2.1)."""
    _need(bits, 1, "frequency")
    excess = abs(2 * int(bits.sum(dtype=np.int64)) - len(bits))
    return {"frequency": float(erfc(excess / math.sqrt(2 * len(bits))))}


def block_frequency(bits: np.ndarray, size: int = 128) -> PValues:
    """Test the share of ones in blocks of `size` bits (2.2)."""
    _need(bits, size, "block frequency")
    blocks = len(bits) // size
    shares = bits[: blocks * size].reshape(blocks, size).mean(axis=1)
    chi = 4 * size * float(((shares - 0.5) ** 2).sum())
    return {"block_frequency": float(gammaincc(blocks / 2, chi / 2))}


def runs(bits: np.ndarray) -> PValues:
    """Test how often the value changes (2.3)."""
    _need(bits, 2, "runs")
    share = float(bits.mean())
    if abs(share - 0.5) >= 2 / math.sqrt(len(bits)):
        return {"runs": 0.0}
    count = 1 + int(np.count_nonzero(bits[1:] != bits[:-1]))
    spread = share * (1 - share)
    off = abs(count - 2 * len(bits) * spread)
    return {"runs": float(erfc(off / (2 * math.sqrt(2 * len(bits)) * spread)))}


# 2.4.4: block size, shortest and longest class, probabilities of the classes (3.4)
_LONGEST_RUN = (
    (750_000, 10_000, 10, 16, (0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727)),
    (6_272, 128, 4, 9, (0.1174035788, 0.242955959, 0.249363483, 0.17517706, 0.102701071, 0.112398847)),
    (128, 8, 1, 4, (0.21484375, 0.3671875, 0.23046875, 0.1875)),
)


def longest_run(bits: np.ndarray) -> PValues:
    """Test the longest run of ones in blocks (2.4)."""
    _need(bits, 128, "longest run")
    _, size, low, high, shares = next(row for row in _LONGEST_RUN if len(bits) >= row[0])
    blocks = len(bits) // size
    found = _longest_runs(bits[: blocks * size].reshape(blocks, size))
    seen = np.bincount(np.clip(found, low, high) - low, minlength=high - low + 1)
    chi = _chi_square(seen, blocks * np.asarray(shares))
    return {"longest_run": float(gammaincc((high - low) / 2, chi / 2))}


@numba.njit(cache=True, nogil=True)
def _longest_runs(blocks):
    found = np.zeros(len(blocks), np.int64)
    for block in range(len(blocks)):
        run = 0
        for bit in blocks[block]:
            run = run + 1 if bit else 0
            if run > found[block]:
                found[block] = run
    return found


def rank(bits: np.ndarray, size: int = 32) -> PValues:
    """Test the ranks of matrices over GF(2) (2.5)."""
    _need(bits, 38 * size * size if size == 32 else size * size, "rank")
    count = len(bits) // (size * size)
    rows = bits[: count * size * size].reshape(count, size, size).astype(np.uint64)
    words = rows @ (np.uint64(1) << np.arange(size, dtype=np.uint64)[::-1])
    found = _ranks(words, size)
    if size == 32:
        full, less = _rank_probability(size, size), _rank_probability(size - 1, size)
    else:
        full, less = 0.2888, 0.5776  # what 2.5.4 takes for any size
    seen = np.array([(found == size).sum(), (found == size - 1).sum(), (found < size - 1).sum()])
    chi = _chi_square(seen, count * np.array([full, less, 1 - full - less]))
    return {"rank": math.exp(-chi / 2)}


def _rank_probability(of: int, size: int) -> float:
    product = 1.0
    for i in range(of):
        product *= (1 - 2.0 ** (i - size)) ** 2 / (1 - 2.0 ** (i - of))
    return 2.0 ** (of * (2 * size - of) - size * size) * product


@numba.njit(cache=True, nogil=True)
def _ranks(matrices, size):
    found = np.zeros(len(matrices), np.int64)
    for number in range(len(matrices)):
        rows = matrices[number].copy()
        for column in range(size):
            bit = np.uint64(1) << np.uint64(size - 1 - column)
            done = found[number]
            pivot = -1
            for row in range(done, size):
                if rows[row] & bit:
                    pivot = row
                    break
            if pivot < 0:
                continue
            rows[done], rows[pivot] = rows[pivot], rows[done]
            for row in range(done + 1, size):
                if rows[row] & bit:
                    rows[row] ^= rows[done]
            found[number] += 1
    return found


def spectral(bits: np.ndarray) -> PValues:
    """Test the peaks of the discrete Fourier transform (2.6)."""
    _need(bits, 10, "spectral")
    count = len(bits)
    peaks = np.abs(fft.rfft(2.0 * bits - 1.0))[: count // 2]
    below = int(np.count_nonzero(peaks < math.sqrt(math.log(1 / 0.05) * count)))
    d = (below - 0.95 * count / 2) / math.sqrt(count * 0.95 * 0.05 / 4)
    return {"spectral": float(erfc(abs(d) / math.sqrt(2)))}


def aperiodic_templates(length: int = 9) -> list[int]:
    """List the templates of so many bits that cannot overlap themselves, as numbers, the first bit most significant."""
    found = []
    for value in range(1 << length):
        text = f"{value:0{length}b}"
        if all(text[shift:] != text[:-shift] for shift in range(1, length)):
            found.append(value)
    return found


def non_overlapping_template(bits: np.ndarray, length: int = 9, blocks: int = 8) -> PValues:
    """Test how often each aperiodic template occurs, one p-value a template (2.7)."""
    size = len(bits) // blocks
    _need(bits, blocks * 2 * length, "non-overlapping template")
    windows = _windows(bits, length)
    mean = (size - length + 1) / 2.0**length
    variance = size * (2.0**-length - (2 * length - 1) * 2.0 ** (-2 * length))
    result = {}
    for template in aperiodic_templates(length):
        # a template that cannot overlap itself is found once for each of its occurrences
        hits = windows == template
        counts = np.array([hits[b * size : (b + 1) * size - length + 1].sum() for b in range(blocks)])
        chi = float(((counts - mean) ** 2).sum() / variance)
        result[f"non_overlapping_template_{template:0{length}b}"] = float(gammaincc(blocks / 2, chi / 2))
    return result


def _windows(bits: np.ndarray, length: int) -> np.ndarray:
    """Give the value of every `length` consecutive bits, the first one most significant; int32."""
    count = len(bits) - length + 1
    values = np.zeros(count, np.int32)
    for at in range(length):
        values = (values << 1) | bits[at : at + count]
    return values


# 3.8, exact for 9 ones in 1032 bits (Hamano and Kaneko 2007); the standard's example and NIST's program still take
# the limit for long blocks, which fails ideal bits too often.
OVERLAPPING_EXACT = (0.364091, 0.185659, 0.139381, 0.100571, 0.0704323, 0.139865)
OVERLAPPING_LIMIT = (0.36787944, 0.18393972, 0.13795479, 0.09963402, 0.06993536, 0.14065667)


def overlapping_template(
    bits: np.ndarray, length: int = 9, size: int = 1032, shares: Sequence[float] = OVERLAPPING_EXACT
) -> PValues:
    """Test how often a run of `length` ones occurs in blocks of `size` bits (2.8).

    `shares`: of the blocks with 0, 1 … 4 and with at least 5 of them.
    """
    classes = len(shares) - 1
    _need(bits, 968 * size, "overlapping template")
    blocks = len(bits) // size
    hits = _windows(bits, length) == (1 << length) - 1
    counts = np.array([hits[b * size : (b + 1) * size - length + 1].sum() for b in range(blocks)])
    seen = np.bincount(np.minimum(counts, classes), minlength=classes + 1)
    chi = _chi_square(seen, blocks * np.asarray(shares))
    return {"overlapping_template": float(gammaincc(classes / 2, chi / 2))}


# 2.9.4: expected value and variance for block lengths from 6 on (Handbook of Applied Cryptography, table 5.3)
_UNIVERSAL = {
    6: (5.2177052, 2.954), 7: (6.1962507, 3.125), 8: (7.1836656, 3.238), 9: (8.1764248, 3.311),
    10: (9.1723243, 3.356), 11: (10.170032, 3.384), 12: (11.168765, 3.401), 13: (12.168070, 3.410),
    14: (13.167693, 3.416), 15: (14.167488, 3.419), 16: (15.167379, 3.421),
}  # fmt: skip


def universal(bits: np.ndarray) -> PValues:
    """Test how well the sequence can be compressed, by Maurer's statistic (2.9)."""
    _need(bits, 387_840, "universal")
    length = max(size for size in _UNIVERSAL if len(bits) >= 1010 * 2**size * size)
    start = 10 * 2**length
    blocks = len(bits) // length
    values = bits[: blocks * length].reshape(blocks, length) @ (1 << np.arange(length)[::-1])
    tested = blocks - start
    statistic = _universal_sum(values, start, 1 << length) / tested
    mean, variance = _UNIVERSAL[length]
    c = 0.7 - 0.8 / length + (4 + 32 / length) * tested ** (-3 / length) / 15
    sigma = c * math.sqrt(variance / tested)
    return {"universal": float(erfc(abs(statistic - mean) / (math.sqrt(2) * sigma)))}


@numba.njit(cache=True, nogil=True)
def _universal_sum(values, start, kinds):
    seen = np.zeros(kinds, np.int64)
    total = 0.0
    for at in range(len(values)):
        if at >= start:
            total += np.log2(at + 1 - seen[values[at]])
        seen[values[at]] = at + 1
    return total


# 3.10; NIST's program has 0.01047 for the first of them, a slip of the pen that the standard's examples share.
COMPLEXITY = (0.010417, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833)
COMPLEXITY_AS_PRINTED = (0.01047, *COMPLEXITY[1:])


def linear_complexity(bits: np.ndarray, size: int = 500, shares: Sequence[float] = COMPLEXITY) -> PValues:
    """Test the length of the shortest shift register of blocks of `size` bits (2.10)."""
    _need(bits, 200 * size, "linear complexity")
    blocks = len(bits) // size
    lengths = _complexities(bits[: blocks * size].reshape(blocks, size))
    sign = 1 if size % 2 == 0 else -1
    mean = size / 2 + (9 - sign) / 36 - (size / 3 + 2 / 9) / 2.0**size
    t = sign * (lengths - mean) + 2 / 9
    seen = np.bincount(np.digitize(t, [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], right=True), minlength=7)
    return {"linear_complexity": float(gammaincc(3, _chi_square(seen, blocks * np.asarray(shares)) / 2))}


@numba.njit(cache=True, nogil=True)
def _complexities(blocks):
    """Compute the linear complexity of each block (Berlekamp-Massey over GF(2), 64 coefficients a word)."""
    count, size = blocks.shape
    words = size // 64 + 1
    found = np.zeros(count, np.int64)
    for number in range(count):
        c = np.zeros(words, np.uint64)
        b = np.zeros(words, np.uint64)
        keep = np.zeros(words, np.uint64)
        past = np.zeros(words, np.uint64)  # bit i: the bit i places ago
        c[0] = b[0] = 1
        length = 0
        since = 1  # n - m
        for n in range(size):
            carry = np.uint64(blocks[number, n])
            for w in range(words):
                after = past[w] >> np.uint64(63)
                past[w] = (past[w] << np.uint64(1)) | carry
                carry = after
            odd = np.uint64(0)
            for w in range(words):
                odd ^= c[w] & past[w]
            odd ^= odd >> np.uint64(32)
            odd ^= odd >> np.uint64(16)
            odd ^= odd >> np.uint64(8)
            odd ^= odd >> np.uint64(4)
            odd ^= odd >> np.uint64(2)
            odd ^= odd >> np.uint64(1)
            if not odd & np.uint64(1):
                since += 1
                continue
            keep[:] = c
            jump, shift = since // 64, np.uint64(since % 64)
            for w in range(words - 1, jump - 1, -1):
                part = b[w - jump] << shift
                if shift and w - jump > 0:
                    part |= b[w - jump - 1] >> (np.uint64(64) - shift)
                c[w] ^= part
            if 2 * length <= n:
                length = n + 1 - length
                b[:] = keep
                since = 1
            else:
                since += 1
        found[number] = length
    return found


def _pattern_counts(bits: np.ndarray, length: int) -> np.ndarray:
    """Count every pattern of `length` bits in the sequence, closed to a ring."""
    if length == 0:
        return np.array([len(bits)])
    ring = np.concatenate([bits, bits[: length - 1]])
    return np.bincount(_windows(ring, length), minlength=1 << length)


def serial(bits: np.ndarray, length: int = 16) -> PValues:
    """Test how evenly the patterns of `length` bits occur (2.11)."""
    _need(bits, length, "serial")

    def psi(size: int) -> float:
        if size <= 0:
            return 0.0
        counts = _pattern_counts(bits, size).astype(np.float64)
        return float((counts**2).sum()) * 2.0**size / len(bits) - len(bits)

    first, second, third = psi(length), psi(length - 1), psi(length - 2)
    return {
        "serial_1": float(gammaincc(2.0 ** (length - 2), (first - second) / 2)),
        "serial_2": float(gammaincc(2.0 ** (length - 3), (first - 2 * second + third) / 2)),
    }


def approximate_entropy(bits: np.ndarray, length: int = 10) -> PValues:
    """Test how evenly patterns of `length` and `length` + 1 bits occur (2.12)."""
    _need(bits, length + 1, "approximate entropy")

    def phi(size: int) -> float:
        shares = _pattern_counts(bits, size) / len(bits)
        shares = shares[shares > 0]
        return float((shares * np.log(shares)).sum())

    chi = 2 * len(bits) * (math.log(2) - (phi(length) - phi(length + 1)))
    return {"approximate_entropy": float(gammaincc(2.0 ** (length - 1), chi / 2))}


def cumulative_sums(bits: np.ndarray) -> PValues:
    """Test the largest excursion of the random walk, forwards and backwards (2.13)."""
    _need(bits, 2, "cumulative sums")
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


def _cycles(bits: np.ndarray, test: str) -> tuple[np.ndarray, np.ndarray]:
    walk = np.concatenate([[0], np.cumsum(2 * bits.astype(np.int64) - 1), [0]])
    returns = np.flatnonzero(walk == 0)[1:]
    if walk[-2] == 0:
        returns = returns[:-1]
    least = max(0.005 * math.sqrt(len(bits)), 500) if len(bits) >= 100_000 else 1
    if len(returns) < least:
        raise ValueError(f"the {test} test needs {least:.0f} cycles of the random walk and there are {len(returns)}")
    return walk, returns


def random_excursions(bits: np.ndarray) -> PValues:
    """Test how often the random walk visits the states -4 to 4 in a cycle (2.14)."""
    walk, returns = _cycles(bits, "random excursions")
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
            gammaincc(2.5, _chi_square(seen, len(returns) * shares) / 2)
        )
    return result


def random_excursions_variant(bits: np.ndarray) -> PValues:
    """Test how often the random walk visits the states -9 to 9 in all (2.15)."""
    walk, returns = _cycles(bits, "random excursions variant")
    cycles = len(returns)
    result = {}
    for state in (*range(-9, 0), *range(1, 10)):
        visits = int(np.count_nonzero(walk == state))
        off = abs(visits - cycles) / math.sqrt(2 * cycles * (4 * abs(state) - 2))
        result[f"random_excursions_variant_{state:+d}"] = float(erfc(off))
    return result


TESTS: Mapping[str, Callable[[np.ndarray], PValues]] = {
    test.__name__: test
    for test in (
        frequency, block_frequency, runs, longest_run, rank, spectral, non_overlapping_template,
        overlapping_template, universal, linear_complexity, serial, approximate_entropy, cumulative_sums,
        random_excursions, random_excursions_variant,
    )
}  # fmt: skip
