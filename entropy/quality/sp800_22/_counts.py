"""Tests that count ones and runs: frequency, block frequency, runs, longest run (SP 800-22, 2.1 to 2.4)."""

import math

import numba
import numpy as np
from scipy.special import erfc, gammaincc

from entropy.arguments import Count, takes

from ._sequence import PValues, chi_square, need


def frequency(bits: np.ndarray) -> PValues:
    """Test the share of ones (2.1)."""
    need(bits, 1, "frequency")
    excess = abs(2 * int(bits.sum(dtype=np.int64)) - len(bits))
    return {"frequency": float(erfc(excess / math.sqrt(2 * len(bits))))}


@takes(size=Count(1))
def block_frequency(bits: np.ndarray, size: int = 128) -> PValues:
    """Test the share of ones in blocks of `size` bits (2.2)."""
    need(bits, size, "block frequency")
    blocks = len(bits) // size
    shares = bits[: blocks * size].reshape(blocks, size).mean(axis=1)
    chi = 4 * size * float(((shares - 0.5) ** 2).sum())
    return {"block_frequency": float(gammaincc(blocks / 2, chi / 2))}


def runs(bits: np.ndarray) -> PValues:
    """Test how often the value changes (2.3)."""
    need(bits, 2, "runs")
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
    need(bits, 128, "longest run")
    _, size, low, high, shares = next(row for row in _LONGEST_RUN if len(bits) >= row[0])
    blocks = len(bits) // size
    found = _longest_runs(bits[: blocks * size].reshape(blocks, size))
    seen = np.bincount(np.clip(found, low, high) - low, minlength=high - low + 1)
    chi = chi_square(seen, blocks * np.asarray(shares))
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
