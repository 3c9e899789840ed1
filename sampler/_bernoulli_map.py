"""From packed bits to Bernoulli numbers by halving an interval, at little more than their entropy
(docs/noise-map.md).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from entropy.arguments import Count, takes
from sampler._errors import SamplerError

BERNOULLI_MAP = 1
"""The version of the map."""

_CHUNK = 64  # bytes read at a time: a whole number of words of every conditioning that works by words
_FIRST = 6  # bytes of the first point
_AHEAD = 7  # bytes that may be read beyond those that the outcomes say something about
_SPARE = 64  # bits: the chance of needing more is below 2^-64

Read = Callable[[int], npt.NDArray[np.uint8]]


@takes(draws=Count())
def most_bernoulli_bits(draws: int) -> int:
    """The bits that so many Bernoulli numbers of one stream read at most, whatever their probabilities.

    More are read with a chance below 2⁻⁶⁴: n outcomes are one of 2ⁿ, so their information I has E[2^I] ≤ 2ⁿ and
    P(I > n + c) ≤ 2⁻ᶜ. What rounding adds, 2⁻⁴⁴ a draw, is in the spare bits.
    """
    chunk = 8 * _CHUNK
    return -(-(8 * (_FIRST + _AHEAD) + draws + _SPARE) // chunk) * chunk


class BernoulliReader:
    """Bernoulli numbers from one stream of bits: Han and Hoshi's interval algorithm (1997), 52 bits wide.

    A point of 48 random bits lies in an interval of that width. A number of probability p cuts the interval at p of
    its width, is 1 where the point lies below, and leaves the part that the point lies in; where the width falls below
    2⁴⁴, a random byte is appended to both. So what an outcome said nothing about stays for the next.
    """

    def __init__(self, read: Read) -> None:
        """`read(bits)` gives the next bits, packed; it is called when numbers are wanted, not before."""
        self._read = read
        # The interval's width, the point in it, bytes taken of what was read.
        self._state = np.zeros(3, np.uint64)
        self._bytes = np.empty(0, np.uint8)

    def read(self, p: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
        """Draw a number for each probability, in the array's order: uint8 of its shape, 0 and 1.

        Raises SamplerError for what is no probability, and where there are too few bits.
        """
        from sampler._bernoulli_kernel import fill_bernoullis

        flat = np.ascontiguousarray(p, np.float64).reshape(-1)
        if not ((flat >= 0) & (flat <= 1)).all():
            raise SamplerError("a probability goes from 0 to 1")
        out, at = np.empty(flat.size, np.uint8), 0
        if flat.size and self._state[0] == 0:
            self._begin()
        while (at := fill_bernoullis(flat, at, self._state, self._bytes, out)) < flat.size:
            self._bytes = np.concatenate([self._bytes[int(self._state[2]) :], self._read(8 * _CHUNK)])
            self._state[2] = 0
        return out.reshape(p.shape)

    def _begin(self) -> None:
        self._bytes = self._read(8 * _CHUNK)
        point = int.from_bytes(self._bytes[:_FIRST].tobytes(), "big")
        self._state[:] = 1 << 8 * _FIRST, point, _FIRST


def bernoullis_reference(
    packed: npt.NDArray[np.uint8], p: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.uint8], int]:
    """The same map in plain Python, from bits that are all there: the definition. Gives the numbers and bytes taken."""
    width, point, taken = 1 << 48, int.from_bytes(packed[:6].tobytes(), "big"), 6
    out = np.empty(len(p), np.uint8)
    for i, chance in enumerate(p.tolist()):
        cut = int(chance * float(width))
        out[i] = point < cut
        width, point = (cut, point) if out[i] else (width - cut, point - cut)
        while width < 1 << 44:
            width, point, taken = width << 8, point << 8 | int(packed[taken]), taken + 1
    return out, taken
