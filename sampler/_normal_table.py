"""How the polynomials of the normal map were made; only their result, `data/normal-v1.npy`, is used at run
time.

The float64 x = m + ½ names its segment by its own bits: the exponent is the octave (−1 to 30), the top six
bits of the mantissa are the segment within it, and the other 46 bits, counted down from the segment's upper
end to u in (0, 1], are the place within the segment.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

FIRST_OCTAVE, LAST_OCTAVE = -1, 30
SEGMENTS_PER_OCTAVE = 64
SEGMENTS = (LAST_OCTAVE - FIRST_OCTAVE + 1) * SEGMENTS_PER_OCTAVE
DEGREE = 4
_DIGITS = 50


def build_table() -> npt.NDArray[np.float64]:
    """Compute all coefficients, (SEGMENTS, DEGREE + 1) from the constant up; takes about a minute and needs
    mpmath.
    """
    return np.array([segment_coefficients(s) for s in range(SEGMENTS)], dtype=np.float64)


def segment_coefficients(segment: int) -> list[float]:
    """Interpolate −Φ⁻¹(x/2³²) in u at the Chebyshev nodes of one segment, with 50 digits until the last
    rounding.
    """
    import mpmath

    with mpmath.workdps(_DIGITS):
        octave = segment // SEGMENTS_PER_OCTAVE + FIRST_OCTAVE
        width = mpmath.ldexp(1, octave - 6)
        upper = mpmath.ldexp(1, octave) + (segment % SEGMENTS_PER_OCTAVE + 1) * width
        if octave <= 6:
            return _single_count(upper, width)
        if segment == SEGMENTS - 1:
            # z vanishes at the upper end: without the constant, its relative error stays small there.
            nodes = _chebyshev_nodes(DEGREE)
            return [0.0, *_monomials(nodes, [_magnitude(upper - width * u) / u for u in nodes])]
        nodes = _chebyshev_nodes(DEGREE + 1)
        return _monomials(nodes, [_magnitude(upper - width * u) for u in nodes])


def _magnitude(x: Any) -> Any:
    import mpmath

    return mpmath.sqrt(2) * mpmath.erfinv(1 - mpmath.ldexp(x, -31))


def _single_count(upper: Any, width: Any) -> list[float]:
    # Up to octave 6 a segment holds at most one count: a constant, exact; 0 where it holds none.
    import mpmath

    x = mpmath.floor(upper - width) + mpmath.mpf(1) / 2
    inside = upper - width <= x < upper
    return [float(_magnitude(x)) if inside else 0.0] + [0.0] * DEGREE


def _chebyshev_nodes(count: int) -> list[Any]:
    import mpmath

    return [(1 + mpmath.cos(mpmath.pi * (2 * k + 1) / (2 * count))) / 2 for k in range(count)]


def _monomials(nodes: list[Any], values: list[Any]) -> list[float]:
    import mpmath

    powers = mpmath.matrix([[u**p for p in range(len(nodes))] for u in nodes])
    return [float(c) for c in mpmath.lu_solve(powers, mpmath.matrix(values))]
