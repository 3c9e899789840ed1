"""The normal map's inner loop, compiled by numba: additions and multiplications alone, no fast-math, no
fusing.
"""

# No postponed annotations and no types here: numba reads this function, not a type checker.
import numba
import numpy as np

_PACKED = numba.types.Array(numba.uint8, 1, "C", readonly=True)
_TABLE = numba.types.Array(numba.float64, 2, "C", readonly=True)


@numba.njit(numba.void(_PACKED, _TABLE, numba.uint32[::1]), nogil=True, cache=True, fastmath=False)
def fill_normals(packed, table, words):
    """Fill `words` (uint32, the bit patterns of float32) with the normals of `packed` (uint8, 4 bytes a
    number).
    """
    for i in range(words.size):
        j = 4 * i
        word = (
            (np.uint32(packed[j]) << np.uint32(24))
            | (np.uint32(packed[j + 1]) << np.uint32(16))
            | (np.uint32(packed[j + 2]) << np.uint32(8))
            | np.uint32(packed[j + 3])
        )
        x = np.float64(np.int32(word & np.uint32(0x7FFFFFFF))) + 0.5
        bits = np.float64(x).view(np.int64)
        segment = (bits >> np.int64(46)) - np.int64(1022 << 6)
        fraction = ((bits & np.int64((1 << 46) - 1)) << np.int64(6)) | np.int64(0x3FF0000000000000)
        u = 2.0 - np.int64(fraction).view(np.float64)
        c = table[segment]
        z = (((c[4] * u + c[3]) * u + c[2]) * u + c[1]) * u + c[0]
        words[i] = np.float32(z).view(np.uint32) | (word & np.uint32(0x80000000))
