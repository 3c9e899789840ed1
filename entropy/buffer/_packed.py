"""Packed bits, the first one most significant, padded with zeros: counted, cut and joined as fast as numpy does it."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

# Words counted at once: what they give fits 32 bits, in which numpy adds twice as fast as in 64, and stays in memory.
_WORDS = 1 << 25


def count_ones(packed: np.ndarray) -> int:
    """Count the bits that are 1 in a contiguous uint8 array."""
    whole = len(packed) // 8 * 8
    words = packed[:whole].view(np.uint64)
    ones = int(np.bitwise_count(packed[whole:]).sum(dtype=np.uint64))
    for begin in range(0, len(words), _WORDS):
        ones += int(_totals(np.bitwise_count(words[begin : begin + _WORDS])[np.newaxis])[0])
    return ones


def ones_between(data: np.ndarray, places: list[int]) -> list[int]:
    """Count the ones of each stretch of `data` between two places, in order."""
    size = places[1] - places[0]
    if size % 8 or any(high - low != size for low, high in pairwise(places)):
        return [count_ones(data[low:high]) for low, high in pairwise(places)]
    counts = np.bitwise_count(data.view(np.uint64))
    return _totals(counts.reshape(len(places) - 1, size // 8)).tolist()


def _totals(counts: np.ndarray) -> np.ndarray:
    """Sum each row of counts of at most 64; first three by three, which still fit a byte, since casting costs."""
    third = counts.shape[1] // 3
    threes = counts[:, :third] + counts[:, third : 2 * third]
    threes += counts[:, 2 * third : 3 * third]
    # uint32 is faster than uint64, and enough: a piece has fewer bits
    return threes.sum(axis=1, dtype=np.uint32) + counts[:, 3 * third :].sum(axis=1, dtype=np.uint32)


def padding_used(packed: np.ndarray, bits: int) -> bool:
    """Say whether any bit after the last of `bits` packed ones is 1."""
    return bool(bits % 8 and packed[-1] & (0xFF >> bits % 8))


def cut(packed: np.ndarray, bits: int) -> np.ndarray:
    """Cut packed bits (a fresh array) to `bits`, and zero the padding."""
    packed = packed[: (bits + 7) // 8]
    if bits % 8:
        packed[-1] &= 0xFF00 >> bits % 8 & 0xFF
    return packed


def stretch(packed: np.ndarray, first: int, bits: int) -> np.ndarray:
    """Copy `bits` bits from bit `first` on."""
    at, shift, size = first >> 3, first & 7, (bits + 7) >> 3
    if shift == 0:
        return cut(packed[at : at + size].copy(), bits)
    source = packed[at : at + size + 1]
    out = source[:size] << np.uint8(shift)
    out[: len(source) - 1] |= source[1:] >> np.uint8(8 - shift)
    return cut(out, bits)


def join(parts: Sequence[tuple[np.ndarray, int]]) -> np.ndarray:
    """Join packed bits, given with how many they are; without a copy where there is one part."""
    if len(parts) == 1:
        return parts[0][0]
    if all(bits % 8 == 0 for _, bits in parts[:-1]):
        return np.concatenate([packed for packed, _ in parts]) if parts else np.empty(0, np.uint8)
    return np.packbits(np.concatenate([np.unpackbits(packed, count=bits) for packed, bits in parts]))
