"""The Bernoulli map's inner loop, compiled by numba: whole numbers and one multiplication a draw, no fast-math."""

# No postponed annotations and no types here: numba reads these functions, not a type checker.
import numba
import numpy as np

_NARROW = 1 << 44
# A width may fall to 1, and grow back by a byte at a time.
_MOST_BYTES = 6


@numba.njit(nogil=True, fastmath=False)
def fill_bernoullis(p, start, state, packed, out):
    """Draw `out[start:]`, as far as the bytes of `packed` surely go; gives where it stopped. Changes `state`."""
    width, point, taken = state[0], state[1], np.int64(state[2])
    i = start
    while i < p.size and taken + _MOST_BYTES <= packed.size:
        cut = np.uint64(p[i] * np.float64(width))
        if point < cut:
            out[i] = 1
            width = cut
        else:
            out[i] = 0
            width -= cut
            point -= cut
        while width < np.uint64(_NARROW):
            width <<= np.uint64(8)
            point = (point << np.uint64(8)) | np.uint64(packed[taken])
            taken += 1
        i += 1
    state[0], state[1], state[2] = width, point, taken
    return i
