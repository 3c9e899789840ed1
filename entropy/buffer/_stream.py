"""Bits that no store holds, for a conditioning to read from."""

from collections.abc import Callable

import numpy as np

from ..arguments import Count, takes
from ._format import BLOCK_DTYPE
from ._pieces import Piece
from ._reader import LoadedBlock

_ENDLESS = 1 << 62


class BitStream:
    """What `read` gives (packed uint8 for a number of bits), as a conditioning wants it.

    `name` stands where a buffer's uuid would: a public mask depends on it. Every bit counts as a cell's only one, so
    an XOR refuses none of them.
    """

    min_entropy: float | None = None

    def __init__(self, name: str, read: Callable[[int], np.ndarray]) -> None:
        self.name = name
        self._read, self._at = read, 0

    @property
    def remaining(self) -> int:
        """Bits left to read: it does not end."""
        return _ENDLESS

    @takes(bits=Count())
    def read(self, bits: int) -> np.ndarray:
        """Read the next `bits` bits (a multiple of 8); packed uint8."""
        self._at += bits
        return self._read(bits)

    @takes(bits=Count())
    def read_pieces(self, bits: int) -> list[Piece]:
        """Read the next `bits` bits as one block that begins where the last one ended."""
        first = self._at
        return [unplaced_piece(self.name, first, self.read(bits), bits)]


def unplaced_piece(name: str, first: int, data: np.ndarray, bits: int) -> Piece:
    """Make a piece of bits that no buffer holds, from the bit `first` of `name` on, each of a cell of its own."""
    row = np.zeros(1, BLOCK_DTYPE)[0]
    row["bits"] = row["positions"] = bits
    return LoadedBlock(name, 0, first, row, data, None, _ENDLESS), 0, bits
