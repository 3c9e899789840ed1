"""Toeplitz hashing: a universal hash of raw bits by a random matrix."""

import hashlib
import math
from functools import cached_property

import numpy as np

from ..arguments import Count, Real, takes
from ..buffer._packed import cut
from ..buffer._pieces import BitReader
from ._protocol import InUnits

BITS_IN, BITS_OUT = 4096, 1920
SECURITY_BITS = 64  # log2(1/ε)
PUBLIC_SEED = b"memtj toeplitz 1"


class Toeplitz(InUnits):
    """Multiplies every `n_in` raw bits x by a Toeplitz matrix over GF(2): y_i = ⊕_j s_(i − j + n − 1) x_j.

    `seed` makes the matrix's `n_in` + `n_out` − 1 bits s: the seed itself where it is so long, first bit most
    significant, else SHAKE-256 of it. It must be independent of the bits that it hashes and may be public, and one seed
    serves any number of reads; without one it is a sentence that was written down before any bit was recorded.
    `own_seed` draws one from the array itself.

    It works in whole products: a read of `bits_out` bits costs `n_in` raw bits for every `n_out` begun, and what is
    left of the last one is dropped. Both lengths are multiples of 8.
    """

    @takes(n_out=Count(), n_in=Count())
    def __init__(self, n_out: int = BITS_OUT, n_in: int = BITS_IN, seed: bytes | None = None) -> None:
        if n_in % 8 or n_out % 8 or not 8 <= n_out <= n_in <= 1 << 16:
            raise ValueError(
                "Toeplitz hashing has multiples of 8 bits in and out, from 8 to 65536, and fewer out than in"
            )
        if seed is not None and len(seed) < 32:
            raise ValueError("a Toeplitz seed has 32 bytes at least")
        self.n_in, self.n_out, self.seed = n_in, n_out, seed
        self.unit, self.name = (
            n_out,
            f"toeplitz:{n_out}/{n_in}" + (f":{seed.hex()}" if seed is not None else ""),
        )

    @classmethod
    @takes(h=Real(0, 1), n_in=Count())
    def for_min_entropy(cls, h: float, n_in: int = BITS_IN, seed: bytes | None = None) -> "Toeplitz":
        """Make the one of the most bits out, n·h − 2·log2(1/ε) with ε = 2^-64, for raw bits of min-entropy `h`.

        Raises ValueError where that is less than a byte.
        """
        return cls(_extractable(n_in, h) // 8 * 8, n_in, seed)

    def __repr__(self) -> str:
        return f"Toeplitz({self.n_out}, {self.n_in}, seed={self.seed!r})"

    @takes(bits_out=Count())
    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read raw bits and return `bits_out` hashed ones, packed uint8, padded with zeros."""
        return cut(self.hash(source.read(self.bits_in(bits_out))), bits_out)

    def hash(self, raw: np.ndarray) -> np.ndarray:
        """Hash packed raw bits, a multiple of `n_in`; packed uint8, `n_out` for each."""
        from ._kernels import toeplitz_hash  # compiled: see _kernels

        blocks = len(raw) * 8 // self.n_in
        out = np.zeros((blocks, self.n_out // 8), np.uint8)
        toeplitz_hash(np.ascontiguousarray(raw), self._table, self.n_in // 8, out)
        return out.reshape(-1)

    @takes(h_in=Real(0, 1))
    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give the min-entropy of an output bit up to ε = 2^-64, by the leftover hash lemma.

        With n·`h_in` − 2·log2(1/ε) ≥ m, the m bits out are within ε/2 in statistical distance of uniform bits, jointly
        with the seed (Impagliazzo, Levin, Luby 1989; Toeplitz matrices are a universal family: Krawczyk 1994): 1. With
        less, the first so many bits out are. That is the distance of one product of n bits; those of several add up.
        A seed shorter than the matrix adds the assumption that nobody tells SHAKE-256's output from uniform bits.
        """
        return min(self.n_out, _extractable(self.n_in, h_in)) / self.n_out

    @property
    def matrix(self) -> np.ndarray:
        """Give the matrix itself; uint8 of 0 and 1, (n_out, n_in)."""
        i, j = np.ogrid[: self.n_out, : self.n_in]
        return self._seed_bits[i - j + self.n_in - 1]

    @cached_property
    def _seed_bits(self) -> np.ndarray:
        count = self.n_in + self.n_out - 1
        seed = PUBLIC_SEED if self.seed is None else self.seed
        if 8 * len(seed) < count:
            seed = hashlib.shake_256(seed).digest((count + 7) // 8)
        return np.unpackbits(np.frombuffer(seed, np.uint8), count=count)

    @cached_property
    def _table(self) -> np.ndarray:
        """Every byte's product with the seed; packed, (256, (n_in + n_out)/8 − 1).

        A byte of input at byte b gives the n_out bits of its row from bit n_in − 8 − 8·b on.
        """
        length = self.n_in + self.n_out - 8
        of_bits = [self._seed_bits[7 - r : 7 - r + length] for r in range(8)]
        rows = np.zeros((256, length // 8), np.uint8)
        for value in range(1, 256):
            lowest = value & -value
            rows[value] = rows[value ^ lowest] ^ np.packbits(of_bits[8 - lowest.bit_length()])
        return rows


@takes(h=Real(above=0, most=1))
def own_seed(source: BitReader, h: float = 0.5) -> bytes:
    """Draw a seed of 32 bytes for a Toeplitz matrix from raw bits of min-entropy `h` at least, through SHA-256.

    It takes 320/`h` raw bits, so that SP 800-90B credits the seed with full entropy (`vetted_output_entropy`). Bits
    that are hashed by this seed must not be among them: take it out of a lease of its own.
    """
    from ._sha256 import Sha256

    return Sha256(math.ceil(320 / h / 8) * 8).read(source, 256).tobytes()


def _extractable(n_in: int, h: float) -> int:
    return max(0, math.floor(n_in * h) - 2 * SECURITY_BITS)
