"""Counting each cell's outcomes in packed bits, 64 cells at a time."""

from dataclasses import dataclass

import numba
import numpy as np

from drivers import ArrayBlock

_PLANES = 8  # bits of a counter that is kept for 64 cells at once: it is emptied every 255 pulses
_ZERO, _ONE, _64 = np.uint64(0), np.uint64(1), np.uint64(64)


@dataclass(frozen=True)
class CellCounts:
    """A block's outcomes of each cell, int64 (cells,): `ones` of `usable` outcomes."""

    ones: np.ndarray
    usable: np.ndarray


@dataclass(frozen=True)
class CellPairs:
    """A block's pairs of usable outcomes of a cell in consecutive pulses, int64 (cells,).

    Of `pairs`, `first` begin with a one, `second` end with a one, `both` do.
    """

    pairs: np.ndarray
    first: np.ndarray
    second: np.ndarray
    both: np.ndarray


def count_cells(block: ArrayBlock) -> CellCounts:
    """Count the usable ones of each cell of a block of bits."""
    assert block.bits is not None
    ones, _, _ = _count(_words(block.bits), None, block.cells, block.pulses)
    if block.valid is None:
        return CellCounts(ones, np.full(block.cells, block.pulses, np.int64))
    return CellCounts(ones, _count(_words(block.valid), None, block.cells, block.pulses)[0])


def count_pairs(block: ArrayBlock) -> CellPairs:
    """Count the pairs of outcomes of each cell of a block of bits; none reaches into another block."""
    assert block.bits is not None
    cells, pulses = block.cells, block.pulses
    bits = _words(block.bits)
    ones, both, ends = _count(bits, bits, cells, pulses)
    if block.valid is None:
        return CellPairs(np.full(cells, max(pulses - 1, 0), np.int64), ones - ends[0], ones - ends[1], both)
    # What is not valid is 0 in the bits: a one beside a usable neighbour is usable itself.
    valid = _words(block.valid)
    pairs = _count(valid, valid, cells, pulses)[1]
    return CellPairs(
        pairs, _count(bits, valid, cells, pulses)[1], _count(valid, bits, cells, pulses)[1], both
    )


def _words(packed: np.ndarray) -> np.ndarray:
    """Packed uint8 as uint64, the first bit most significant, with a word more than is needed."""
    padded = np.zeros(len(packed) // 8 * 8 + 16, np.uint8)
    padded[: len(packed)] = packed
    return padded.view(">u8").astype(np.uint64)


def _count(
    earlier: np.ndarray, later: np.ndarray | None, cells: int, pulses: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Per cell: ones of `earlier`; ones of `later` in the pulse after a one of `earlier`; and `earlier`'s ends.

    Without `later` its part is 0. The ends are (2, cells): the outcomes of the last pulse and of the first.
    """
    width = -(-cells // 64)
    sums = np.zeros((2, 64 * width), np.int64)
    ends = np.zeros((2, cells), np.int64)
    if not pulses:
        return sums[0, :cells], sums[1, :cells], ends
    _add(earlier, earlier if later is None else later, later is not None, cells, pulses, sums)
    for row, pulse in enumerate((pulses - 1, 0)):
        at = np.arange(pulse * cells, (pulse + 1) * cells)
        ends[row] = (earlier[at >> 6] >> (63 - (at & 63)).astype(np.uint64)) & _ONE
    return sums[0, :cells], sums[1, :cells], ends


@numba.njit(nogil=True, cache=True)
def _add(earlier, later, in_pairs, cells, pulses, sums):  # pragma: no cover (compiled)
    width = (cells + 63) // 64
    before = np.zeros(width, np.uint64)
    now = np.zeros(width, np.uint64)
    counters = np.zeros((2, _PLANES, width), np.uint64)
    keep = ~_ZERO << np.uint64((64 - cells % 64) % 64)
    held = 0
    for pulse in range(pulses):
        if in_pairs and pulse:
            _load(later, pulse * cells, now)
            now[width - 1] &= keep
            for w in range(width):
                before[w] &= now[w]
            _increment(counters[1], before)
        _load(earlier, pulse * cells, before)
        before[width - 1] &= keep
        _increment(counters[0], before)
        held += 1
        if held == 255 or pulse == pulses - 1:
            _empty(counters[0], sums[0])
            _empty(counters[1], sums[1])
            held = 0


@numba.njit(nogil=True, cache=True)
def _load(stream, first, out):  # pragma: no cover (compiled)
    """Take len(out) words from bit `first` of the stream."""
    word = first >> 6
    shift = np.uint64(first & 63)
    if shift == _ZERO:
        for w in range(len(out)):
            out[w] = stream[word + w]
        return
    back = _64 - shift
    for w in range(len(out)):
        out[w] = (stream[word + w] << shift) | (stream[word + w + 1] >> back)


@numba.njit(nogil=True, cache=True)
def _increment(counter, by):  # pragma: no cover (compiled)
    """Add a bit to each of the counters whose bits lie in the rows of `counter`, the lowest first."""
    for w in range(len(by)):
        carry = by[w]
        for k in range(_PLANES):
            plane = counter[k, w]
            counter[k, w] = plane ^ carry
            carry &= plane


@numba.njit(nogil=True, cache=True)
def _empty(counter, sums):  # pragma: no cover (compiled)
    for w in range(counter.shape[1]):
        for k in range(_PLANES):
            plane = counter[k, w]
            counter[k, w] = _ZERO
            if plane == _ZERO:
                continue
            for lane in range(64):
                sums[64 * w + lane] += np.int64((plane >> np.uint64(63 - lane)) & _ONE) << k
