"""Words of 64 bits for compiled kernels: counting instructions, byte order, and the 64 × 64 transposition.

A word holds 64 positions or samples, the first one in its most significant bit.
"""

from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

ONE = np.uint64(1)
ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


def _of_a_word(name: str, *flags: int) -> Any:
    """Make a function of one uint64 from LLVM's instruction of that name."""

    def typed(context, value):  # pragma: no cover (run by numba)
        def emit(context, builder, signature, arguments):
            extra = [ir.Constant(ir.IntType(1), flag) for flag in flags]
            kind = ir.FunctionType(arguments[0].type, [arguments[0].type, *(flag.type for flag in extra)])
            function = builder.module.declare_intrinsic(name, [arguments[0].type], kind)
            return builder.call(function, [*arguments, *extra])

        return types.uint64(types.uint64), emit

    return intrinsic(typed)


ones_of = _of_a_word("llvm.ctpop")
leading_zeros = _of_a_word("llvm.ctlz", 0)  # 64 for 0
trailing_zeros = _of_a_word("llvm.cttz", 0)  # 64 for 0
swap_bytes = _of_a_word("llvm.bswap")


def _gather(typing_context, value, mask):
    """Make a function that moves the bits of a word that a mask selects together, at its low end: BMI2's PEXT."""

    def emit(context, builder, signature, arguments):
        kind = ir.FunctionType(arguments[0].type, [arguments[0].type] * 2)
        return builder.call(
            cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.bmi.pext.64"), arguments
        )

    return types.uint64(types.uint64, types.uint64), emit


@numba.njit(nogil=True, cache=True)
def extract_by_steps(word, mask):  # pragma: no cover (compiled)
    """Do what `extract` does, on any processor."""
    n, gone = np.int64(64), ~mask
    while gone != np.uint64(0):
        onwards = ALL >> leading_zeros(gone)  # from this one on
        after = onwards >> ONE
        word = (word & ~onwards) | ((word & after) << ONE)
        gone = (gone & after) << ONE
        n -= 1
    return word, n


_gathered: Any = intrinsic(_gather)


@numba.njit(nogil=True, cache=True, forceinline=True)
def _extract(word, mask):  # pragma: no cover (compiled)
    """Leave out the bits that are not in a mask and move the others together, to the high end; and their number."""
    n = np.int64(ones_of(mask))
    return (_gathered(word, mask) << np.uint64((64 - n) & 63)) if n else np.uint64(0), n


extract = _extract if llvmlite.binding.get_host_cpu_features().get("bmi2", False) else extract_by_steps


def words_of(packed: np.ndarray, spare: int = 2) -> np.ndarray:
    """Copy packed uint8, first bit most significant, into words; `spare` words of zeros follow."""
    whole = -(-len(packed) // 8)
    words = np.zeros(whole + spare, np.uint64)
    words.view(np.uint8)[: len(packed)] = packed
    _swap(words[:whole])
    return words


@numba.njit(nogil=True, cache=True)
def _swap(words):  # pragma: no cover (compiled)
    for i in range(len(words)):
        words[i] = swap_bytes(words[i])


@numba.njit(nogil=True, cache=True, forceinline=True)
def word_at(words, position):  # pragma: no cover (compiled)
    """Give the 64 positions from `position` on."""
    at = position >> 6
    shift = np.uint64(position & 63)
    if shift == np.uint64(0):
        return words[at]
    return (words[at] << shift) | (words[at + 1] >> (np.uint64(64) - shift))


@numba.njit(nogil=True, cache=True, forceinline=True)
def full_add(a, b, c):  # pragma: no cover (compiled)
    """Sum and carry of three bits in each place."""
    half = a ^ b
    return half ^ c, (a & b) | (half & c)


@numba.njit(nogil=True, cache=True, forceinline=True)
def transpose(a):  # pragma: no cover (compiled)
    """Transpose 64 words in place: bit c of word t becomes bit t of word c.

    Swaps blocks of 32, 16, … 1 bits (Warren, Hacker's Delight, 2nd edition, section 7-3).
    """
    m = np.uint64(0x00000000FFFFFFFF)
    j = 32
    while j >= 4:
        s = np.uint64(j)
        for k in range(0, 64, 2 * j):
            for i in range(k, k + j):
                t = (a[i] ^ (a[i + j] >> s)) & m
                a[i] ^= t
                a[i + j] ^= t << s
        j >>= 1
        m ^= m << np.uint64(j)
    for k in range(0, 64, 4):
        _quarter(a, k)


@numba.njit(nogil=True, cache=True, forceinline=True)
def _quarter(a, k):  # pragma: no cover (compiled)
    """Do the last two steps of the transposition for four words."""
    m2, m1 = np.uint64(0x3333333333333333), np.uint64(0x5555555555555555)
    two = np.uint64(2)
    a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
    t = (a0 ^ (a2 >> two)) & m2
    a0 ^= t
    a2 ^= t << two
    t = (a1 ^ (a3 >> two)) & m2
    a1 ^= t
    a3 ^= t << two
    t = (a0 ^ (a1 >> ONE)) & m1
    a0 ^= t
    a1 ^= t << ONE
    t = (a2 ^ (a3 >> ONE)) & m1
    a2 ^= t
    a3 ^= t << ONE
    a[k], a[k + 1], a[k + 2], a[k + 3] = a0, a1, a2, a3
