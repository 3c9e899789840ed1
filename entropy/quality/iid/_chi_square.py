"""The χ² tests and the test of the longest repeated substring (SP 800-90B, 5.2), for bits."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc

from .._blocks import block_values
from ..estimators import longest_repeat

_LEAST = 1e-3  # p-value
_LONGEST_PATTERN = 11
_PARTS = 10


@dataclass(frozen=True)
class ChiSquare:
    """A χ² test: its statistic, degrees of freedom and p-value; passed from 0.001 up."""

    statistic: float
    freedom: int
    p_value: float

    @property
    def passed(self) -> bool:
        """Whether the bits may be independent and identically distributed, as far as this test sees."""
        return self.p_value >= _LEAST


@dataclass(frozen=True)
class RepeatTest:
    """The longest repeated substring: its length in bits, and how likely one so long is; passed from 0.001 up."""

    length: int
    p_value: float

    @property
    def passed(self) -> bool:
        """Whether a repeat of this length is no surprise."""
        return self.p_value >= _LEAST


def independence(bits: np.ndarray) -> ChiSquare:
    """Test whether patterns of up to 11 bits are as frequent as their ones and zeros say (5.2.3)."""
    length, p = len(bits), float(bits.mean())
    rarer = min(p, 1 - p)
    size = next((m for m in range(_LONGEST_PATTERN, 1, -1) if rarer**m * (length // m) >= 5), 0)
    if not size:
        return ChiSquare(0.0, 0, 1.0)  # too few of the rarer value to say anything
    values = block_values(bits, size)
    seen = np.bincount(values, minlength=1 << size)
    ones = np.bitwise_count(np.arange(1 << size)).astype(np.float64)
    expected = len(values) * p**ones * (1 - p) ** (size - ones)
    return _chi_square(seen, expected, (1 << size) - 2)


def goodness_of_fit(bits: np.ndarray) -> ChiSquare:
    """Test whether ten parts of the sequence have the same share of ones (5.2.4)."""
    p, size = float(bits.mean()), len(bits) // _PARTS
    if p in (0.0, 1.0):
        return ChiSquare(0.0, 0, 1.0)
    ones = bits[: size * _PARTS].reshape(_PARTS, size).sum(axis=1, dtype=np.int64)
    seen = np.concatenate([ones, size - ones])
    expected = np.repeat([p * size, (1 - p) * size], _PARTS)
    return _chi_square(seen, expected, _PARTS - 1)


def _chi_square(seen: np.ndarray, expected: np.ndarray, freedom: int) -> ChiSquare:
    statistic = float(((seen - expected) ** 2 / expected).sum())
    return ChiSquare(statistic, freedom, float(gammaincc(freedom / 2, statistic / 2)))


def longest_repeat_test(bits: np.ndarray) -> RepeatTest:
    """Test how long the longest repeated substring is (5.2.5)."""
    p = float(bits.mean())
    size = longest_repeat(bits)
    same = (p * p + (1 - p) ** 2) ** size
    if same >= 1:
        return RepeatTest(size, 1.0)
    windows = len(bits) - size + 1
    return RepeatTest(size, -math.expm1(windows * (windows - 1) / 2 * math.log1p(-same)))
