"""Tests that look for templates: non-overlapping and overlapping (SP 800-22, 2.7 and 2.8)."""

import functools
from collections.abc import Sequence

import numpy as np
from scipy.special import gammaincc

from entropy.arguments import Count, Each, Real, takes

from ._sequence import PValues, chi_square, need, windows

_OCCURRENCES = 100


@functools.cache
def aperiodic_templates(length: int = 9) -> tuple[int, ...]:
    """List the templates of so many bits that cannot overlap themselves, as numbers, the first bit most significant."""
    found = []
    for value in range(1 << length):
        text = f"{value:0{length}b}"
        if all(text[shift:] != text[:-shift] for shift in range(1, length)):
            found.append(value)
    return tuple(found)


@takes(length=Count(1), blocks=Count(1))
def non_overlapping_template(bits: np.ndarray, length: int | None = None, blocks: int = 8) -> PValues:
    """Test how often each aperiodic template occurs in a block, one p-value a template (2.7).

    `length`: of the templates; None: 9, where a block is long enough for a hundred of each, since the p-value takes
    their number for normal.
    """
    if length is None:
        length = 9
        need(bits, blocks * _OCCURRENCES << length, "non-overlapping template")
    size = len(bits) // blocks
    need(bits, blocks * 2 * length, "non-overlapping template")
    values = windows(bits, length)
    # A template that cannot overlap itself is found once for each of its occurrences.
    counts = np.array(
        [
            np.bincount(values[b * size : (b + 1) * size - length + 1], minlength=1 << length)
            for b in range(blocks)
        ]
    )
    mean = (size - length + 1) / 2.0**length
    variance = size * (2.0**-length - (2 * length - 1) * 2.0 ** (-2 * length))
    chi = ((counts - mean) ** 2).sum(axis=0) / variance
    p = gammaincc(blocks / 2, chi / 2)
    return {
        f"non_overlapping_template_{template:0{length}b}": float(p[template])
        for template in aperiodic_templates(length)
    }


# 3.8, exact for 9 ones in 1032 bits (Hamano and Kaneko 2007); the standard's example and NIST's program still take
# the limit for long blocks, which fails ideal bits too often.
OVERLAPPING_EXACT = (0.364091, 0.185659, 0.139381, 0.100571, 0.0704323, 0.139865)

OVERLAPPING_LIMIT = (0.36787944, 0.18393972, 0.13795479, 0.09963402, 0.06993536, 0.14065667)


@takes(length=Count(1), size=Count(1), shares=Each(Real(0, 1)))
def overlapping_template(
    bits: np.ndarray, length: int = 9, size: int = 1032, shares: Sequence[float] = OVERLAPPING_EXACT
) -> PValues:
    """Test how often a run of `length` ones occurs in blocks of `size` bits (2.8).

    `shares`: of the blocks with 0, 1 … 4 and with at least 5 of them.
    """
    classes = len(shares) - 1
    need(bits, 968 * size, "overlapping template")
    blocks = len(bits) // size
    hits = windows(bits, length) == (1 << length) - 1
    counts = np.array([hits[b * size : (b + 1) * size - length + 1].sum() for b in range(blocks)])
    seen = np.bincount(np.minimum(counts, classes), minlength=classes + 1)
    chi = chi_square(seen, blocks * np.asarray(shares))
    return {"overlapping_template": float(gammaincc(classes / 2, chi / 2))}
