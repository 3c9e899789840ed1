"""No conditioning."""

import numpy as np

from .._pieces import BitReader
from ._protocol import check_min_entropy


class NoConditioning:
    """Hands the raw bits on as they are."""

    name = "none"
    fixed_rate = True
    unit = 1

    def bits_in(self, bits_out: int) -> int:
        """Say how many raw bits `bits_out` bits cost: as many."""
        return bits_out

    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read `bits_out` raw bits; packed uint8, padded with zeros."""
        return source.read(bits_out)

    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give the min-entropy of an output bit: that of a raw bit."""
        return check_min_entropy(h_in)
