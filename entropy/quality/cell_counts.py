"""Counting each cell's outcomes in packed bits, 64 cells at a time.

Bits and masks are packed uint8, first bit most significant, time-major: a pulse's cells one after the other. `bits` has
every position, and is 0 where `valid` (None: all are valid) is.
"""

from dataclasses import dataclass

import numba
import numpy as np

from .._bit_words import ONE, full_add, word_at, words_of
from ..arguments import Count, takes
from ._pair_sums import PairSums

_GROUP = 8  # pulses that are added up before a counter is touched
_PLANES = 5  # bits of a counter of groups that is kept for 64 cells at once: it is emptied every 31 groups
_ZERO = np.uint64(0)


@dataclass(frozen=True)
class CellCounts:
    """Outcomes of each cell, int64 (cells,): `ones` of `usable` outcomes."""

    ones: np.ndarray
    usable: np.ndarray


@takes(cells=Count(1), pulses=Count())
def count_cells(bits: np.ndarray, valid: np.ndarray | None, cells: int, pulses: int) -> CellCounts:
    """Count the usable ones of each cell."""
    ones = _sums(words_of(bits), cells, pulses)
    usable = _masked_alike(valid, cells, pulses)
    if usable is not None:
        return CellCounts(ones, pulses * usable)
    assert valid is not None
    return CellCounts(ones, _sums(words_of(valid), cells, pulses))


@takes(cells=Count(1), pulses=Count())
def count_pairs(bits: np.ndarray, valid: np.ndarray | None, cells: int, pulses: int) -> PairSums:
    """Count the pairs of usable outcomes of each cell in consecutive pulses, int64 (cells,) each."""
    words = words_of(bits)
    ahead = _ahead(words, cells)
    both = _sums(words & ahead, cells, pulses - 1)
    usable = _masked_alike(valid, cells, pulses)
    if usable is not None:
        ones = _sums(words, cells, pulses)
        first, last = (outcomes_of(words, cells, number) for number in (0, pulses - 1))
        return PairSums(max(pulses - 1, 0) * usable, ones - last, ones - first, both)
    # What is not valid is 0 in the bits: a one beside a usable neighbour is usable itself.
    assert valid is not None
    mask = words_of(valid)
    mask_ahead = _ahead(mask, cells)
    return PairSums(
        _sums(mask & mask_ahead, cells, pulses - 1),
        _sums(words & mask_ahead, cells, pulses - 1),
        _sums(mask & ahead, cells, pulses - 1),
        both,
    )


def _masked_alike(valid: np.ndarray | None, cells: int, pulses: int) -> np.ndarray | None:
    """Say which cells are usable, int64 (cells,), where that is the same for all pulses; None where it is not."""
    if valid is None or not pulses:
        return np.ones(cells, np.int64)
    row = cells // 8
    if cells % 8 or not np.array_equal(valid[row:], valid[:-row]):
        return None
    return np.unpackbits(valid[:row]).astype(np.int64)


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
    if pulses > 0:
        _add(stream, cells, pulses, sums)
    return sums[:cells]


@numba.njit(nogil=True, cache=True)
def _add(stream, cells, pulses, sums):  # pragma: no cover (compiled)
    """Add eight pulses by full adders, word by word, then what carries out of them to counters (Harley and Seal)."""
    width = (cells + 63) // 64
    rows = np.zeros((_GROUP, width), np.uint64)
    low = np.zeros((3, width), np.uint64)
    high = np.zeros((_PLANES, width), np.uint64)
    groups = 0
    for first in range(0, pulses, _GROUP):
        for row in range(_GROUP):
            if first + row < pulses:
                _load(stream, (first + row) * cells, rows[row])
            else:
                rows[row] = _ZERO
        _add_group(rows, low, high)
        groups += 1
        if groups == 31 or first + _GROUP >= pulses:
            for plane in range(3):
                _empty(low[plane], plane, sums)
            for plane in range(_PLANES):
                _empty(high[plane], plane + 3, sums)
            groups = 0


@numba.njit(nogil=True, cache=True)
def _add_group(rows, low, high):  # pragma: no cover (compiled)
    for w in range(rows.shape[1]):
        ones, twos, fours = low[0, w], low[1, w], low[2, w]
        ones, two_a = full_add(ones, rows[0, w], rows[1, w])
        ones, two_b = full_add(ones, rows[2, w], rows[3, w])
        twos, four_a = full_add(twos, two_a, two_b)
        ones, two_a = full_add(ones, rows[4, w], rows[5, w])
        ones, two_b = full_add(ones, rows[6, w], rows[7, w])
        twos, four_b = full_add(twos, two_a, two_b)
        fours, carry = full_add(fours, four_a, four_b)
        low[0, w], low[1, w], low[2, w] = ones, twos, fours
        for k in range(_PLANES):
            plane = high[k, w]
            high[k, w] = plane ^ carry
            carry &= plane


@numba.njit(nogil=True, cache=True)
def _load(stream, first, out):  # pragma: no cover (compiled)
    """Take len(out) words from bit `first` of the stream; bits of the next pulse may follow those of this one."""
    for w in range(len(out)):
        out[w] = word_at(stream, first + 64 * w)


@numba.njit(nogil=True, cache=True)
def _empty(plane, power, sums):  # pragma: no cover (compiled)
    """Add 2 to the `power` for each bit of the plane, and clear it."""
    for w in range(len(plane)):
        word = plane[w]
        plane[w] = _ZERO
        if word == _ZERO:
            continue
        for lane in range(64):
            sums[64 * w + lane] += np.int64((word >> np.uint64(63 - lane)) & ONE) << power
