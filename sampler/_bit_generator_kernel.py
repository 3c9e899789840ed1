"""The functions that numpy's distributions call for bits, compiled by numba so that they need no lock of Python's.

They take 32-bit words from a buffer and call Python only where it is empty. The state that they share with
Python is one array of uint64: a header, then the words (uint32).
"""

# No postponed annotations and no types here: numba reads these functions, not a type checker.
import numba
import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

AT, END, FAILED, UNWINDING, REFILL, SELF, HEADER = range(7)  # places in the header, and its length
AHEAD = 1 << 14  # the most words that are read ahead
SIZE = HEADER + 1 + AHEAD // 2  # of the state, in uint64: one word may be left when the others are read


@intrinsic
def _call(_context, address, state, need):
    """Call void (*)(uint64, uint64) at `address`."""

    def generate(context, builder, _signature, arguments):
        word = ir.IntType(64)
        kind = ir.FunctionType(ir.VoidType(), [word, word]).as_pointer()
        builder.call(builder.inttoptr(arguments[0], kind), arguments[1:])
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.uint64), generate


@numba.njit(cache=True)
def _ready(s, need):
    """Say whether the buffer has `need` words, after asking Python for more where it has not."""
    if s[END] - s[AT] >= need:
        return True
    if s[FAILED] == 0:
        _call(s[REFILL], s[SELF], need)  # pyright: ignore[reportCallIssue]
        if s[END] - s[AT] >= need:
            return True
        # Whatever became of the call (Ctrl-C can end it anywhere), what lies in the buffer was given out before.
        s[FAILED] = 1
    return False


@numba.njit(cache=True)
def _unwind(s):
    """Numbers that no caller gets to see: they let a rejection loop come to its end after the source failed.

    SplitMix64 (Steele, Lea and Flood 2014). A constant would keep such a loop going for ever.
    """
    s[UNWINDING] += np.uint64(0x9E3779B97F4A7C15)
    z = s[UNWINDING]
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@numba.njit(cache=True)
def _next_two(state):
    s = carray(state, HEADER, np.uint64)
    if not _ready(s, np.uint64(2)):
        return _unwind(s)
    words, at = carray(state, 2 * SIZE, np.uint32), s[AT]
    s[AT] = at + np.uint64(2)
    first = 2 * HEADER + np.int64(at)
    return (np.uint64(words[first]) << np.uint64(32)) | np.uint64(words[first + 1])


@numba.cfunc(types.uint64(types.voidptr), cache=True)
def next_uint64(state):
    """The next two words, the first on top."""
    return _next_two(state)


@numba.cfunc(types.uint32(types.voidptr), cache=True)
def next_uint32(state):
    """The next word."""
    s = carray(state, HEADER, np.uint64)
    if not _ready(s, np.uint64(1)):
        return np.uint32(_unwind(s) >> np.uint64(32))
    words, at = carray(state, 2 * SIZE, np.uint32), s[AT]
    s[AT] = at + np.uint64(1)
    return words[2 * HEADER + np.int64(at)]


@numba.cfunc(types.double(types.voidptr), cache=True)
def next_double(state):
    """The top 53 of the next 64 bits, over 2^53."""
    return np.float64(_next_two(state) >> np.uint64(11)) * (1.0 / 9007199254740992.0)
