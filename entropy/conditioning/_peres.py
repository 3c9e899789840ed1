"""Peres's iterated von Neumann extractor, cell by cell."""

import math
from collections.abc import Sequence
from functools import cache

import numpy as np

from .._errors import NotEnoughBits
from ..arguments import Count, Real, takes
from ..buffer._packed import cut, join
from ..buffer._pieces import BitReader, Piece, gather, in_place

# What a reservation reckons with; see `Peres.bits_in`.
_WORST_P = 0.4
_MOST_CELLS = 1 << 14
_STRETCHES = 3  # of a read, or of a buffer
_SIGMAS = 6.5  # a normal deviate is lower with probability 4e-11
_AIM = 1.02  # a read tries to have enough at once
_LEAST_READ = 1 << 13


class Peres:
    """Peres's extractor (Ann. Statist. 20, 590, 1992) of depth `depth`, on the outcomes of each cell by itself.

    Von Neumann takes the usable outcomes of a cell in pairs, and 10 gives a 1, 01 a 0. Peres does the same again,
    one level deeper, to two sequences of the same cell: whether the pairs differed, and the value of those that did
    not. From independent outcomes of equal P(1) come exactly fair and independent bits, whatever P(1) is and however it
    differs from cell to cell. Neighbouring bits of the stream belong to different cells, so they are never paired.

    The number of bits out depends on the bits. A read takes raw bits in stretches, until it has enough; pairs do not
    reach from one stretch, or one buffer, into the next, and what a read does not need is dropped. Written down: the
    outputs of a stretch stand level by level (pairs, then the whole of "differed", then the whole of "value"), each
    pulse by pulse in the order of cells.
    """

    fixed_rate = False
    unit = 1 << 22

    @takes(depth=Count())
    def __init__(self, depth: int = 5) -> None:
        if not 1 <= depth <= 8:
            raise ValueError("the depth is from 1 (von Neumann) to 8")
        self.depth, self.name = depth, f"peres:{depth}"

    def __repr__(self) -> str:
        return f"Peres({self.depth})"

    @takes(p=Real(0, 1))
    def rate(self, p: float) -> float:
        """Give the expected bits out of a raw bit, for long sequences of outcomes that are 1 with probability `p`."""
        return _rate(self.depth, p)

    @takes(bits_out=Count())
    def bits_in(self, bits_out: int) -> int:
        """Say how many raw bits to have at hand for a read of `bits_out` bits; most of the time fewer are read.

        They do not suffice with a probability below 1e-9 where each cell's P(1) is between 0.4 and 0.6, the array has
        at most 16,384 cells, and the bits lie in a buffer or two; they may be read in several reads of `unit` bits.
        """
        if bits_out == 0:
            return 0
        # a cell's unfinished pairs would have given less than this on average, in bits
        begun = 0.25 * (2**self.depth - 1)
        rate = self.rate(_WORST_P)
        once = _STRETCHES * _MOST_CELLS * begun / rate + 4 * _MOST_CELLS + _LEAST_READ
        wanted = _AIM * (bits_out + _SIGMAS * math.sqrt(bits_out)) / rate
        return math.ceil(wanted + (1 + bits_out // self.unit) * once)

    @takes(bits_out=Count())
    def read(self, source: BitReader, bits_out: int) -> np.ndarray:
        """Read raw bits until there are `bits_out` bits; packed uint8, padded with zeros.

        Raises NotEnoughBits where the source has not enough (its bits are spent then).
        """
        parts: list[tuple[np.ndarray, int]] = []
        have = cells = spent = 0
        while have < bits_out:
            aim = math.ceil(_AIM * (bits_out - have) / self.rate(0.5)) + max(_LEAST_READ, 4 * cells)
            wanted = min(aim, source.remaining)
            if not wanted:
                raise NotEnoughBits(
                    bits_out, have, f"what {self.name} makes of the {spent:,} recorded bits there"
                )
            pieces = source.read_pieces(wanted)
            spent += wanted
            cells = pieces[0][0].cells
            parts.append(extract(pieces, self.depth))
            have += parts[-1][1]
        return cut(join(parts), bits_out)

    @takes(h_in=Real(0, 1))
    def output_min_entropy(self, h_in: float, *, independent: bool = False) -> float:
        """Give a lower bound of the min-entropy of an output bit.

        With `independent` the output is exactly fair (Peres's theorem): 1, or less where the input is not credited
        with so much, `h_in` over the bits out of a raw bit at P(1) = 1/2. Without, 0: a source with memory can
        say the same in every unequal pair.
        """
        return min(1.0, h_in / self.rate(0.5)) if independent else 0.0


@cache
def _rate(depth: int, p: float) -> float:
    if depth == 0 or p in (0.0, 1.0):
        return 0.0
    q = 1 - p
    same = p * p + q * q
    return p * q + (_rate(depth - 1, 2 * p * q) + same * _rate(depth - 1, p * p / same)) / 2


def extract(pieces: Sequence[Piece], depth: int) -> tuple[np.ndarray, int]:
    """Extract from one stretch of raw bits: packed uint8 (fresh, padded with zeros), and how many bits.

    Outcomes of a cell are paired through the pieces of a buffer that follow one another.
    """
    from ._kernels import peres_feed  # compiled: see _kernels

    nodes = 2**depth - 1
    total = sum(bits for _, _, bits in pieces)
    levels = [(node + 1).bit_length() - 1 for node in range(nodes)]
    room = [total // 2 ** (level + 4) + 16 for level in levels]  # bytes
    starts = np.concatenate([[0], np.cumsum(room)])
    out = np.empty(starts[-1], np.uint8)
    # of each node: its next byte, and the bits that fill no byte yet: how many and which
    at = np.zeros((nodes, 3), np.int64)
    at[:, 0] = starts[:-1]
    state = np.zeros(
        (0, 0, 2), np.uint64
    )  # of each 64 cells and node: which wait for a partner, and their outcomes
    end = None
    for block, first, bits in pieces:
        if end != (block.buffer, block.cells, block.first_bit + first):
            state = np.zeros((-(-block.cells // 64), nodes, 2), np.uint64)
        end = (block.buffer, block.cells, block.first_bit + first + bits)
        if bits:
            outcomes, usable, position, positions = _in_place((block, first, bits))
            peres_feed(outcomes, usable, position, positions, block.cells, state, out, at, *_compression())
    return _gather_nodes(out, starts, at)


def _in_place(piece: Piece) -> tuple[np.ndarray, np.ndarray, int, int]:
    """Put a piece's outcomes at their positions: (outcomes, usable, first position, positions).

    Both uint64 words, the first position most significant; `usable` is empty where all are.
    """
    from .._bit_words import words_of

    block, first, bits = piece
    packed = gather([piece], bits)
    if block.valid is None:
        return words_of(packed), np.empty(0, np.uint64), first, bits
    low, high = block.position(first), block.position(first + bits - 1) + 1
    usable = np.unpackbits(block.valid[low // 8 : (high + 7) // 8])[low % 8 :][: high - low]
    return words_of(np.packbits(in_place(packed, usable))), words_of(np.packbits(usable)), low, high - low


@cache
def _compression() -> tuple[np.ndarray, np.ndarray]:
    """Tables of how many bits a mask keeps, (256,), and of the byte's bits that it keeps, (masks, bytes); uint8."""
    value = np.arange(256, dtype=np.uint8)
    kept = np.zeros((256, 256), np.uint8)
    for mask in range(256):
        for bit in range(7, -1, -1):
            if mask >> bit & 1:
                kept[mask] = kept[mask] << 1 | (value >> bit & 1)
    return np.bitwise_count(value), kept


def _gather_nodes(out: np.ndarray, starts: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, int]:
    parts: list[tuple[np.ndarray, int]] = []
    for node in _order(len(at)):
        start, (end, pending, rest) = int(starts[node]), (int(x) for x in at[node])
        if pending:
            out[end] = (rest << (8 - pending)) & 0xFF
        parts.append((out[start : end + (pending > 0)], 8 * (end - start) + pending))
    return join(parts), sum(bits for _, bits in parts)


def _order(nodes: int, node: int = 0) -> list[int]:
    """List a node, then all of its "differed", then all of its "value"."""
    if node >= nodes:
        return []
    return [node, *_order(nodes, 2 * node + 1), *_order(nodes, 2 * node + 2)]
