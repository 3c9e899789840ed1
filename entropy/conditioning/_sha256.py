"""SHA-256 as a vetted conditioning component."""

import hashlib

import numpy as np

from ..arguments import Count, Real, takes
from ..buffer._packed import cut
from ..buffer._pieces import BitReader
from ._accounting import vetted_output_entropy
from ._protocol import InUnits

OUT = 256  # bits of one digest, and of the hash's narrowest internal width


class Sha256(InUnits):
    """SHA-256 (FIPS 180-4) of every `n_in` raw bits in turn: 256 bits out of each.

    It works in whole digests: a read of `bits_out` bits costs `n_in` raw bits for every 256 begun, and what is left
    of the last digest is dropped. `n_in`: a multiple of 8, at least 256.
    """

    unit = OUT

    @takes(n_in=Count())
    def __init__(self, n_in: int = 512) -> None:
        if n_in < OUT or n_in % 8:
            raise ValueError("SHA-256 conditions a multiple of 8 raw bits, 256 or more of them")
        self.n_in, self.name = n_in, f"sha256:{n_in}"

    def __repr__(self) -> str:
        return f"Sha256({self.n_in})"

    @takes(bits_out=Count())
    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read raw bits and return `bits_out` bits of digests, packed uint8, padded with zeros."""
        raw = np.ascontiguousarray(source.read(self.bits_in(bits_out))).data
        size = self.n_in // 8
        sha256 = hashlib.sha256
        digests = b"".join([sha256(raw[at : at + size]).digest() for at in range(0, len(raw), size)])
        return cut(np.frombuffer(bytearray(digests), np.uint8), bits_out)

    @takes(h_in=Real(0, 1))
    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give the min-entropy of an output bit by SP 800-90B section 3.1.5.1: see `vetted_output_entropy`.

        1 only where the input of a digest brings 320 bits, that is from `h_in` = 320/`n_in` on (0.625 for 512).
        """
        whole = self.n_in * h_in
        return vetted_output_entropy(self.n_in, OUT, OUT, whole) / OUT
