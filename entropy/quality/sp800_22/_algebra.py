"""Tests by linear algebra: rank, spectral, linear complexity (SP 800-22, 2.5, 2.6, 2.10)."""

import math
from collections.abc import Sequence

import numba
import numpy as np
from scipy import fft
from scipy.special import erfc, gammaincc

from entropy.arguments import Count, Each, Real, takes

from ._sequence import PValues, chi_square, need


@takes(size=Count(2))
def rank(bits: np.ndarray, size: int = 32) -> PValues:
    """Test the ranks of matrices over GF(2) (2.5)."""
    need(bits, 38 * size * size if size == 32 else size * size, "rank")
    count = len(bits) // (size * size)
    rows = bits[: count * size * size].reshape(count, size, size).astype(np.uint64)
    words = rows @ (np.uint64(1) << np.arange(size, dtype=np.uint64)[::-1])
    found = _ranks(words, size)
    if size == 32:
        full, less = _rank_probability(size, size), _rank_probability(size - 1, size)
    else:
        full, less = 0.2888, 0.5776  # what 2.5.4 takes for any size
    seen = np.array([(found == size).sum(), (found == size - 1).sum(), (found < size - 1).sum()])
    chi = chi_square(seen, count * np.array([full, less, 1 - full - less]))
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
    need(bits, 10, "spectral")
    count = len(bits)
    peaks = np.abs(np.asarray(fft.rfft(2.0 * bits - 1.0)))[: count // 2]
    below = int(np.count_nonzero(peaks < math.sqrt(math.log(1 / 0.05) * count)))
    d = (below - 0.95 * count / 2) / math.sqrt(count * 0.95 * 0.05 / 4)
    return {"spectral": float(erfc(abs(d) / math.sqrt(2)))}


# 3.10; NIST's program has 0.01047 for the first of them, a slip of the pen that the standard's examples share.
COMPLEXITY = (0.010417, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833)

COMPLEXITY_AS_PRINTED = (0.01047, *COMPLEXITY[1:])


@takes(size=Count(1), shares=Each(Real(0, 1)))
def linear_complexity(bits: np.ndarray, size: int = 500, shares: Sequence[float] = COMPLEXITY) -> PValues:
    """Test the length of the shortest shift register of blocks of `size` bits (2.10)."""
    need(bits, 200 * size, "linear complexity")
    blocks = len(bits) // size
    lengths = _complexities(bits[: blocks * size].reshape(blocks, size))
    sign = 1 if size % 2 == 0 else -1
    mean = size / 2 + (9 - sign) / 36 - (size / 3 + 2 / 9) / 2.0**size
    t = sign * (lengths - mean) + 2 / 9
    seen = np.bincount(np.digitize(t, [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5], right=True), minlength=7)
    return {"linear_complexity": float(gammaincc(3, chi_square(seen, blocks * np.asarray(shares)) / 2))}


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
