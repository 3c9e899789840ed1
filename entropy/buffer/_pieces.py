"""Bits on their way out of blocks: pieces that know their cells, and what they are read from."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..arguments import count
from ._packed import join, stretch
from ._reader import LoadedBlock

Piece = tuple[LoadedBlock, int, int]  # block, first bit in it, bits


class BitReader(Protocol):
    """What a conditioner reads from: a lease or a portion of one."""

    @property
    def remaining(self) -> int:
        """Bits left to read."""
        ...

    def read(self, bits: int) -> np.ndarray:
        """Read packed bits."""
        ...

    def read_pieces(self, bits: int) -> list[Piece]:
        """Read bits as (block, first bit in the block, bits), for who must know their cells."""
        ...


def gather(pieces: Sequence[Piece], bits: int) -> np.ndarray:
    """Join pieces to packed uint8 of `bits` bits, padded with zeros."""
    count(bits, "bits")
    return join([(stretch(block.data, first, size), size) for block, first, size in pieces])


def in_place(packed: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Put packed usable bits back at their positions: uint8 of 0 and 1, 0 where `usable` (alike) is."""
    outcomes = np.zeros(len(usable), np.uint8)
    outcomes[usable.view(bool)] = np.unpackbits(packed, count=int(usable.sum(dtype=np.int64)))
    return outcomes
