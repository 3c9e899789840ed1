"""The normal map's inner loops, compiled by numba: additions and multiplications alone, no fast-math, no
fusing.
"""

# No postponed annotations and no types here: numba reads these functions, not a type checker.
import numba
import numpy as np

_PACKED = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_TABLE = numba.types.Array(numba.float64, 2, "C", readonly=True)
_LEVELS = numba.types.Array(numba.float32, 1, "C", readonly=True)
_ROWS = numba.types.Array(numba.float32, 2, "C", readonly=True)
# Numbers that go through the steps together: what they pass on stays in the processor's first cache.
_BLOCK = 256


@numba.njit(nogil=True, fastmath=False)
def _read_words(packed, words):
    for i in range(words.size):
        j = 4 * i
        words[i] = (
            (np.uint32(packed[j]) << np.uint32(24))
            | (np.uint32(packed[j + 1]) << np.uint32(16))
            | (np.uint32(packed[j + 2]) << np.uint32(8))
            | np.uint32(packed[j + 3])
        )


@numba.njit(nogil=True, fastmath=False)
def _find_places(words, segment, u):
    for i in range(words.size):
        x = np.float64(np.int32(words[i] & np.uint32(0x7FFFFFFF))) + 0.5
        bits = np.float64(x).view(np.uint64)
        segment[i] = (bits >> np.uint64(46)) - np.uint64(1022 << 6)
        fraction = ((bits & np.uint64((1 << 46) - 1)) << np.uint64(6)) | np.uint64(0x3FF0000000000000)
        u[i] = 2.0 - np.uint64(fraction).view(np.float64)


@numba.njit(nogil=True, fastmath=False)
def _evaluate(table, segment, u):
    for i in range(u.size):
        x, s = u[i], segment[i]
        u[i] = (((table[s, 4] * x + table[s, 3]) * x + table[s, 2]) * x + table[s, 1]) * x + table[s, 0]


@numba.njit(nogil=True, fastmath=False)
def _put_magnitudes(z, words):
    for i in range(words.size):
        words[i] = (words[i] & np.uint32(0x80000000)) | np.float32(z[i]).view(np.uint32)


@numba.njit(numba.void(_PACKED, _TABLE, numba.uint32[::1]), nogil=True, cache=True, fastmath=False)
def fill_normals(packed, table, words):
    """Fill `words` (uint32, the bit patterns of float32) with the normals of `packed` (uint8, 4 bytes a
    number).

    All steps but the look-up in the table are loops that a compiler turns into vector instructions.
    """
    place, row = np.empty(_BLOCK, np.float64), np.empty(_BLOCK, np.uint64)
    for start in range(0, words.size, _BLOCK):
        end = min(start + _BLOCK, words.size)
        part, u, segment = words[start:end], place[: end - start], row[: end - start]
        _read_words(packed[4 * start : 4 * end], part)
        _find_places(part, segment, u)
        _evaluate(table, segment, u)
        _put_magnitudes(u, part)


@numba.njit(numba.void(_PACKED, _LEVELS, numba.float32[::1]), nogil=True, cache=True)
def fill_normals_16(packed, levels, out):
    """Fill `out` with the levels of words of 16 bits, big-endian."""
    for i in range(out.size):
        out[i] = levels[(np.uint64(packed[2 * i]) << np.uint64(8)) | np.uint64(packed[2 * i + 1])]


@numba.njit(numba.void(_PACKED, _LEVELS, numba.float32[::1]), nogil=True, cache=True)
def fill_normals_12(packed, levels, out):
    """Fill `out` with the levels of words of 12 bits: three bytes are two words."""
    for pair in range(out.size // 2):
        a, b, c = (
            np.uint64(packed[3 * pair]),
            np.uint64(packed[3 * pair + 1]),
            np.uint64(packed[3 * pair + 2]),
        )
        out[2 * pair] = levels[(a << np.uint64(4)) | (b >> np.uint64(4))]
        out[2 * pair + 1] = levels[((b & np.uint64(15)) << np.uint64(8)) | c]
    if out.size % 2:
        j = 3 * (out.size // 2)
        out[out.size - 1] = levels[
            (np.uint64(packed[j]) << np.uint64(4)) | (np.uint64(packed[j + 1]) >> np.uint64(4))
        ]


@numba.njit(numba.void(_PACKED, _ROWS, numba.float32[::1]), nogil=True, cache=True)
def fill_normals_by_bytes(packed, rows, out):
    """Fill `out` with the row of each byte: 1, 2, 4 or 8 numbers; the last byte may be good for more than are asked.

    Each number of columns has a loop of its own, in which it is a constant.
    """
    each = rows.shape[1]
    whole = out.size // each
    if each == 1:
        for i in range(whole):
            out[i] = rows[packed[i], 0]
    elif each == 2:
        for i in range(whole):
            for k in range(2):
                out[2 * i + k] = rows[packed[i], k]
    elif each == 4:
        for i in range(whole):
            for k in range(4):
                out[4 * i + k] = rows[packed[i], k]
    elif each == 8:
        for i in range(whole):
            for k in range(8):
                out[8 * i + k] = rows[packed[i], k]
    for i in range(whole * each, out.size):
        out[i] = rows[packed[whole], i - whole * each]
