"""The compiled parts of the conditioners.

Loading numba takes most of a second, which nobody who only looks at a store should wait for: so this is imported
where it is first used.
"""

import numba
import numpy as np

from .._bit_words import word_at


@numba.njit(cache=True, nogil=True)
def xor_words(words: np.ndarray, k: int, out: np.ndarray) -> None:
    """XOR each `k` consecutive words into one."""
    # apart, so that they become vector instructions
    if k == 2:
        for i in range(len(out)):
            out[i] = words[2 * i] ^ words[2 * i + 1]
        return
    if k == 3:
        for i in range(len(out)):
            out[i] = words[3 * i] ^ words[3 * i + 1] ^ words[3 * i + 2]
        return
    for i in range(len(out)):
        x = words[k * i]
        for j in range(1, k):
            x ^= words[k * i + j]
        out[i] = x


@numba.njit(cache=True, nogil=True)
def toeplitz_hash(raw, table, size, out):  # pragma: no cover
    """Add up, over the bytes of each block of `size`, their rows of the table."""
    width = out.shape[1]
    for block in range(out.shape[0]):
        y = out[block]
        at = block * size
        b = 0
        while b + 4 <= size:  # four rows at once: y is read and written less often
            last = size - 4 - b
            # slices, so that the loop becomes vector instructions
            t0 = table[raw[at + b], last + 3 : last + 3 + width]
            t1 = table[raw[at + b + 1], last + 2 : last + 2 + width]
            t2 = table[raw[at + b + 2], last + 1 : last + 1 + width]
            t3 = table[raw[at + b + 3], last : last + width]
            for i in range(width):
                y[i] ^= t0[i] ^ t1[i] ^ t2[i] ^ t3[i]
            b += 4
        while b < size:
            t0 = table[raw[at + b], size - 1 - b : size - 1 - b + width]
            for i in range(width):
                y[i] ^= t0[i]
            b += 1


@numba.njit(cache=True, nogil=True)
def _emit(bits, mask, node, out, at, counts, kept):  # pragma: no cover
    """Append those bits of a word that the mask names to the output of a node."""
    progress = at[node]
    size, pending, rest = progress[0], progress[1], progress[2]
    if mask & (mask - np.uint64(1)) == np.uint64(0):  # one bit, as is common deep down
        rest = (rest << 1) | np.int64(bits & mask != np.uint64(0))
        pending += 1
        out[size] = rest >> (pending & 7)
        size += pending >> 3
        pending &= 7
    else:
        for shift in range(56, -1, -8):
            chosen = (mask >> np.uint64(shift)) & np.uint64(255)
            count = np.int64(counts[chosen])
            rest = (rest << count) | np.int64(kept[chosen, (bits >> np.uint64(shift)) & np.uint64(255)])
            pending += count
            out[size] = rest >> (pending & 7)  # a byte that is not full yet is written again
            size += pending >> 3
            pending &= 7
    progress[0], progress[1], progress[2] = size, pending, rest


@numba.njit(cache=True, nogil=True)
def peres_feed(
    outcomes, usable, position, positions, cells, state, out, at, counts, kept
):  # pragma: no cover
    """Feed outcomes at `positions` positions from `position` on to the extractor of every cell, 64 cells at a time."""
    nodes = state.shape[1]
    ones = ~np.uint64(0)
    todo = np.empty(nodes + 1, np.int64)
    arriving = np.empty((nodes + 1, 2), np.uint64)
    for pulse in range(position // cells, (position + positions - 1) // cells + 1):
        for word in range(state.shape[0]):
            base = pulse * cells + 64 * word - position  # of the word's first cell, in the outcomes
            low, high = max(-base, 0), min(min(64, cells - 64 * word), positions - base)
            if low >= high:
                continue
            mask = (ones >> np.uint64(low)) & (ones << np.uint64(64 - high))
            if low:
                x = outcomes[0] >> np.uint64(low)
                if len(usable):
                    mask &= usable[0] >> np.uint64(low)
            else:
                x = word_at(outcomes, base)
                if len(usable):
                    mask &= word_at(usable, base)
            todo[0], arriving[0, 0], arriving[0, 1] = 0, x, mask
            top = 1
            while top:
                top -= 1
                node, x, mask = todo[top], arriving[top, 0], arriving[top, 1]
                held = state[word, node]
                waiting, old = held[0], held[1]
                fresh = mask & ~waiting
                held[0] = waiting ^ mask
                held[1] = (old & ~fresh) | (x & fresh)
                paired = waiting & mask
                if paired == np.uint64(0):
                    continue
                differ = (old ^ x) & paired
                if differ:
                    _emit(old, differ, node, out, at, counts, kept)
                if 2 * node + 2 < nodes:
                    alike = paired & ~differ
                    if alike:
                        todo[top], arriving[top, 0], arriving[top, 1] = 2 * node + 2, old, alike
                        top += 1
                    todo[top], arriving[top, 0], arriving[top, 1] = 2 * node + 1, differ, paired
                    top += 1
