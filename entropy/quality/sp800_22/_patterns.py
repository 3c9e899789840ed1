"""Tests of how patterns return: universal, serial, approximate entropy (SP 800-22, 2.9, 2.11, 2.12)."""

import math

import numpy as np
from scipy.special import erfc, gammaincc

from entropy.arguments import Count, takes

from .._blocks import block_values, log2_distances
from ._sequence import PValues, need, windows

# 2.9.4: expected value and variance for block lengths from 6 on (Handbook of Applied Cryptography, table 5.3)
_UNIVERSAL = {
    6: (5.2177052, 2.954), 7: (6.1962507, 3.125), 8: (7.1836656, 3.238), 9: (8.1764248, 3.311),
    10: (9.1723243, 3.356), 11: (10.170032, 3.384), 12: (11.168765, 3.401), 13: (12.168070, 3.410),
    14: (13.167693, 3.416), 15: (14.167488, 3.419), 16: (15.167379, 3.421),
}  # fmt: skip


def universal(bits: np.ndarray) -> PValues:
    """Test how well the sequence can be compressed, by Maurer's statistic (2.9)."""
    need(bits, 387_840, "universal")
    length = max(size for size in _UNIVERSAL if len(bits) >= 1010 * 2**size * size)
    start = 10 * 2**length
    values = block_values(bits, length)
    tested = len(values) - start
    statistic = log2_distances(values, start, 1 << length)[0] / tested
    mean, variance = _UNIVERSAL[length]
    c = 0.7 - 0.8 / length + (4 + 32 / length) * tested ** (-3 / length) / 15
    sigma = c * math.sqrt(variance / tested)
    return {"universal": float(erfc(abs(statistic - mean) / (math.sqrt(2) * sigma)))}


def _pattern_counts(bits: np.ndarray, length: int) -> np.ndarray:
    """Count every pattern of `length` bits in the sequence, closed to a ring."""
    if length == 0:
        return np.array([len(bits)])
    ring = np.concatenate([bits, bits[: length - 1]])
    return np.bincount(windows(ring, length), minlength=1 << length)


@takes(length=Count(1))
def serial(bits: np.ndarray, length: int | None = None) -> PValues:
    """Test how evenly the patterns of `length` bits occur (2.11); of 16, or what so many bits allow, if None."""
    if length is None:
        need(bits, 32, "serial")
        length = min(16, len(bits).bit_length() - 4)
    need(bits, length, "serial")

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


@takes(length=Count(1))
def approximate_entropy(bits: np.ndarray, length: int | None = None) -> PValues:
    """Test how evenly patterns of `length` and `length` + 1 bits occur (2.12); None: 10, or what so many allow."""
    if length is None:
        need(bits, 256, "approximate entropy")
        length = min(10, len(bits).bit_length() - 7)
    need(bits, length + 1, "approximate entropy")

    def phi(size: int) -> float:
        shares = _pattern_counts(bits, size) / len(bits)
        shares = shares[shares > 0]
        return float((shares * np.log(shares)).sum())

    chi = 2 * len(bits) * (math.log(2) - (phi(length) - phi(length + 1)))
    return {"approximate_entropy": float(gammaincc(2.0 ** (length - 1), chi / 2))}
