"""A public mask: the raw bits XORed with a fixed pseudo-random string that everybody knows."""

import hashlib
import re

import numpy as np

from .._errors import StoreError
from ..arguments import Count, Real, takes
from ..buffer._packed import join, stretch
from ..buffer._pieces import BitReader, gather
from ._protocol import InUnits

MASK_VERSION = 1
DEFAULT_KEY = "memtj"
_COUNTER_BITS = 256  # of one step of Philox 4×64


class PublicMask(InUnits):
    """XORs every raw bit with the bit of a public string that stands at its place in its buffer.

    The string is fixed and written down, so the mask adds no entropy and takes none: it is a bijection that anybody
    can undo. It hides a bias that all cells share from whoever looks at the output, *a dead array's too*, and that
    is its danger: health tests, assessments and claims are about the raw bits always.

    Version 1: Philox 4×64-10 (Salmon et al. 2011) with the first 16 bytes of SHA-256("memtj mask 1 KEY BUFFER") as
    its key (two little-endian 64-bit words; BUFFER is the buffer's uuid) and its counter from 1 up; each of its
    64-bit words in turn, most significant bit first, is the next 64 bits of the string; usable bit i of the buffer
    meets bit i. So the mask does not depend on who reads a bit, or when, and no two buffers share one.
    """

    unit = n_in = 1

    def __init__(self, key: str = DEFAULT_KEY) -> None:
        if not re.fullmatch(r"[A-Za-z0-9._-]{1,64}", key):
            raise StoreError(
                f"the mask key {key!r} is not 1 to 64 letters, digits, dots and dashes: use another"
            )
        self.key, self.name = key, f"mask:{key}"

    def __repr__(self) -> str:
        return f"PublicMask({self.key!r})"

    @takes(bits_out=Count())
    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read `bits_out` raw bits and mask them; packed uint8, padded with zeros."""
        pieces = source.read_pieces(bits_out)
        masks = [
            (self.mask(block.buffer, block.first_bit + first, bits), bits) for block, first, bits in pieces
        ]
        return gather(pieces, bits_out) ^ join(masks)

    @takes(h_in=Real(0, 1))
    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give the min-entropy of an output bit: that of a raw bit, because a known bijection changes none."""
        return h_in

    @takes(first=Count(), bits=Count())
    def mask(self, buffer: str, first: int, bits: int) -> np.ndarray:
        """Give the mask of `bits` usable bits of a buffer from bit `first` on; packed uint8, padded with zeros."""
        digest = hashlib.sha256(f"memtj mask {MASK_VERSION} {self.key} {buffer}".encode()).digest()
        start, skip = divmod(first, _COUNTER_BITS)
        philox = np.random.Philox(key=np.frombuffer(digest[:16], "<u8"), counter=start)
        words = np.atleast_1d(philox.random_raw(-(-(skip + bits) // 64)))
        return stretch(words.astype(">u8").view(np.uint8), skip, bits)
