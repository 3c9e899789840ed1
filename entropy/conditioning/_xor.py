"""XOR of k words, no two of which hold bits of the same cell."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from .._errors import SharedCells
from ..arguments import Count, Real, takes
from ..buffer._packed import cut
from ..buffer._pieces import BitReader, Piece, gather
from ._protocol import InUnits

WORD = 32


class Xor(InUnits):
    """XOR of `k` consecutive 32-bit words: word i is words k·i … k·i + k − 1 of the raw bits, XORed.

    It works in whole words: a read of `bits_out` bits costs 32·k raw bits for every 32 begun, and what is
    left of the last word is dropped, so reads of multiples of 32 bits waste nothing and join seamlessly.
    """

    unit = WORD

    @takes(k=Count())
    def __init__(self, k: int) -> None:
        if k < 2:
            raise ValueError("XOR combines at least two words; for one there is NoConditioning")
        self.k, self.n_in, self.name = k, WORD * k, f"xor{k}"

    def __repr__(self) -> str:
        return f"Xor({self.k})"

    @takes(bits_out=Count())
    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read raw bits and return `bits_out` bits, packed uint8, padded with zeros.

        Raises SharedCells where two words of one group hold bits of the same cell (their bits are spent
        then), NotEnoughBits as the source does.
        """
        from ._kernels import xor_words  # compiled: see _kernels

        bits = self.bits_in(bits_out)
        pieces = source.read_pieces(bits)
        refuse_shared_cells(pieces, self.k)
        words = _words(pieces, bits)
        out = np.empty(len(words) // self.k, np.uint32)
        xor_words(words, self.k, out)
        return cut(out.view(np.uint8), bits_out)

    @takes(h_in=Real(0, 1))
    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give a lower bound of the min-entropy of an output bit.

        Without `independent`: k·`h_in` − (k − 1), or 0. Each value of an output word comes from 2^(32(k−1)) inputs,
        none of which is likelier than 2^(−32 k h); a source with memory can reach this bound, so XOR may lose
        entropy and never makes any. With `independent`: −log₂((1 + (2p − 1)^k)/2), p = 2^−h, the piling-up lemma
        (Matsui 1993). Neither is SP 800-90B's credit for a component that is not vetted, which
        `nonvetted_output_entropy(32·k, 32, 32, 32·k·h_in, measured)` computes.
        """
        if independent:
            bias = 2 * 2.0**-h_in - 1
            return min(1 - math.log2(1 + bias**self.k), self.k * h_in)
        return max(0.0, self.k * h_in - (self.k - 1))


def _words(pieces: Sequence[Piece], bits: int) -> np.ndarray:
    """Give whole words, uint32, without copying them where they stand together on a byte."""
    block, first, _ = pieces[0] if len(pieces) == 1 else (None, 1, 0)
    if block is not None and first % 8 == 0:
        words = block.data[first // 8 : (first + bits) // 8].view(np.uint32)
        if words.flags.aligned:
            return words
    return gather(pieces, bits).view(np.uint32)


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
