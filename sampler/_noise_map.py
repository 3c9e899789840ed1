"""Noise map version 1: from packed bits to normal, uniform, Bernoulli and integer numbers
(docs/noise-map.md).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from entropy import arguments
from entropy.arguments import ANY, Count, takes
from sampler._errors import SamplerError
from sampler._normal_levels import NOISE_MAP as NOISE_MAP
from sampler._normal_levels import NORMAL_WIDTHS as NORMAL_WIDTHS
from sampler._normal_levels import NoiseMap as NoiseMap
from sampler._normal_levels import check_normal_width, normal_levels, normal_table, quantile

Packed = npt.NDArray[np.uint8]
ReadBits = Callable[[int], Packed]
Kernel = Callable[[Packed, npt.NDArray[np.float32]], None]

_MIN_PARALLEL = 1 << 18


def normal_bits(count: int, width: int = 32) -> int:
    """How many bits a draw of `count` normals of `width` bits each reads: whole bytes."""
    count, width = arguments.count(count, "count"), arguments.count(width, "width")
    return -(-count * width // 8) * 8


@takes(width=ANY, count=Count(), threads=ANY)
def normals(
    packed: Packed,
    out: npt.NDArray[np.float32] | None = None,
    *,
    width: int = 32,
    count: int | None = None,
    threads: int = 2,
) -> npt.NDArray[np.float32]:
    """Map packed bits (uint8, big-endian) to `count` standard normals of `width` bits each, float32, shape (count,).

    Without `count`, to as many as the bits are good for. Of 32 bits the first is the sign, the others m:
    z = ∓Φ⁻¹((m + ½)/2³²); for narrower ones see `normal_levels`. `out`, if given, is contiguous, of `count` numbers,
    and takes them. Large draws are divided among up to `threads` threads, which changes no number. Raises SamplerError
    for another width, too few bits, and an `out` of another size.
    """
    count = len(packed) * 8 // check_normal_width(width) if count is None else count
    if len(packed) * 8 < count * width:
        raise SamplerError(
            f"{count:,} normals of {width} bits take {count * width:,} bits, not {len(packed) * 8:,}"
        )
    result = np.empty(count, np.float32) if out is None else out
    if result.size != count:
        raise SamplerError(f"{count:,} normals do not fill an array of {result.size:,}")
    kernel = _kernel(width)
    parts = min(threads, count // _MIN_PARALLEL * 2)
    # Small draws do not ask for the processors, which takes longer than to map them.
    if parts < 2 or (parts := min(parts, os.cpu_count() or 1)) < 2:
        kernel(packed, result)
        return result
    # The kernel holds no lock and each number depends on its own bits alone. Each part starts with a whole byte.
    size = -(-count // (8 * parts)) * 8
    starts = range(0, count, size)
    pool = _pool(os.getpid(), len(starts) - 1)
    others = [pool.submit(kernel, packed[at * width // 8 :], result[at : at + size]) for at in starts[1:]]
    kernel(packed, result[:size])
    for other in others:
        other.result()
    return result


def normals_of_parts(
    parts: Iterable[Packed], out: npt.NDArray[np.float32], *, threads: int = 2
) -> npt.NDArray[np.float32]:
    """Map bits that come in parts of whole 32-bit words to the standard normals of `out`; gives it back.

    With two threads a part is mapped while the next is read. Raises SamplerError where the parts do not fill `out`.
    """
    kernel, at, before = _kernel(32), 0, None
    alone = threads < 2 or (os.cpu_count() or 1) < 2
    for packed in parts:
        end = at + len(packed) // 4
        if before is not None:
            before.result()
        if end > out.size:
            raise SamplerError(f"more bits were read than {out.size:,} normals take")
        if alone:
            kernel(packed, out[at:end])
        else:
            before = _pool(os.getpid(), 1).submit(kernel, packed, out[at:end])
        at = end
    if before is not None:
        before.result()
    if at < out.size:
        raise SamplerError(f"fewer bits were read than {out.size:,} normals take")
    return out


def normals_reference(packed: Packed, width: int = 32, count: int | None = None) -> npt.NDArray[np.float32]:
    """The same map in plain numpy: the definition, which the compiled kernels equal bit for bit."""
    count = len(packed) * 8 // width if count is None else count
    if width == 32:
        word = packed[: 4 * count].view(">u4").astype(np.uint32)
        z = quantile((word & np.uint32(0x7FFFFFFF)).astype(np.float64) + 0.5)
        return (z.astype(np.float32).view(np.uint32) | (word & np.uint32(0x80000000))).view(np.float32)
    bits = np.unpackbits(packed, count=count * width).reshape(count, width)
    return normal_levels(width)[bits @ (1 << np.arange(width - 1, -1, -1))]


def uniform_bits(mantissa: int) -> int:
    """How many bits one uniform number reads: 64 for float64 (53 bits of mantissa), 32 for the others."""
    return 64 if mantissa == 53 else 32


@takes(mantissa=ANY)
def uniforms(packed: Packed, mantissa: int) -> npt.NDArray[np.floating[Any]]:
    """Map packed bits to uniform numbers on [0, 1): the top `mantissa` bits of each word over 2^mantissa.

    24 (float32), 11 (float16) or 8 (bfloat16) of 32 bits give float32 numbers that those types hold exactly;
    53 (float64) of 64 bits gives float64.
    """
    if mantissa == 53:
        return (packed.view(">u8").astype(np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    top = packed.view(">u4").astype(np.uint32) >> np.uint32(32 - mantissa)
    return top.astype(np.float32) * np.float32(2.0**-mantissa)


@takes(count=Count(), span=Count(1, 1 << 64))
def integers(read: ReadBits, count: int, span: int) -> npt.NDArray[np.uint64]:
    """Draw `count` unbiased integers from 0 to span − 1 (span up to 2⁶⁴) by rejection, uint64.

    Words of 32 bits (64 where span exceeds 2³²) are taken in order; one at or above the largest multiple of
    span is skipped; the others, modulo span, fill the result in order.
    """
    wide = span > 1 << 32
    size, dtype = (64, ">u8") if wide else (32, ">u4")
    limit = ((1 << size) // span) * span
    result, filled = np.empty(count, np.uint64), 0
    while filled < count:
        words = read(size * (count - filled)).view(dtype).astype(np.uint64)
        if limit < 1 << size:
            words = words[words < np.uint64(limit)]
        if span < 1 << 64:
            words %= np.uint64(span)
        result[filled : filled + len(words)] = words
        filled += len(words)
    return result


@takes(count=Count())
def permutation(read: ReadBits, count: int) -> npt.NDArray[np.int64]:
    """Draw a permutation of 0 … count − 1 by Fisher and Yates' shuffle from the last place down, one word a
    place.
    """
    order = np.arange(count, dtype=np.int64)
    words: list[int] = []
    for place in range(count - 1, 0, -1):
        limit = ((1 << 32) // (place + 1)) * (place + 1)
        while True:
            if not words:
                words = read(32 * place).view(">u4").tolist()[::-1]
            word = words.pop()
            if word < limit:
                break
        other = word % (place + 1)
        order[place], order[other] = order[other], order[place]
    return order


@cache
def _kernel(width: int) -> Kernel:
    """The compiled map of one width: fills the numbers of its second argument from the bits of its first."""
    # Compiled parts are loaded where they are first used: importing numba takes longer than all else here.
    from sampler import _normal_kernel as compiled

    if width == 32:
        _check_compiled()
        table = normal_table()
        return lambda packed, out: compiled.fill_normals(packed, table, out.view(np.uint32))
    if width in (16, 12):
        fill, levels = (
            compiled.fill_normals_16 if width == 16 else compiled.fill_normals_12,
            normal_levels(width),
        )
        return lambda packed, out: fill(packed, levels, out)
    rows = normals_reference(np.arange(256, dtype=np.uint8), width).reshape(256, 8 // width)
    return lambda packed, out: compiled.fill_normals_by_bytes(packed, rows, out)


def _check_compiled() -> None:
    # A compiler that fused multiplications with additions would change the map: better no noise than another
    # noise.
    from sampler._normal_kernel import fill_normals

    sample = np.random.Generator(np.random.Philox(1)).bytes(4 * 4096)
    packed = np.frombuffer(sample, np.uint8).copy()
    packed[:32] = [0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 255, 255, 255, 0x80, 0, 0, 0] * 2
    words = np.empty(4096, np.uint32)
    fill_normals(packed, normal_table(), words)
    if not np.array_equal(words, normals_reference(packed).view(np.uint32)):
        raise SamplerError(
            "this computer's compiled noise map differs from its definition: please report the machine"
        )


@cache
def _pool(_process: int, workers: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(workers, thread_name_prefix="noise-map")
