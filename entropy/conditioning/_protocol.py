"""What a conditioning is."""

from typing import Protocol

import numpy as np

from ..arguments import Count, takes
from ..buffer._pieces import BitReader


class Conditioning(Protocol):
    """Turns raw bits into fewer, better ones."""

    @property
    def name(self) -> str:
        """The name that the provenance of a picture carries; `conditioning_from_name` makes the same from it."""
        ...

    @property
    def fixed_rate(self) -> bool:
        """Whether `bits_in` is exact; else it is a reservation, of which what is not needed is not read."""
        ...

    @property
    def unit(self) -> int:
        """Bits that come out at once: reads of a multiple waste nothing, or little where the rate varies."""
        ...

    def bits_in(self, bits_out: int) -> int:
        """Say how many raw bits `bits_out` bits cost."""
        ...

    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read raw bits and return `bits_out` conditioned ones, packed uint8, padded with zeros."""
        ...

    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give a lower bound of the min-entropy of an output bit, for raw bits of min-entropy `h_in` each.

        Both in bits, from 0 to 1. Any n raw bits are taken to have min-entropy n·`h_in` together, and nothing more
        is known of them; with `independent`, outcomes are independent of one another, and a cell's P(1) is the same
        from one pulse to the next. What comes out is never credited with more than went in.
        """
        ...


class InUnits:
    """A conditioning that makes `unit` bits out of every `n_in` raw bits; what is left of the last ones is dropped."""

    fixed_rate = True
    unit: int
    n_in: int

    @takes(bits_out=Count())
    def bits_in(self, bits_out: int) -> int:
        """Say how many raw bits `bits_out` bits cost."""
        return -(-bits_out // self.unit) * self.n_in
