"""What the tests of SP 800-22 share: how long a sequence must be, patterns as numbers, the statistic χ²."""

import numpy as np

PValues = dict[str, float]


class TooShort(ValueError):
    """A sequence is too short for a test; says what would do."""


def need(bits: np.ndarray, count: int, test: str) -> None:
    """Raise TooShort where a test has fewer than `count` bits."""
    if len(bits) < count:
        raise TooShort(f"the {test} test needs {count:,} bits and there are {len(bits):,}")


def chi_square(seen: np.ndarray, expected: np.ndarray) -> float:
    """Compute χ² of counts beside what is expected."""
    return float(((seen - expected) ** 2 / expected).sum())


def windows(bits: np.ndarray, length: int) -> np.ndarray:
    """Give the value of every `length` consecutive bits, the first one most significant; int32."""
    count = len(bits) - length + 1
    values = np.zeros(count, np.int32)
    for at in range(length):
        values = (values << 1) | bits[at : at + count]
    return values
