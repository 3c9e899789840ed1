"""Packed bits: leaving out the positions that a mask marks as unusable, and counting what changed."""

import numba
import numpy as np

from entropy import count_ones


def _tables() -> tuple[np.ndarray, np.ndarray]:
    """For every mask and byte: the usable bits of the byte, moved together to its low end; and their number."""
    mask = np.arange(256, dtype=np.uint16)[:, None]
    byte = np.arange(256, dtype=np.uint16)[None, :]
    together = np.zeros((256, 256), np.uint16)
    for bit in range(7, -1, -1):
        used = (mask >> bit) & 1
        together = np.where(used == 1, (together << 1) | ((byte >> bit) & 1), together)
    return together.astype(np.uint8), np.bitwise_count(np.arange(256, dtype=np.uint8))


_TOGETHER, _NUMBER = _tables()


def compact(bits: np.ndarray, valid: np.ndarray) -> tuple[np.ndarray, int]:
    """Leave out the bits whose mask bit is 0.

    `bits`, `valid`: packed uint8 of one length, first bit most significant, padding of the mask 0. Returns the
    usable bits packed alike and padded with zeros, and their number.
    """
    out = np.empty(len(bits) + 1, np.uint8)
    count = int(_compact(bits, valid, _TOGETHER, _NUMBER, out))
    return out[: (count + 7) // 8], count


@numba.njit(nogil=True, cache=True)
def _compact(bits, valid, together, number, out):  # pragma: no cover (compiled)
    held = np.uint64(0)
    waiting = 0
    written = 0
    for i in range(len(bits)):
        mask = valid[i]
        if mask == 0xFF:
            held = (held << np.uint64(8)) | np.uint64(bits[i])
            waiting += 8
        else:
            n = number[mask]
            held = (held << np.uint64(n)) | np.uint64(together[mask, bits[i]])
            waiting += n
        if waiting >= 8:
            waiting -= 8
            out[written] = np.uint8((held >> np.uint64(waiting)) & np.uint64(0xFF))
            written += 1
    if waiting:
        out[written] = np.uint8((held << np.uint64(8 - waiting)) & np.uint64(0xFF))
    return written * 8 + waiting


def changes(bits: np.ndarray, valid: np.ndarray | None, cells: int) -> tuple[int, int] | None:
    """Count how often a cell's outcome differs from its last one: (changes, pairs); None where rows share bytes.

    `cells`: positions of a pulse; only pairs of usable outcomes of consecutive pulses count.
    """
    if cells % 8:
        return None
    row = cells // 8
    if valid is None:
        return count_ones(bits[row:] ^ bits[:-row]) if len(bits) > row else 0, 8 * max(len(bits) - row, 0)
    both = valid[row:] & valid[:-row]
    return count_ones((bits[row:] ^ bits[:-row]) & both), count_ones(both)


def lag1(ones: float, bits: int, changed: int, pairs: int) -> float:
    """Estimate the lag-1 correlation of cells pooled: from the fractions of ones and of changes; NaN where unknown."""
    if not pairs or not 0 < ones < bits:
        return float("nan")
    mean = 2 * ones / bits - 1
    return ((1 - 2 * changed / pairs) - mean**2) / (1 - mean**2)
