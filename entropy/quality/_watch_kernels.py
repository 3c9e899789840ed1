"""Counting pairs of positions that differ, at many lags: compiled."""

import numba
import numpy as np

from .._bit_words import ALL, ones_of

_WORD = np.uint64(64)


@numba.njit(nogil=True, cache=True)
def differing_pairs(words, valid, masked, positions, step, pairs, differ):  # pragma: no cover (compiled)
    """Add to `pairs` and `differ`, (lags,), the pairs (p, p + k·step) of usable positions and how many of them differ.

    k runs from 1; `words`, `valid`: words with two spare ones at their end; `valid` counts where `masked`.
    """
    for k in range(len(pairs)):
        lag = (k + 1) * step
        number = positions - lag
        if number <= 0:
            continue
        at, shift = lag >> 6, np.uint64(lag & 63)
        back = (_WORD - shift) & np.uint64(63)
        keep = ALL if shift else np.uint64(0)  # whether the next word has a part in it
        whole = number >> 6
        rest = ALL << (_WORD - np.uint64(number & 63)) if number & 63 else np.uint64(0)
        unlike = both = np.int64(0)
        if masked:
            for i in range(whole):
                used = ((valid[i + at] << shift) | ((valid[i + at + 1] >> back) & keep)) & valid[i]
                other = (words[i + at] << shift) | ((words[i + at + 1] >> back) & keep)
                unlike += np.int64(ones_of((words[i] ^ other) & used))
                both += np.int64(ones_of(used))
            used = (
                ((valid[whole + at] << shift) | ((valid[whole + at + 1] >> back) & keep))
                & valid[whole]
                & rest
            )
            both += np.int64(ones_of(used))
        else:
            for i in range(whole):
                other = (words[i + at] << shift) | ((words[i + at + 1] >> back) & keep)
                unlike += np.int64(ones_of(words[i] ^ other))
            used = rest
            both = number
        if rest:
            other = (words[whole + at] << shift) | ((words[whole + at + 1] >> back) & keep)
            unlike += np.int64(ones_of((words[whole] ^ other) & used))
        pairs[k] += both
        differ[k] += unlike
