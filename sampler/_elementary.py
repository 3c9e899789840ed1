"""Logarithm and exponential from additions, multiplications and divisions alone, each rounded by itself.

IEEE 754 fixes those operations to the last bit and leaves the library's `log` and `exp` free. So what is
made of these two is the same on every machine.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Doubles = npt.NDArray[np.float64]

# ln 2 in two parts; the first has 20 zero bits at its end, so that its product with an exponent is exact.
_LN2_HIGH = float.fromhex("0x1.62e42feep-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_INVERSE_LN2 = float.fromhex("0x1.71547652b82fep+0")
_SQRT_HALF = float.fromhex("0x1.6a09e667f3bcdp-1")
_ATANH = tuple(1.0 / (2 * k + 1) for k in range(11))
_FACTORIALS = (1, 1, 2, 6, 24, 120, 720, 5040, 40320, 362880, 3628800, 39916800, 479001600, 6227020800)


def natural_log(x: Doubles) -> Doubles:
    """ln x for positive normal float64, any shape, within 4 units in the last place.

    x = m·2ᵉ with m in [√½, √2), and ln m = 2·artanh((m − 1)/(m + 1)) by its series to the 21st power.
    """
    m, e = np.frexp(x)
    small = m < _SQRT_HALF
    m = np.where(small, 2.0 * m, m)
    e = e - small
    s = (m - 1.0) / (m + 1.0)
    return e * _LN2_HIGH + (_twice_atanh(s) + e * _LN2_LOW)


def log_of_one_minus(p: float) -> float:
    """ln(1 − p) for p in (0, 1), without the loss that 1 − p brings to a small p."""
    if p >= 0.25:
        return float(natural_log(np.array([1.0 - p]))[0])
    return float(_twice_atanh(np.array([-p / (2.0 - p)]))[0])


def natural_exp(x: Doubles) -> Doubles:
    """eˣ for finite float64, any shape, within 4 units in the last place; 0 and ∞ beyond the type's range.

    x = k·ln 2 + r with |r| at most ½·ln 2, and eʳ by its series to the 13th power.
    """
    x = np.clip(x, -800.0, 800.0)
    k = np.rint(x * _INVERSE_LN2)
    r = (x - k * _LN2_HIGH) - k * _LN2_LOW
    total = np.full_like(r, 1.0 / _FACTORIALS[-1])
    for factorial in _FACTORIALS[-2::-1]:
        total = total * r + 1.0 / factorial
    with np.errstate(over="ignore", under="ignore"):
        return np.ldexp(total, k.astype(np.int32))


def _twice_atanh(s: Doubles) -> Doubles:
    t = s * s
    total = np.full_like(t, _ATANH[-1])
    for c in _ATANH[-2::-1]:
        total = total * t + c
    return 2.0 * s * total
