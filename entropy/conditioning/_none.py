"""No conditioning."""

import numpy as np

from ..arguments import Count, Real, takes
from ..buffer._pieces import BitReader
from ._protocol import InUnits


class NoConditioning(InUnits):
    """Hands the raw bits on as they are."""

    name = "none"
    unit = n_in = 1

    @takes(bits_out=Count())
    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read `bits_out` raw bits; packed uint8, padded with zeros."""
        return source.read(bits_out)

    @takes(h_in=Real(0, 1))
    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give the min-entropy of an output bit: that of a raw bit."""
        return h_in
