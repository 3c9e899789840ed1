"""Bits on their way out of blocks: pieces that know their cells, and what they are read from."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from ..arguments import count
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
    bits = count(bits, "bits")
    if len(pieces) == 1:
        return _slice(*pieces[0])
    if all(size % 8 == 0 for _, _, size in pieces[:-1]):
        return np.concatenate([_slice(*piece) for piece in pieces]) if pieces else np.empty(0, np.uint8)
    unpacked = [np.unpackbits(_slice(*piece), count=piece[2]) for piece in pieces]
    return np.packbits(np.concatenate(unpacked)[:bits])


def _slice(block: LoadedBlock, first: int, bits: int) -> np.ndarray:
    at, shift = first >> 3, first & 7
    size = (bits + 7) >> 3
    if shift == 0:
        out = block.data[at : at + size].copy()
    else:
        source = block.data[at : at + size + 1]
        out = source[:size] << np.uint8(shift)
        out[: len(source) - 1] |= source[1:] >> np.uint8(8 - shift)
    if bits & 7:
        out[-1] &= 0xFF00 >> (bits & 7) & 0xFF
    return out


def in_place(packed: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Put packed usable bits back at their positions: uint8 of 0 and 1, 0 where `usable` (alike) is."""
    outcomes = np.zeros(len(usable), np.uint8)
    outcomes[usable.view(bool)] = np.unpackbits(packed, count=int(usable.sum(dtype=np.int64)))
    return outcomes
