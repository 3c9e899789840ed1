"""Blocks of bits as numbers, and how long ago each was seen: what Maurer's universal statistic (1992) is made of."""

import numba
import numpy as np


def block_values(bits: np.ndarray, size: int) -> np.ndarray:
    """Give the values of the whole blocks of `size` bits, the first bit most significant; int64."""
    blocks = len(bits) // size
    return bits[: blocks * size].reshape(blocks, size) @ (1 << np.arange(size)[::-1])


@numba.njit(cache=True, nogil=True)
def log2_distances(values, learned, kinds):
    """Sum log2 of the distance of each value, from `learned` on, to the one like it before it; and its square."""
    seen = np.zeros(kinds, np.int64)
    total = squares = 0.0
    for at in range(len(values)):
        if at >= learned:
            distance = np.log2(at + 1 - seen[values[at]])
            total += distance
            squares += distance * distance
        seen[values[at]] = at + 1
    return total, squares
