"""What else is asked of the words of a block, compiled: its usable bits, and how often cells change."""

import numba
import numpy as np

from .._bit_words import ONE, extract, ones_of, word_at
from ._health_kernels import top

_Z = np.uint64(0)


@numba.njit(nogil=True, cache=True)
def compact(words, valid, positions, out):  # pragma: no cover (compiled)
    """Move the valid ones of so many positions together, into the words of `out`; gives how many there are.

    `out`: zeros, as long as the words and one more.
    """
    # The bits of a word that is not full yet, at its high end, their number, and which word it is.
    held, kept, at = _Z, np.int64(0), 0
    for k in range((positions + 63) >> 6):
        usable = valid[k]
        if positions - 64 * k < 64:
            usable &= top(positions - 64 * k)
        word, n = extract(words[k], usable)
        out[at] = held | (word >> np.uint64(kept))
        kept += n
        if kept < 64:
            held = out[at]
        else:
            at, kept = at + 1, kept - 64
            held = (word << np.uint64(n - kept - 1)) << ONE if kept else _Z
    out[at] = held
    return 64 * at + kept


@numba.njit(nogil=True, cache=True)
def count_changes(words, valid, masked, positions, cells):  # pragma: no cover (compiled)
    """Count the pairs of valid outcomes of a cell in consecutive pulses, and those that differ: (changes, pairs)."""
    number = max(positions - cells, 0)
    whole, shift = number >> 6, np.uint64(cells & 63)
    back = np.uint64(63) - shift
    later, last = words[cells >> 6 :], words[(cells >> 6) + 1 :]
    valid_later, valid_last = valid[cells >> 6 :], valid[(cells >> 6) + 1 :]
    changes, pairs = np.int64(0), np.int64(number)
    if masked:
        pairs = np.int64(0)
        for k in range(whole):
            usable = valid[k] & ((valid_later[k] << shift) | ((valid_last[k] >> ONE) >> back))
            unlike = words[k] ^ ((later[k] << shift) | ((last[k] >> ONE) >> back))
            changes += np.int64(ones_of(unlike & usable))
            pairs += np.int64(ones_of(usable))
    else:
        for k in range(whole):
            changes += np.int64(ones_of(words[k] ^ ((later[k] << shift) | ((last[k] >> ONE) >> back))))
    if number & 63:
        usable = top(number & 63)
        if masked:
            usable &= valid[whole] & word_at(valid, 64 * whole + cells)
            pairs += np.int64(ones_of(usable))
        changes += np.int64(ones_of((words[whole] ^ word_at(words, 64 * whole + cells)) & usable))
    return changes, pairs
