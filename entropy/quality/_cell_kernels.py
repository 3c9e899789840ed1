"""The two continuous health tests of many cells at once, compiled.

The cells' outcomes stay where they are, one bit each in the words of a row, and are added up as they lie: counters are
kept in planes, the bit of weight 2^p of 64 counters in one word, and eight rows at a time go into them through full
adders (Harley and Seal).
"""

import numba
import numpy as np

from .._bit_words import ALL, ONE, extract, full_add, leading_zeros, trailing_zeros, transpose, word_at
from ._health_kernels import (
    CHANGES,
    FIRST,
    ONES,
    PHASE,
    PROPORTION,
    REPETITION,
    RUN,
    SAMPLES,
    TOLD,
    WINDOW_ONES,
    WINDOWS,
    followed,
    in_a_row,
    look_at_runs,
    top,
)

_Z = np.uint64(0)
_LAST_BIT = np.uint64(63)

# The cells: 512 of them, 8 words of a row, are a block of the work, which has slots of 8 words. Slot 63 - p belongs to
# bit p of a cell's number: samples of its window so far, ones among them, changes since the state was told of them;
# the window's first outcome, the last one, whether the window has no sample yet; then, no part of the number any more,
# what was equal in all rows since the last multiple of `in_a_row`, and what is to be looked at closely. Behind those
# lie eight rows of outcomes and of their validity.
_PLANES = 11  # counters reach 2,047: a window may have 2,032 samples
LONGEST_WINDOW = 2032
_KEPT = 2000  # rows, after which the state is told of the changes
_SAMPLES, _ONES, _CHANGES, _FIRST, _LAST, _FRESH, _EQUAL, _CLOSELY = 0, 16, 32, 48, 49, 50, 51, 52
_OUTCOMES, _VALID, _SLOTS = 64, 72, 80
_COUNTER = (1 << _PLANES) - 1


@numba.njit(nogil=True, cache=True, forceinline=True)
def _add_eight(block, at, j, r0, r1, r2, r3, r4, r5, r6, r7):  # pragma: no cover (compiled)
    """Add eight words to the counters whose bit 0 is bit `at` of a cell's number."""
    low = (63 - at) * 8 + j
    ones, two_a = full_add(block[low], r0, r1)
    ones, two_b = full_add(ones, r2, r3)
    twos, four_a = full_add(block[low - 8], two_a, two_b)
    ones, two_a = full_add(ones, r4, r5)
    ones, two_b = full_add(ones, r6, r7)
    twos, four_b = full_add(twos, two_a, two_b)
    fours, carry = full_add(block[low - 16], four_a, four_b)
    block[low], block[low - 8], block[low - 16] = ones, twos, fours
    for p in range(3, _PLANES):
        plane = block[low - 8 * p]
        block[low - 8 * p] = plane ^ carry
        carry &= plane


@numba.njit(nogil=True, cache=True)
def _take_rows(words, valid, masked, first, step, take, block, b):  # pragma: no cover (compiled)
    """Load so many rows, at most eight, of the cells of block b, and count them: the first one begins at `first`.

    What is not valid is no sample: the outcome before it stays the last one.
    """
    lanes = step - 512 * b
    number = min(8, (lanes + 63) >> 6)
    for row in range(8):
        out, val = (_OUTCOMES + row) * 8, (_VALID + row) * 8
        if row >= take:
            block[out : out + 8] = _Z
            block[val : val + 8] = _Z
            continue
        at = first + row * step + 512 * b
        shift, at = np.uint64(at & 63), at >> 6
        here, there = words[at : at + number], words[at + 1 : at + number + 1]
        for j in range(number):
            block[out + j] = (here[j] << shift) | ((there[j] >> ONE) >> (_LAST_BIT - shift))
            block[val + j] = ALL
        if masked:
            here, there = valid[at : at + number], valid[at + 1 : at + number + 1]
            for j in range(number):
                block[val + j] = (here[j] << shift) | ((there[j] >> ONE) >> (_LAST_BIT - shift))
        if lanes < 64 * number:
            block[val + number - 1] &= top(lanes - 64 * (number - 1))
        for j in range(number):
            block[out + j] &= block[val + j]
    first, fresh = (63 - _FIRST) * 8, (63 - _FRESH) * 8
    for j in range(8):
        for row in range(8 if block[fresh + j] != _Z else 0):
            got = block[fresh + j] & block[(_VALID + row) * 8 + j]
            block[first + j] = (block[first + j] & ~got) | (block[(_OUTCOMES + row) * 8 + j] & got)
            block[fresh + j] &= ~got
    out, val = _OUTCOMES * 8, _VALID * 8
    for j in range(8):
        r0, r1, r2, r3 = block[out + j], block[out + 8 + j], block[out + 16 + j], block[out + 24 + j]
        r4, r5, r6, r7 = block[out + 32 + j], block[out + 40 + j], block[out + 48 + j], block[out + 56 + j]
        v0, v1, v2, v3 = block[val + j], block[val + 8 + j], block[val + 16 + j], block[val + 24 + j]
        v4, v5, v6, v7 = block[val + 32 + j], block[val + 40 + j], block[val + 48 + j], block[val + 56 + j]
        last = block[(63 - _LAST) * 8 + j]
        x0, last = (r0 ^ last) & v0, r0 | (last & ~v0)
        x1, last = (r1 ^ last) & v1, r1 | (last & ~v1)
        x2, last = (r2 ^ last) & v2, r2 | (last & ~v2)
        x3, last = (r3 ^ last) & v3, r3 | (last & ~v3)
        x4, last = (r4 ^ last) & v4, r4 | (last & ~v4)
        x5, last = (r5 ^ last) & v5, r5 | (last & ~v5)
        x6, last = (r6 ^ last) & v6, r6 | (last & ~v6)
        x7, last = (r7 ^ last) & v7, r7 | (last & ~v7)
        block[(63 - _LAST) * 8 + j] = last
        block[(63 - _EQUAL) * 8 + j] &= ~(x0 | x1 | x2 | x3 | x4 | x5 | x6 | x7)
        _add_eight(block, _SAMPLES, j, v0, v1, v2, v3, v4, v5, v6, v7)
        _add_eight(block, _ONES, j, r0, r1, r2, r3, r4, r5, r6, r7)
        _add_eight(block, _CHANGES, j, x0, x1, x2, x3, x4, x5, x6, x7)


@numba.njit(nogil=True, cache=True)
def _ended(block, j, window):  # pragma: no cover (compiled)
    """Give the lanes of word j whose windows have all their samples."""
    short = _Z
    for p in range(_PLANES):
        plane = ~block[(63 - _SAMPLES - p) * 8 + j]
        short = plane | short if (window >> p) & 1 else plane & short
    return ~short


@numba.njit(nogil=True, cache=True)
def _end_windows(block, j, ended, first_cell, cutoffs, state, counts, failed):  # pragma: no cover (compiled)
    """End the windows of some lanes of word j; what follows their last sample begins new ones."""
    samples, ones, lanes = (63 - _SAMPLES) * 8 + j, (63 - _ONES) * 8 + j, ended
    new0 = new1 = new2 = ones0 = ones1 = ones2 = begun = fresh = _Z
    while lanes != _Z:
        lane = np.int64(leading_zeros(lanes))
        shift = np.uint64(63 - lane)
        lanes ^= ONE << shift
        number = np.int64(0)
        for p in range(_PLANES):
            number |= np.int64((block[ones - 8 * p] >> shift) & ONE) << p
        over = np.int64(0)  # samples behind its last one: of eight rows
        for p in range(3):
            over |= np.int64((block[samples - 8 * p] >> shift) & ONE) << p
        over = left = (over - cutoffs[2]) & 7
        of_those, first, row = _Z, _Z, 7
        while left:
            if (block[(_VALID + row) * 8 + j] >> shift) & ONE != _Z:
                first = (block[(_OUTCOMES + row) * 8 + j] >> shift) & ONE
                of_those += first
                left -= 1
            row -= 1
        i, number = first_cell + lane, number - np.int64(of_those)
        equal = number if (block[(63 - _FIRST) * 8 + j] >> shift) & ONE != _Z else cutoffs[2] - number
        if equal >= cutoffs[1]:
            failed[i] |= PROPORTION
            counts[i, WINDOWS] += 1 - state[i, TOLD]
        counts[i, SAMPLES] += cutoffs[2]
        counts[i, ONES] += number
        state[i, TOLD] = 0
        new0 |= np.uint64(over & 1) << shift
        new1 |= np.uint64((over >> 1) & 1) << shift
        new2 |= np.uint64(over >> 2) << shift
        ones0 |= (of_those & ONE) << shift
        ones1 |= ((of_those >> ONE) & ONE) << shift
        ones2 |= (of_those >> np.uint64(2)) << shift
        begun |= first << shift
        fresh |= np.uint64(over == 0) << shift
    _empty(block, j, ended)
    block[samples] |= new0
    block[samples - 8] |= new1
    block[samples - 16] |= new2
    block[ones] |= ones0
    block[ones - 8] |= ones1
    block[ones - 16] |= ones2
    block[(63 - _FIRST) * 8 + j] = (block[(63 - _FIRST) * 8 + j] & ~ended) | begun
    block[(63 - _FRESH) * 8 + j] |= fresh


@numba.njit(nogil=True, cache=True, forceinline=True)
def _empty(block, j, lanes):  # pragma: no cover (compiled)
    """Let some lanes' windows have no sample yet."""
    for p in range(_PLANES):
        block[(63 - _SAMPLES - p) * 8 + j] &= ~lanes
        block[(63 - _ONES - p) * 8 + j] &= ~lanes


@numba.njit(nogil=True, cache=True)
def _end_windows_together(
    block, j, ended, first_cell, lanes, cutoffs, state, counts, failed, tile
):  # pragma: no cover (compiled)
    """End windows whose last sample was that of the last row, many of a word at once."""
    _give_state(block, j, first_cell, lanes, state, counts, tile)
    for lane in range(lanes):
        if (ended >> np.uint64(63 - lane)) & ONE != _Z:
            i = first_cell + lane
            number = state[i, WINDOW_ONES]
            if (number if state[i, FIRST] else cutoffs[2] - number) >= cutoffs[1]:
                failed[i] |= PROPORTION
                counts[i, WINDOWS] += 1 - state[i, TOLD]
            counts[i, SAMPLES] += cutoffs[2]
            counts[i, ONES] += number
            state[i, TOLD] = 0
    _empty(block, j, ended)
    block[(63 - _FRESH) * 8 + j] |= ended


@numba.njit(nogil=True, cache=True)
def _take_state(block, j, first_cell, lanes, last, state, repetition, tile):  # pragma: no cover (compiled)
    """Bring the state of the cells of word j into the planes."""
    for lane in range(64):
        tile[lane] = _Z
        if lane < lanes:
            i = first_cell + lane
            number = (state[i, PHASE] << _SAMPLES) | (state[i, WINDOW_ONES] << _ONES)
            number |= (state[i, FIRST] << _FIRST) | (np.int64(last[i] & ONE) << _LAST)
            number |= (1 if state[i, PHASE] == 0 else 0) << _FRESH
            number |= (1 if state[i, RUN] != 0 or repetition <= 32 else 0) << _CLOSELY
            tile[lane] = np.uint64(number)
    transpose(tile)
    for slot in range(64):
        block[slot * 8 + j] = tile[slot]


@numba.njit(nogil=True, cache=True)
def _give_state(block, j, first_cell, lanes, state, counts, tile):  # pragma: no cover (compiled)
    """Bring the planes of word j back into the state; changes are counted from 0 again."""
    for slot in range(64):
        tile[slot] = block[slot * 8 + j]
    transpose(tile)
    for lane in range(lanes):
        i, number = first_cell + lane, np.int64(tile[lane] & (ALL >> ONE))
        state[i, PHASE] = (number >> _SAMPLES) & _COUNTER
        state[i, WINDOW_ONES] = (number >> _ONES) & _COUNTER
        state[i, FIRST] = (number >> _FIRST) & 1
        counts[i, CHANGES] += (number >> _CHANGES) & _COUNTER
    for p in range(_PLANES):
        block[(63 - _CHANGES - p) * 8 + j] = _Z


@numba.njit(nogil=True, cache=True)
def _look_closely(
    words, valid, masked, pulses, cells, i, repetition, last, state, counts
):  # pragma: no cover (compiled)
    """Go through the runs of one cell in a block, and note its last samples; gives whether one is too long."""
    failed, before = False, last[i]
    for begin in range(0, pulses, 64):
        word = usable = _Z
        n = min(64, pulses - begin)
        for row in range(n):
            at = (begin + row) * cells + i
            shift = np.uint64(63 - (at & 63))
            word |= ((words[at >> 6] >> shift) & ONE) << np.uint64(63 - row)
            if masked:
                usable |= ((valid[at >> 6] >> shift) & ONE) << np.uint64(63 - row)
        if masked:
            word, n = extract(word, usable)
        if n:
            after = followed(before, word, n, state[i, RUN] < 0)
            failed |= look_at_runs(i, word, n, before, repetition, state, counts)
            before = after
    last[i] = before
    return failed


@numba.njit(nogil=True, cache=True)
def _note_last(
    words, valid, masked, pulses, cells, first_cell, lanes, closely, repetition, last, state, counts, had, failed,
    tile, usable,
):  # pragma: no cover (compiled)  # fmt: skip
    """Note the last samples of the cells of a word; go through the runs of those that are to be looked at closely."""
    rows = min(64, pulses)
    begin = (pulses - rows) * cells + first_cell
    whole = top(rows)
    _take(words, begin, cells, rows, tile)
    transpose(tile)
    if masked:
        _take(valid, begin, cells, rows, usable)
        transpose(usable)
    for lane in range(lanes):
        i = first_cell + lane
        if counts[i, SAMPLES] + state[i, PHASE] == had[i]:
            continue
        word, n = tile[lane], rows
        if masked and usable[lane] != whole:
            word, n = extract(word, usable[lane])
        after = followed(last[i], word, n, False) if n else last[i]
        run = np.int64(trailing_zeros(after if after & ONE == _Z else ~after))
        # Of a run that may begin before those rows the length is not known here.
        if (closely >> np.uint64(63 - lane)) & ONE == _Z and run < 64 and (rows == pulses or run < n):
            last[i] = after
            state[i, RUN] = run if run >= in_a_row(repetition) else 0
        elif _look_closely(words, valid, masked, pulses, cells, i, repetition, last, state, counts):
            failed[i] |= REPETITION


@numba.njit(nogil=True, cache=True, forceinline=True)
def _take(words, first, step, rows, tile):  # pragma: no cover (compiled)
    """Fill a tile with the 64 positions from `first` on of so many rows, `step` apart; the others are zeros."""
    for row in range(rows):
        tile[row] = word_at(words, first + row * step)
    for row in range(rows, 64):
        tile[row] = _Z


@numba.njit(nogil=True, cache=True)
def _common_phase(valid, masked, pulses, cells, state):  # pragma: no cover (compiled)
    """Give the samples so far of all windows, where all pulses have the same valid cells; -1 where they differ."""
    if masked:
        for at in range(0, (pulses - 1) * cells, 64):
            unlike = word_at(valid, at) ^ word_at(valid, at + cells)
            left = (pulses - 1) * cells - at
            if (unlike if left >= 64 else unlike & top(left)) != _Z:
                return -1
    phase = -1
    for cell in range(cells):
        if masked and (valid[cell >> 6] >> np.uint64(63 - (cell & 63))) & ONE == _Z:
            continue
        if phase >= 0 and state[cell, PHASE] != phase:
            return -1
        phase = state[cell, PHASE]
    return phase


@numba.njit(nogil=True, cache=True)
def check_cells(
    words, valid, masked, pulses, cells, cutoffs, last, state, counts, failed
):  # pragma: no cover (compiled)
    """Test every cell's samples of a block; `failed` gets what each cell fails. `valid` is read where `masked`."""
    if pulses == 0:
        return
    repetition, proportion, window = cutoffs
    group, most = in_a_row(repetition), min(8, window)
    width = (cells + 63) >> 6
    blocks = (width + 7) >> 3
    work = np.zeros((blocks, _SLOTS * 8), np.uint64)
    tile, usable = np.empty(64, np.uint64), np.empty(64, np.uint64)
    had = counts[:, SAMPLES].copy()
    for cell in range(cells):
        counts[cell, SAMPLES] -= state[cell, PHASE]
    for w in range(width):
        _take_state(work[w >> 3], w & 7, 64 * w, min(64, cells - 64 * w), last, state, repetition, tile)
    for b in range(blocks):
        work[b, (63 - _EQUAL) * 8 : (64 - _EQUAL) * 8] = ALL
    common = _common_phase(valid, masked, pulses, cells, state)
    kept = done = 0
    while done < pulses:
        take = min(most, 8 - (done & 7), pulses - done)
        if common >= 0:
            take = min(take, window - common)
            common += take
        done, kept = done + take, kept + take
        for b in range(blocks):
            block, left = work[b], cells - 512 * b
            _take_rows(words, valid, masked, (done - take) * cells, cells, take, block, b)
            for j in range(min(8, (left + 63) >> 6)):
                first, lanes = 512 * b + 64 * j, min(64, left - 64 * j)
                if common == window:
                    ended = _ended(block, j, window)
                    _end_windows_together(block, j, ended, first, lanes, cutoffs, state, counts, failed, tile)
                elif common < 0:
                    ended = _ended(block, j, window)
                    if ended != _Z:
                        _end_windows(block, j, ended, first, cutoffs, state, counts, failed)
                if done % group == 0:
                    block[(63 - _CLOSELY) * 8 + j] |= block[(63 - _EQUAL) * 8 + j]
                    block[(63 - _EQUAL) * 8 + j] = ALL
                if kept > _KEPT:
                    _give_state(block, j, first, lanes, state, counts, tile)
        if common == window:
            common = kept = 0
        elif kept > _KEPT:
            kept = 0
    for w in range(width):
        block, lanes = work[w >> 3], min(64, cells - 64 * w)
        _give_state(block, w & 7, 64 * w, lanes, state, counts, tile)
        closely = block[(63 - _CLOSELY) * 8 + (w & 7)]
        _note_last(
            words, valid, masked, pulses, cells, 64 * w, lanes, closely, repetition, last, state, counts, had,
            failed, tile, usable,
        )  # fmt: skip
    for cell in range(cells):
        phase, ones = state[cell, PHASE], state[cell, WINDOW_ONES]
        counts[cell, SAMPLES] += phase
        equal = ones if state[cell, FIRST] else phase - ones
        if counts[cell, SAMPLES] > had[cell] and equal >= proportion:
            failed[cell] |= PROPORTION
            counts[cell, WINDOWS] += 1 - state[cell, TOLD]
            state[cell, TOLD] = 1
