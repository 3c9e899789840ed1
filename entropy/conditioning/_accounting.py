"""The min-entropy accounting of NIST SP 800-90B section 3.1.5.

The formulas treat a conditioning function as one drawn at random, and nothing more is known of its input than its
min-entropy. They are evaluated in forms that do not overflow for long inputs.
"""

import math

from ..arguments import Count, Real, takes

_LN2 = math.log(2)
_LOST_BY_NONVETTED = 0.999


@takes(n_in=Count(1), n_out=Count(1), nw=Count(1), h_in=Real(0))
def output_entropy(n_in: int, n_out: int, nw: int, h_in: float) -> float:
    """Compute the min-entropy, bits, of `n_out` output bits of a function of `n_in` input bits.

    `h_in`: min-entropy of the whole input, bits; `nw`: narrowest internal width of the function, bits. SP 800-90B
    section 3.1.5.1.2. Never more than `h_in` or `n_out`.
    """
    if min(n_in, n_out, nw) < 1 or not 0 <= h_in <= n_in:
        raise ValueError("widths are at least one bit, and the input's min-entropy is at most its length")
    n = min(n_out, nw)
    likeliest = 2.0**-h_in
    # P_low · 2^n_in, where P_low = (1 - P_high)/(2^n_in - 1) is the probability of every other input
    others = (1 - likeliest) / -math.expm1(-n_in * _LN2)
    psi = others * 2.0**-n + likeliest
    omega = others * (2.0**-n + math.sqrt(2 * n * _LN2) * 2.0 ** (-(n + n_in) / 2))
    return max(0.0, min(-math.log2(max(psi, omega)), h_in, n_out))


@takes(n_in=Count(1), n_out=Count(1), nw=Count(1), h_in=Real(0))
def vetted_output_entropy(n_in: int, n_out: int, nw: int, h_in: float) -> float:
    """Credit a vetted conditioning component (SHA-256 and the others that section 3.1.5.1.1 lists); bits.

    Full entropy, `n_out`, only where the input brings 64 bits more than the output has (`h_in` >= `n_out` + 64, as
    SP 800-90C asks) and the function is not narrower inside; else `output_entropy`.
    """
    if nw >= n_out and h_in >= n_out + 64:
        return float(n_out)
    # what is missing may be less than the last place of a float, and is missing all the same
    return min(output_entropy(n_in, n_out, nw, h_in), math.nextafter(n_out, 0))


@takes(n_in=Count(1), n_out=Count(1), nw=Count(1), h_in=Real(0), measured=Real(0, 1))
def nonvetted_output_entropy(
    n_in: int, n_out: int, nw: int, h_in: float, measured: float | None = None
) -> float:
    """Credit a conditioning component that is not vetted, by SP 800-90B section 3.1.5.2; bits.

    The least of `output_entropy`, 0.999·`n_out`, and `measured`·`n_out`, where `measured` is the min-entropy of an
    output bit by the estimators of section 6. The standard's formula needs that estimate; without it this is what
    the credit can be at most.
    """
    credit = min(output_entropy(n_in, n_out, nw, h_in), _LOST_BY_NONVETTED * n_out)
    return credit if measured is None else min(credit, measured * n_out)
