"""No conditioning."""

import numpy as np

from ..arguments import Count, Real, takes
from ..buffer._pieces import BitReader


class NoConditioning:
    """Hands the raw bits on as they are."""

    name = "none"
    fixed_rate = True
    unit = 1

    @takes(bits_out=Count())
    def bits_in(self, bits_out: int) -> int:
        """Say how many raw bits `bits_out` bits cost: as many."""
        return bits_out

    @takes(bits_out=Count())
    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read `bits_out` raw bits; packed uint8, padded with zeros."""
        return source.read(bits_out)

    @takes(h_in=Real(0, 1))
    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give the min-entropy of an output bit: that of a raw bit."""
        return h_in
