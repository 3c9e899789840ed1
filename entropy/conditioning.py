"""Conditioning between the lease and the noise map: it takes bias away and never credits entropy.

XOR of k independent bits of bias e each has bias 2^(k-1) e^k (the piling-up lemma, Matsui 1993); health and
min-entropy are judged on the raw bits.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Protocol

import numpy as np

from ._errors import SharedCells, StoreError
from ._lease import BitReader, Piece, gather

WORD = 32


class Conditioning(Protocol):
    """Turns raw bits into fewer, better ones."""

    @property
    def name(self) -> str:
        """The name that the provenance of a picture carries."""
        ...

    def bits_in(self, bits_out: int) -> int:
        """Say how many raw bits `bits_out` bits cost."""
        ...

    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read raw bits and return `bits_out` conditioned ones, packed uint8, padded with zeros."""
        ...


class NoConditioning:
    """Hands the raw bits on as they are."""

    name = "none"

    def bits_in(self, bits_out: int) -> int:
        """Say how many raw bits `bits_out` bits cost: as many."""
        return bits_out

    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read `bits_out` raw bits; packed uint8, padded with zeros."""
        return source.read(bits_out)


class Xor:
    """XOR of `k` consecutive 32-bit words: word i is words k·i … k·i + k − 1 of the raw bits, XORed.

    It works in whole words: a read of `bits_out` bits costs 32·k raw bits for every 32 begun, and what is
    left of the last word is dropped, so reads of multiples of 32 bits waste nothing and join seamlessly.
    """

    def __init__(self, k: int) -> None:
        if k < 2:
            raise ValueError("XOR combines at least two words; for one there is NoConditioning")
        self.k = k

    @property
    def name(self) -> str:
        """The name that the provenance of a picture carries: xor2, xor3 …"""
        return f"xor{self.k}"

    def __repr__(self) -> str:
        return f"Xor({self.k})"

    def bits_in(self, bits_out: int) -> int:
        """Say how many raw bits `bits_out` bits cost."""
        return -(-bits_out // WORD) * WORD * self.k

    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read raw bits and return `bits_out` bits, packed uint8, padded with zeros.

        Raises SharedCells where two words of one group hold bits of the same cell (their bits are spent
        then), NotEnoughBits as the source does.
        """
        bits = self.bits_in(bits_out)
        pieces = source.read_pieces(bits)
        refuse_shared_cells(pieces, self.k)
        words = gather(pieces, bits).view(np.uint32)
        out = words[:: self.k].copy()
        for index in range(1, self.k):
            out ^= words[index :: self.k]
        packed = out.view(np.uint8)[: (bits_out + 7) // 8]
        if bits_out % 8:
            packed[-1] &= 0xFF00 >> bits_out % 8 & 0xFF
        return packed


def conditioning_from_name(name: str) -> Conditioning:
    """Make the conditioning that a provenance or a command line names: none, xor2, xor3 …"""
    if name == "none":
        return NoConditioning()
    digits = name.removeprefix("xor").removeprefix(":")
    if name.startswith("xor") and digits.isdecimal() and 2 <= int(digits) <= 1024:
        return Xor(int(digits))
    raise StoreError(
        f"there is no conditioning {name!r}: use none, or xor2, xor3 … for the XOR of so many bits"
    )


def refuse_shared_cells(pieces: Sequence[Piece], k: int) -> None:
    """Raise SharedCells where two of the `k` words of a group of 32·k bits hold bits of the same cell.

    `pieces` are whole groups. A group whose positions span no more than one pulse holds each cell at most
    once; only where this bound fails are the cells looked at one by one.
    """
    group = WORD * k
    start = 0
    for block, first, bits in pieces:
        spread = group
        if block.valid is not None and bits:
            spread += block.position(first + bits - 1) - block.position(first) + 1 - bits
        if spread > block.cells:
            low, high = start // group, -(-(start + bits) // group)
            _refuse_exactly(pieces, k, low, high)
        start += bits
    start = 0
    for before, after in pairwise(pieces):
        start += before[2]
        if start % group and not _follows(before, after):
            _refuse_exactly(pieces, k, start // group, start // group + 1)


def _follows(before: Piece, after: Piece) -> bool:
    """Whether the second piece goes on with the next cells (blocks are whole pulses)."""
    block, first, bits = before
    following, at, _ = after
    return (
        block.valid is None
        and following.valid is None
        and block.cells == following.cells
        and (first + bits) % block.cells == at % following.cells
    )


def _refuse_exactly(pieces: Sequence[Piece], k: int, low: int, high: int) -> None:
    """Look at every cell of the groups [low, high)."""
    group = WORD * k
    cells = _cells(pieces, low * group, high * group).reshape(high - low, group)
    words = np.arange(group) // WORD
    keyed = np.sort(cells * k + words, axis=1)
    same_cell = keyed[:, 1:] // k == keyed[:, :-1] // k
    other_word = keyed[:, 1:] % k != keyed[:, :-1] % k
    shared = np.argwhere(same_cell & other_word)
    if len(shared):
        cell = int(keyed[shared[0, 0], shared[0, 1]]) // k
        block = pieces[0][0]
        raise SharedCells(
            f"xor{k} would combine two bits of cell {cell} (buffer {block.buffer}, near bit "
            f"{block.first_bit + pieces[0][1] + low * group:,}; {block.cells} cells a pulse): record with "
            "more cells, or use another conditioning"
        )


def _cells(pieces: Sequence[Piece], low: int, high: int) -> np.ndarray:
    found = []
    start = 0
    for block, first, bits in pieces:
        begin, end = max(low, start), min(high, start + bits)
        if begin < end:
            found.append(block.positions_of(first + begin - start, end - begin) % block.cells)
        start += bits
    return np.concatenate(found).astype(np.int64)
