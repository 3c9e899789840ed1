"""The two continuous health tests, compiled: what stream and cells share, and those of the stream.

Exact: what they count is what tests of one sample after the other count. The common case has to be cheap, so a run is
looked at closely only where one may be long: as many equal samples in a row as the cutoff have `in_a_row` equalities in
a row in some word of the stream, or in some rows of the cells that begin at a multiple of it, or had that many before
the block began. The last are known from the last 64 samples, unless the run is longer: then the state has its length.
A window is looked at when it ends and at the end of each block, since its count can only grow.
"""

import numba
import numpy as np

from .._bit_words import ALL, ONE, leading_zeros, ones_of, trailing_zeros, word_at

# Columns of the state (int64), one row for each sequence: length of the run under way (0: short, the last samples tell
# it; -1: there was no sample yet), samples of the window so far, ones among them, its first sample, whether its failure
# is counted already.
RUN, PHASE, WINDOW_ONES, FIRST, TOLD = range(5)
STATE_COLUMNS = 5
# Columns of what is counted (int64): samples, ones of the windows that have ended, pairs of neighbours that
# differ, runs and windows that reached their cutoffs.
SAMPLES, ONES, CHANGES, RUNS, WINDOWS = range(5)
COUNT_COLUMNS = 5
# What a sequence has failed.
REPETITION, PROPORTION = np.uint8(1), np.uint8(2)

_Z = np.uint64(0)
_WORD = np.uint64(64)


@numba.njit(nogil=True, cache=True, forceinline=True)
def top(n):  # pragma: no cover (compiled)
    """Give a word whose first n bits are ones, n from 1 to 64."""
    return ALL << (_WORD - np.uint64(n))


# Runs


@numba.njit(nogil=True, cache=True, forceinline=True)
def in_a_row(repetition):  # pragma: no cover (compiled)
    """Say how many equalities in a row make a run be looked at closely, and kept in the state."""
    if repetition > 32:
        return 16 if repetition <= 64 else 32 if repetition <= 128 else 64
    return 4


@numba.njit(nogil=True, cache=True)
def look_at_runs(i, word, n, before, repetition, state, counts):  # pragma: no cover (compiled)
    """Count the runs that reach the cutoff in a word; gives whether a run is that long at any of its samples.

    `before`: the last 64 samples before the word.
    """
    run = state[i, RUN]
    last = before & ONE
    if run < 0:  # no sample yet: the first one has none before it
        counts[i, CHANGES] -= np.int64((word >> np.uint64(63)) ^ last)
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
                counts[i, RUNS] += 1
        run += led
        left -= led
        if left:
            word <<= np.uint64(led)  # led < 64 here
            last ^= ONE
            run = 0
    state[i, RUN] = run if run >= in_a_row(repetition) else 0  # of a shorter one the last 64 samples tell
    return failed


@numba.njit(nogil=True, cache=True, forceinline=True)
def followed(before, word, n, fresh):  # pragma: no cover (compiled)
    """Give the last 64 samples after a word of n; before the very first one comes another one, which ends its run."""
    if n == 64:
        return word
    if fresh:
        before = _Z if word >> np.uint64(63) else ALL
    return (before << np.uint64(n)) | (word >> (_WORD - np.uint64(n)))


@numba.njit(nogil=True, cache=True, forceinline=True)
def _long(equal, repetition):  # pragma: no cover (compiled)
    """Give the places where `in_a_row` equalities begin."""
    equal &= equal << ONE
    equal &= equal << np.uint64(2)
    if repetition > 32:
        equal &= equal << np.uint64(4)
        equal &= equal << np.uint64(8)
    if repetition > 64:
        equal &= equal << np.uint64(16)
    if repetition > 128:
        equal &= equal << np.uint64(32)
    return equal


@numba.njit(nogil=True, cache=True, forceinline=True)
def _may_be_long(equal, repetition):  # pragma: no cover (compiled)
    """Say whether a word of equalities is to be looked at closely."""
    return _long(equal, repetition) != _Z or repetition < 9


# Windows


@numba.njit(nogil=True, cache=True, forceinline=True)
def _equal(i, state):  # pragma: no cover (compiled)
    """Count the samples of the window that equal its first one."""
    return state[i, WINDOW_ONES] if state[i, FIRST] else state[i, PHASE] - state[i, WINDOW_ONES]


@numba.njit(nogil=True, cache=True)
def _look_at_window(i, proportion, state, counts):  # pragma: no cover (compiled)
    """Say whether the window has reached the cutoff, and count it the first time that it has."""
    if _equal(i, state) < proportion:
        return False
    if not state[i, TOLD]:
        state[i, TOLD] = 1
        counts[i, WINDOWS] += 1
    return True


@numba.njit(nogil=True, cache=True)
def _end_window(i, proportion, state, counts):  # pragma: no cover (compiled)
    """End the window; gives whether it fails. What follows is a window of no samples, to be begun."""
    failed = _look_at_window(i, proportion, state, counts)
    counts[i, ONES] += state[i, WINDOW_ONES]
    state[i, PHASE] = state[i, WINDOW_ONES] = state[i, TOLD] = 0
    return failed


@numba.njit(nogil=True, cache=True)
def _through_windows(i, word, n, proportion, window, state, counts):  # pragma: no cover (compiled)
    """Go on by n samples where a window begins or ends among them; gives whether one fails."""
    failed = False
    while True:
        if state[i, PHASE] == 0:
            state[i, FIRST] = np.int64(word >> np.uint64(63))
        take = min(n, window - state[i, PHASE])
        state[i, WINDOW_ONES] += np.int64(ones_of(word & top(take)))
        state[i, PHASE] += take
        if state[i, PHASE] == window:
            failed |= _end_window(i, proportion, state, counts)
        n -= take
        if n == 0:
            return failed
        word <<= np.uint64(take)


# The stream


@numba.njit(nogil=True, cache=True)
def _go_on(word, n, cutoffs, last, state, counts):  # pragma: no cover (compiled)
    """Go on by the first n samples of a word, the rest of which is zeros; gives what fails."""
    repetition, proportion, window = cutoffs
    failed, before = np.uint8(0), last[0]
    after = followed(before, word, n, state[0, RUN] < 0)
    change = word ^ ((word >> ONE) | (before << np.uint64(63)))
    counts[0, CHANGES] += np.int64(ones_of(change & top(n)))
    # Of fewer the last 64 samples tell; what the first of those followed is not known.
    equal = ~change if n == 64 else ~(after ^ (after >> ONE)) | (ONE << np.uint64(63))
    if (_may_be_long(equal, repetition) or state[0, RUN] != 0) and look_at_runs(
        0, word, n, before, repetition, state, counts
    ):
        failed |= REPETITION
    if _through_windows(0, word, n, proportion, window, state, counts):
        failed |= PROPORTION
    last[0] = after
    return failed


_AT_ONCE = 128  # words: what is counted of each lies in the fastest cache


@numba.njit(nogil=True, cache=True)
def _go_on_by_words(words, start, number, cutoffs, last, state, counts):  # pragma: no cover (compiled)
    """Go on by so many times 64 samples from position `start` on; windows begin and end between them. Gives what fails.

    (All in one loop: arrays that are passed on have their references counted each time.)
    """
    repetition, proportion, window = cutoffs
    phase, ones, first, told = state[0, PHASE], state[0, WINDOW_ONES], state[0, FIRST], state[0, TOLD]
    failed, changes = np.uint8(0), np.int64(0)
    at, shift = start >> 6, np.uint64(start & 63)
    back = np.uint64(63) - shift
    here, there = words[at:], words[at + 1 :]
    # The words of the windows, behind the one before them.
    window_words, of_those = np.empty(_AT_ONCE + 1, np.uint64), np.empty(_AT_ONCE, np.int64)
    window_words[0] = last[0]
    for begin in range(0, number, _AT_ONCE):
        some = min(_AT_ONCE, number - begin)
        for k in range(some):
            window_words[k + 1] = (here[begin + k] << shift) | ((there[begin + k] >> ONE) >> back)
        seen = _Z
        for k in range(some):
            word = window_words[k + 1]
            change = word ^ ((word >> ONE) | (window_words[k] << np.uint64(63)))
            of_those[k] = np.int64(ones_of(word))
            changes += np.int64(ones_of(change))
            seen |= _long(~change, repetition)
        if seen != _Z or repetition < 9 or state[0, RUN] != 0:
            for k in range(some):
                word, before = window_words[k + 1], window_words[k]
                equal = ~(word ^ ((word >> ONE) | (before << np.uint64(63))))
                if (_may_be_long(equal, repetition) or state[0, RUN] != 0) and look_at_runs(
                    0, word, 64, before, repetition, state, counts
                ):
                    failed |= REPETITION
        k = 0
        while k < some:
            if phase == 0:
                first = np.int64(window_words[k + 1] >> np.uint64(63))
            end = min(some, k + ((window - phase) >> 6))
            phase += 64 * (end - k)
            for q in range(k, end):
                ones += of_those[q]
            k = end
            if phase == window:
                if (ones if first else window - ones) >= proportion:
                    failed |= PROPORTION
                    counts[0, WINDOWS] += 1 - told
                counts[0, ONES] += ones
                phase = ones = told = 0
        window_words[0] = window_words[some]
    state[0, PHASE], state[0, WINDOW_ONES], state[0, FIRST], state[0, TOLD] = phase, ones, first, told
    counts[0, CHANGES] += changes
    last[0] = window_words[0]
    return failed


@numba.njit(nogil=True, cache=True)
def check_stream(words, count, cutoffs, last, state, counts, failed):  # pragma: no cover (compiled)
    """Test `count` samples of one sequence; `failed` gets what it fails. `words`: with two spare ones behind them."""
    done = 0
    while done < count:
        n = min(64 - (state[0, PHASE] & 63), count - done)  # from then on windows end with a word
        if n == 64 and cutoffs[2] & 63 == 0:
            n = (count - done) >> 6 << 6
            failed[0] |= _go_on_by_words(words, done, n >> 6, cutoffs, last, state, counts)
        else:
            failed[0] |= _go_on(word_at(words, done) & top(n), n, cutoffs, last, state, counts)
        done += n
    counts[0, SAMPLES] += count
    if count and _look_at_window(0, cutoffs[1], state, counts):
        failed[0] |= PROPORTION
