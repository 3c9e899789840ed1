"""The two continuous health tests over words of up to 64 consecutive samples of one sequence: compiled.

The same step serves the stream, which is one sequence, and the cells, whose samples are brought together by transposing
64 pulses of 64 cells. Exact: what it counts is what tests of one sample after the other count.

The common case has to be cheap, so a run and a window are looked at closely only where something may happen. The run
under way is known from the last 64 samples, unless it is long: then the state has its length. A run of 33 or more has
16 equalities in a row in some word, or in the last 64 samples at the end of one, before it is that long (one of 9 or
more: 4 in a row; shorter ones are always looked at closely). A window is looked at when it ends and at the end of each
block, since its count can only grow.
"""

import numba
import numpy as np

from ._bit_words import ALL, ONE, leading_zeros, ones_of, trailing_zeros, transpose, word_at

# Rows of the state (int64), one column for each sequence: length of the run under way (0: short, see `_LAST`; -1:
# there was no sample yet), samples of the window so far, ones among them, its first sample, whether its failure
# is counted already.
RUN, PHASE, WINDOW_ONES, FIRST, TOLD = range(5)
STATE_ROWS = 5
# Rows of what is counted (int64): samples, ones of the windows that have ended, pairs of neighbours that
# differ, runs and windows that reached their cutoffs.
SAMPLES, ONES, CHANGES, RUNS, WINDOWS = range(5)
COUNT_ROWS = 5
# What a sequence has failed.
REPETITION, PROPORTION = np.uint8(1), np.uint8(2)

_Z = np.uint64(0)
_WORD = np.uint64(64)


@numba.njit(nogil=True, cache=True, forceinline=True)
def _top(n):  # pragma: no cover (compiled)
    """Give a word whose first n bits are ones, n from 1 to 64."""
    return ALL << (_WORD - np.uint64(n))


# Runs


@numba.njit(nogil=True, cache=True, forceinline=True)
def _in_a_row(repetition):  # pragma: no cover (compiled)
    """Say how many equalities in a row make a word be looked at closely, and a run be kept in the state."""
    return 16 if repetition > 32 else 4


@numba.njit(nogil=True, cache=True)
def _look_at_runs(i, word, n, before, repetition, state, counts):  # pragma: no cover (compiled)
    """Count the runs that reach the cutoff in a word; gives whether a run is that long at any of its samples.

    `before`: the last 64 samples before the word.
    """
    run = state[RUN, i]
    last = before & ONE
    if run < 0:  # no sample yet: the first one has none before it
        counts[CHANGES, i] -= np.int64((word >> np.uint64(63)) ^ last)
        last = word >> np.uint64(63)
        run = 0
    elif run == 0:
        run = np.int64(trailing_zeros(before if last == _Z else ~before))
    failed = False
    left = n
    while left:
        same = word if last else ~word
        led = min(np.int64(leading_zeros(~same)), left)
        if led and run + led >= repetition:
            failed = True
            if run < repetition:
                counts[RUNS, i] += 1
        run += led
        left -= led
        if left:
            word <<= np.uint64(led)  # led < 64 here
            last ^= ONE
            run = 0
    # Of a run that began here the last 64 samples tell the length. Of one that did not they may hold less than it.
    state[RUN, i] = run if run >= min(n, _in_a_row(repetition)) else 0
    return failed


@numba.njit(nogil=True, cache=True, forceinline=True)
def _may_be_long(equal, repetition):  # pragma: no cover (compiled)
    """Say whether a word of equalities is to be looked at closely."""
    equal &= equal << ONE
    equal &= equal << np.uint64(2)
    if _in_a_row(repetition) == 16:
        equal &= equal << np.uint64(4)
        equal &= equal << np.uint64(8)
    return equal != _Z or repetition < 9


# Windows


@numba.njit(nogil=True, cache=True, forceinline=True)
def _equal(i, state):  # pragma: no cover (compiled)
    """Count the samples of the window that equal its first one."""
    return state[WINDOW_ONES, i] if state[FIRST, i] else state[PHASE, i] - state[WINDOW_ONES, i]


@numba.njit(nogil=True, cache=True)
def _look_at_window(i, proportion, state, counts):  # pragma: no cover (compiled)
    """Say whether the window has reached the cutoff, and count it the first time that it has."""
    if _equal(i, state) < proportion:
        return False
    if not state[TOLD, i]:
        state[TOLD, i] = 1
        counts[WINDOWS, i] += 1
    return True


@numba.njit(nogil=True, cache=True)
def _end_window(i, proportion, state, counts):  # pragma: no cover (compiled)
    """End the window; gives whether it fails. What follows is a window of no samples, to be begun."""
    failed = _look_at_window(i, proportion, state, counts)
    counts[ONES, i] += state[WINDOW_ONES, i]
    state[PHASE, i] = state[WINDOW_ONES, i] = state[TOLD, i] = 0
    return failed


@numba.njit(nogil=True, cache=True)
def _through_windows(i, word, n, proportion, window, state, counts):  # pragma: no cover (compiled)
    """Go on by n samples where a window begins or ends among them; gives whether one fails."""
    failed = False
    while True:
        if state[PHASE, i] == 0:
            state[FIRST, i] = np.int64(word >> np.uint64(63))
        take = min(n, window - state[PHASE, i])
        state[WINDOW_ONES, i] += np.int64(ones_of(word & _top(take)))
        state[PHASE, i] += take
        if state[PHASE, i] == window:
            failed |= _end_window(i, proportion, state, counts)
        n -= take
        if n == 0:
            return failed
        word <<= np.uint64(take)


# Both


@numba.njit(nogil=True, cache=True)
def _go_on(
    words, number, lengths, first, step, cutoffs, last, state, counts, failed
):  # pragma: no cover (compiled)
    """Go on by so many words, the k-th one by its first `lengths[k mod 64]` samples; the rest of it is zeros.

    Word k belongs to sequence `first + k * step`. `cutoffs`: of the repetition count, of the adaptive proportion, and
    the latter's window. (All in one loop: arrays that are passed on have their references counted each time.)
    """
    run, phase, ones = state[RUN], state[PHASE], state[WINDOW_ONES]
    opening, changes = state[FIRST], counts[CHANGES]
    repetition, proportion, window = cutoffs
    for k in range(number):
        n = lengths[k & 63]
        if n == 0:
            continue
        i = first + k * step
        word, before = words[k], last[i]
        change = word ^ ((word >> ONE) | (before << np.uint64(63)))
        if n == 64:
            last[i] = word
            changes[i] += np.int64(ones_of(change))
            equal = ~change
        else:
            after = (before << np.uint64(n)) | (word >> (_WORD - np.uint64(n)))
            last[i] = after
            changes[i] += np.int64(ones_of(change & _top(n)))
            equal = ~(after ^ (after >> ONE))
        if (_may_be_long(equal, repetition) or run[i] != 0) and _look_at_runs(
            i, word, n, before, repetition, state, counts
        ):
            failed[i] |= REPETITION
        end = phase[i] + n
        if end < window:
            if end == n:
                opening[i] = np.int64(word >> np.uint64(63))
            phase[i] = end
            ones[i] += np.int64(ones_of(word))
        elif _through_windows(i, word, n, proportion, window, state, counts):
            failed[i] |= PROPORTION


@numba.njit(nogil=True, cache=True)
def check_stream(words, count, cutoffs, last, state, counts, failed):  # pragma: no cover (compiled)
    """Test `count` samples of one sequence; `failed` gets what it fails."""
    if count == 0:
        return
    lengths = np.full(64, 64, np.int64)
    whole = count >> 6
    _go_on(words, whole, lengths, 0, 0, cutoffs, last, state, counts, failed)
    if count & 63:
        lengths[0] = count & 63
        rest = words[whole : whole + 1] & _top(count & 63)
        _go_on(rest, 1, lengths, 0, 0, cutoffs, last, state, counts, failed)
    counts[SAMPLES, 0] += count
    if _look_at_window(0, cutoffs[1], state, counts):
        failed[0] |= PROPORTION


@numba.njit(nogil=True, cache=True)
def _without(word, valid, n):  # pragma: no cover (compiled)
    """Leave out the samples of a word that are not valid and move the others together; gives them and their number."""
    gone = ~valid & _top(n)
    while gone != _Z:
        onwards = ALL >> leading_zeros(gone)  # from this one on
        after = onwards >> ONE
        word = (word & ~onwards) | ((word & after) << ONE)
        gone = (gone & after) << ONE
        n -= 1
    return word, n


@numba.njit(nogil=True, cache=True, forceinline=True)
def _take(words, first, step, rows, tile):  # pragma: no cover (compiled)
    """Fill a tile with the 64 positions from `first` on of so many rows, `step` apart; the others are zeros."""
    for row in range(rows):
        tile[row] = word_at(words, first + row * step)
    for row in range(rows, 64):
        tile[row] = _Z


@numba.njit(nogil=True, cache=True)
def check_cells(
    words, valid, masked, pulses, cells, cutoffs, last, state, counts, failed
):  # pragma: no cover (compiled)
    """Test every cell's samples of a block; `failed` gets what each cell fails. `valid` is read where `masked`."""
    tile, usable = np.empty(64, np.uint64), np.empty(64, np.uint64)
    lengths = np.empty(64, np.int64)
    samples, had = counts[SAMPLES], counts[SAMPLES].copy()
    samples += pulses
    for group in range(0, cells, 512):  # the state of so many stays in the fastest cache
        for begin in range(0, pulses, 64):
            rows = min(64, pulses - begin)
            whole = _top(rows)
            for first in range(group, min(group + 512, cells), 64):
                lanes = min(64, cells - first)
                at = begin * cells + first
                _take(words, at, cells, rows, tile)
                transpose(tile)
                lengths[:] = rows
                if masked:
                    _take(valid, at, cells, rows, usable)
                    transpose(usable)
                    for lane in range(lanes):
                        if usable[lane] != whole:
                            tile[lane], lengths[lane] = _without(tile[lane], usable[lane], rows)
                            samples[first + lane] -= rows - lengths[lane]
                _go_on(tile, lanes, lengths, first, 1, cutoffs, last, state, counts, failed)
    for cell in range(cells):
        if counts[SAMPLES, cell] > had[cell] and _look_at_window(cell, cutoffs[1], state, counts):
            failed[cell] |= PROPORTION
