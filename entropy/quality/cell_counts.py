"""Counting each cell's outcomes in packed bits, 64 cells and 64 pulses at a time.

Bits and masks are packed uint8, first bit most significant, time-major: a pulse's cells one after the other. `bits` has
every position, and is 0 where `valid` (None: all are valid) is.
"""

from dataclasses import dataclass

import numba
import numpy as np

from .._bit_words import ONE, ones_of, transpose, word_at, words_of
from ..arguments import Count, takes
from ._pair_sums import PairSums


@dataclass(frozen=True)
class CellCounts:
    """Outcomes of each cell, int64 (cells,): `ones` of `usable` outcomes."""

    ones: np.ndarray
    usable: np.ndarray


@takes(cells=Count(1), pulses=Count())
def count_cells(bits: np.ndarray, valid: np.ndarray | None, cells: int, pulses: int) -> CellCounts:
    """Count the usable ones of each cell."""
    ones = _sums(words_of(bits), cells, pulses)
    return CellCounts(
        ones, np.full(cells, pulses) if valid is None else _sums(words_of(valid), cells, pulses)
    )


@takes(cells=Count(1), pulses=Count())
def count_pairs(bits: np.ndarray, valid: np.ndarray | None, cells: int, pulses: int) -> PairSums:
    """Count the pairs of usable outcomes of each cell in consecutive pulses, int64 (cells,) each."""
    words = words_of(bits)
    ahead = _ahead(words, cells)
    both = _sums(words & ahead, cells, pulses - 1)
    if valid is None:
        ones = _sums(words, cells, pulses)
        first, last = (outcomes_of(words, cells, number) for number in (0, pulses - 1))
        return PairSums(np.full(cells, max(pulses - 1, 0)), ones - last, ones - first, both)
    # What is not valid is 0 in the bits: a one beside a usable neighbour is usable itself.
    mask = words_of(valid)
    mask_ahead = _ahead(mask, cells)
    sums = (mask & mask_ahead, words & mask_ahead, mask & ahead)
    pairs, first, second = (_sums(each, cells, pulses - 1) for each in sums)
    return PairSums(pairs, first, second, both)


def _ahead(stream: np.ndarray, bits: int) -> np.ndarray:
    """The stream that begins so many bits later, zeros at its end."""
    whole, shift = divmod(bits, 64)
    later = np.zeros(len(stream) + 1, np.uint64)
    later[: max(len(stream) - whole, 0)] = stream[whole:]
    if not shift:
        return later[:-1]
    return (later[:-1] << np.uint64(shift)) | (later[1:] >> np.uint64(64 - shift))


def outcomes_of(stream: np.ndarray, cells: int, pulse: int) -> np.ndarray:
    """Take the bits of a pulse out of words of 64 positions; int64 (cells,)."""
    at = np.arange(pulse * cells, (pulse + 1) * cells)
    return ((stream[at >> 6] >> (63 - (at & 63)).astype(np.uint64)) & ONE).astype(np.int64)


def _sums(stream: np.ndarray, cells: int, pulses: int) -> np.ndarray:
    """Sum the bits of each cell over the pulses; int64 (cells,)."""
    sums = np.zeros(-(-cells // 64) * 64, np.int64)
    _add(stream, cells, pulses, sums)
    return sums[:cells]


@numba.njit(nogil=True, cache=True)
def _add(stream, cells, pulses, sums):  # pragma: no cover (compiled)
    """Add the bits of 64 cells in 64 pulses at once: transposed, a cell's are one word."""
    tile = np.empty(64, np.uint64)
    for first in range(0, pulses, 64):
        for begin in range(0, cells, 64):
            for row in range(64):
                at = (first + row) * cells + begin
                tile[row] = word_at(stream, at) if first + row < pulses else np.uint64(0)
            transpose(tile)
            for lane in range(64):
                sums[begin + lane] += np.int64(ones_of(tile[lane]))
