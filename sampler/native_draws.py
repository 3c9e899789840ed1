"""Numbers that an array draws by itself, with their exact laws: a column's sum, and floats by their exponent's bits.

Each knows its bill in pulses and its distance from the law it stands for, computed from the law and not from samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr

from entropy.arguments import ANY, Count, Real, take_fields
from sampler._errors import SamplerError

Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ColumnSumNormal:
    """The map *column-sum*: k cells at P = ½ and one analog sum, its read noise as dither, of unit variance.

    `dither`: rms of the read noise, in units of one cell's step between P and AP. The law is a
    mixture of normals, binomial at P = ½.
    """

    cells: int
    dither: float

    def __post_init__(self) -> None:
        take_fields(self, cells=Count(1), dither=Real(0))

    @property
    def pulses(self) -> int:
        """Write pulses of one number; there is one reading."""
        return self.cells

    @property
    def scale(self) -> float:
        """Standard deviation of the sum, dither included, at P = ½."""
        return math.sqrt(self.cells / 4 + self.dither**2)

    def draw(self, bits: npt.ArrayLike, noise: npt.ArrayLike) -> Doubles:
        """Map outcomes (n, cells) of 0 and 1, and n standard normals of read noise, to n numbers, float64."""
        sums = np.asarray(bits, np.float64).sum(axis=1) - self.cells / 2
        return (sums + self.dither * np.asarray(noise, np.float64)) / self.scale

    def distribution(self, x: npt.ArrayLike, p: npt.ArrayLike = 0.5) -> Doubles:
        """The exact distribution function at `x`, where the cells switch with `p` (a number, or one a cell)."""
        probability = np.array([1.0])
        for each in np.broadcast_to(np.asarray(p, np.float64), self.cells):
            probability = np.convolve(probability, [1 - each, each])
        sums = np.arange(self.cells + 1) - self.cells / 2
        apart = np.asarray(x, np.float64)[..., None] * self.scale - sums
        below = ndtr(apart / self.dither) if self.dither else (apart >= 0).astype(np.float64)
        return below @ probability

    def distance(self, p: npt.ArrayLike = 0.5) -> float:
        """Kolmogorov's distance from the standard normal law: the greatest difference of distribution functions.

        On a grid of 64 points a step (at least 4,001); without dither exactly, at the jumps.
        """
        if self.dither:
            edge = self.cells / 2 / self.scale + 8
            x = np.linspace(-edge, edge, max(4001, 64 * (self.cells + 17) + 1))
            return float(np.abs(self.distribution(x, p) - ndtr(x)).max())
        jumps = (np.arange(self.cells + 1) - self.cells / 2) / self.scale
        # Between two jumps the law is constant, where rounding cannot move it.
        middles = jumps + 0.5 / self.scale
        after = self.distribution(middles, p)
        before = np.concatenate([[0.0], after[:-1]])
        return float(max(np.abs(after - ndtr(jumps)).max(), np.abs(before - ndtr(jumps)).max()))

    @property
    def excess_kurtosis(self) -> float:
        """Excess kurtosis at P = ½; 0 is a normal's."""
        return -self.cells / 8 / self.scale**4


@dataclass(frozen=True)
class ExponentFloat:
    """The map *exponent-bits*: a uniform float in [2⁻ⁿ, 1), n = 2^exponent_bits, by cells of tuned P.

    u = 2^(−1−j) (1 + m / 2^mantissa_bits): the octave j has P ∝ 2⁻ʲ when its bit i is 1 with
    P = 1/(1 + 2^(2^i)), the bits independent; the mantissa's are at ½. After N. Alder et al.,
    arXiv 2501.00015. Raises SamplerError outside 1 to 5 exponent bits and 1 to 23 mantissa bits.
    """

    exponent_bits: int
    mantissa_bits: int

    def __post_init__(self) -> None:
        take_fields(self, exponent_bits=ANY, mantissa_bits=ANY)
        if not (1 <= self.exponent_bits <= 5 and 1 <= self.mantissa_bits <= 23):
            raise SamplerError("such a float has 1 to 5 exponent bits and 1 to 23 mantissa bits")

    @property
    def pulses(self) -> int:
        """Write pulses of one number, each read by itself."""
        return self.exponent_bits + self.mantissa_bits

    @property
    def probabilities(self) -> Doubles:
        """P(1) that each exponent cell is to be tuned to, bit 0 first."""
        return 1 / (1 + 2.0 ** (2.0 ** np.arange(self.exponent_bits)))

    def draw(self, exponent: npt.ArrayLike, mantissa: npt.ArrayLike) -> Doubles:
        """Map bits (n, exponent_bits), bit 0 first, and (n, mantissa_bits), the most significant first, to n floats."""
        octave = np.asarray(exponent, np.int64) @ (1 << np.arange(self.exponent_bits))
        m = np.asarray(mantissa, np.int64) @ (1 << np.arange(self.mantissa_bits)[::-1])
        return np.ldexp(1 + m / 2.0**self.mantissa_bits, -1 - octave)

    def octaves(self, p: npt.ArrayLike | None = None) -> Doubles:
        """The probability of each octave, the upper half of [0, 1) first, where the exponent cells have `p`."""
        law = np.array([1.0])
        for each in self.probabilities if p is None else np.asarray(p, np.float64):
            law = np.concatenate([law * (1 - each), law * each])
        return law

    def distance(self, p: npt.ArrayLike | None = None) -> float:
        """Kolmogorov's distance from the uniform law on [0, 1), exactly; `p` as it came out instead of as tuned."""
        law, octave = self.octaves(p), np.arange(1 << self.exponent_bits)
        below = np.concatenate([np.cumsum(law[::-1])[::-1][1:], [0.0]])  # than the octave's lowest number
        low, steps = 0.5 ** (octave + 1.0), 2.0**self.mantissa_bits
        # Inside an octave the difference is linear in the step: its extremes are at the first and last one.
        ends = [
            np.abs(below + law * (at + jump) / steps - low * (1 + at / steps))
            for at in (0.0, steps - 1)
            for jump in (0.0, 1.0)
        ]
        return float(max(each.max() for each in ends))
