"""Noise map version 1, further laws: exponential, Cauchy, log-normal, geometric and multinomial numbers
(docs/noise-map.md).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from sampler._elementary import log_of_one_minus, natural_exp, natural_log
from sampler._noise_map import Packed, normals

Doubles = npt.NDArray[np.float64]

WIDE_BITS = 64


def open_uniforms(packed: Packed, *, wide: bool) -> Doubles:
    """Map packed bits to numbers inside (0, 1), float64: (w + ½)/2³² of a word, or (w + ½)/2⁵² of a wide
    word's top 52 bits.
    """
    if wide:
        return ((packed.view(">u8").astype(np.uint64) >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return (packed.view(">u4").astype(np.float64) + 0.5) * 2.0**-32


def exponentials(packed: Packed, *, wide: bool = False) -> Doubles:
    """Map packed bits to exponential numbers of rate 1, float64: −ln u of `open_uniforms`."""
    return -natural_log(open_uniforms(packed, wide=wide))


def cauchys(packed: Packed) -> Doubles:
    """Map packed bits, two words a number, to standard Cauchy numbers, float64: one normal over the next."""
    z = normals(packed).astype(np.float64)
    return z[0::2] / z[1::2]


def log_normals(packed: Packed, mean: float, std: float) -> Doubles:
    """Map packed bits, a word a number, to exp(std·z + mean), float64."""
    return natural_exp(normals(packed).astype(np.float64) * std + mean)


def geometrics(packed: Packed, p: float) -> Doubles:
    """Map packed bits, a wide word a number, to the number of trials up to the first success, whole float64.

    1 + ⌊ln u / ln(1 − p)⌋ for p in (0, 1): P(K > n) = P(u ≤ (1 − p)ⁿ).
    """
    return 1.0 + np.floor(natural_log(open_uniforms(packed, wide=True)) / log_of_one_minus(p))


def choices(packed: Packed, weights: Doubles) -> npt.NDArray[np.int64]:
    """Map packed bits, a wide word a number, to independent categories, int64.

    `weights` (categories,) are not negative and not all 0. The category is the first whose cumulated weight
    exceeds u·total; one of weight 0 never comes out.
    """
    cumulated = np.cumsum(weights)
    last = np.flatnonzero(weights)[-1]
    u = open_uniforms(packed, wide=True)
    # Rounding may bring u·total to total, behind which no category is left.
    return np.minimum(np.searchsorted(cumulated, u * cumulated[-1], side="right"), last)


def distinct_choices(packed: Packed, weights: Doubles, count: int) -> npt.NDArray[np.int64]:
    """Map packed bits, a wide word a category, to `count` different categories in the order they are drawn.

    An exponential race: category i arrives at E_i / w_i, the first `count` are taken. The next to arrive is
    i with probability w_i over the weights still out, so this is drawing without putting back (Efraimidis and
    Spirakis 2006).
    """
    with np.errstate(divide="ignore", over="ignore"):
        arrival = exponentials(packed, wide=True) / weights
    return np.argsort(arrival, kind="stable")[:count]
