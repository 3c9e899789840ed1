"""Noise map version 1: from packed bits to normal, uniform, Bernoulli and integer numbers
(docs/noise-map.md).
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError

NORMAL_WIDTHS = (32, 16, 12, 8, 4, 2, 1)  # bits per normal number
Packed = npt.NDArray[np.uint8]
ReadBits = Callable[[int], Packed]

_VERSION = 1
_TABLE_SHA256 = "f8ad83a0df8fd5fffab9599c82b6dbf3c1eb9ea71b99b69a4829d7742965da6b"
_MIN_PARALLEL = 1 << 20


@dataclass(frozen=True)
class NoiseMap:
    """The map's identity: its version and the SHA-256 of its table (float64, little-endian, by rows)."""

    version: int
    sha256: str


NOISE_MAP = NoiseMap(_VERSION, _TABLE_SHA256)


@cache
def normal_table() -> npt.NDArray[np.float64]:
    """The map's polynomials, (2048, 5) float64, read-only; raises SamplerError where the shipped file was
    altered.
    """
    file = resources.files("sampler") / "data" / f"normal-v{_VERSION}.npy"
    with file.open("rb") as opened:
        table = np.load(opened, allow_pickle=False)
    if hashlib.sha256(table.astype("<f8").tobytes()).hexdigest() != _TABLE_SHA256:
        raise SamplerError(f"{file} is not the table of noise map {_VERSION}: install memtj again")
    table.flags.writeable = False
    return table


def check_normal_width(width: int) -> int:
    """Give `width` back; raises SamplerError where the map has no normal numbers of so many bits."""
    if width not in NORMAL_WIDTHS:
        raise SamplerError(
            f"a normal number is made of {', '.join(map(str, NORMAL_WIDTHS[:-1]))} or {NORMAL_WIDTHS[-1]} bits, "
            f"not {width}"
        )
    return width


def normal_bits(count: int, width: int = 32) -> int:
    """How many bits a draw of `count` normals of `width` bits each reads: whole bytes."""
    return -(-count * width // 8) * 8


@cache
def normal_levels(width: int) -> npt.NDArray[np.float32]:
    """The numbers that words of `width` bits stand for (width up to 16), float32, shape (2^width,), unit variance.

    Of a word the first bit is the sign, the others m: z = ∓Φ⁻¹((m + ½)/2^width) over the root of its mean square.
    """
    m = np.arange(1 << (width - 1), dtype=np.float64)
    magnitude = _quantile((m + 0.5) * 2.0 ** (32 - width))
    magnitude = magnitude / math.sqrt(math.fsum(magnitude**2) / len(m))
    levels = np.concatenate([magnitude, -magnitude]).astype(np.float32)
    levels.flags.writeable = False
    return levels


def normals(
    packed: Packed, out: npt.NDArray[np.float32] | None = None, *, width: int = 32, count: int | None = None
) -> npt.NDArray[np.float32]:
    """Map packed bits (uint8, big-endian) to `count` standard normals of `width` bits each, float32, shape (count,).

    Without `count`, to as many as the bits are good for. Of 32 bits the first is the sign, the others m:
    z = ∓Φ⁻¹((m + ½)/2³²); for narrower ones see `normal_levels`. `out`, if given, is contiguous and takes them.
    """
    count = len(packed) * 8 // check_normal_width(width) if count is None else count
    result = np.empty(count, np.float32) if out is None else out
    if count == 0:
        return result
    if width < 32:
        return _narrow_normals(packed, width, result)
    kernel, table, words = _kernel(), normal_table(), result.view(np.uint32)
    if count < _MIN_PARALLEL or (os.cpu_count() or 1) < 2:
        kernel(packed, table, words)
    else:
        # The kernel holds no lock and each number depends on its own bits alone: two halves, two threads.
        half = count // 2
        other = _pool(os.getpid()).submit(kernel, packed[4 * half :], table, words[half:])
        kernel(packed[: 4 * half], table, words[:half])
        other.result()
    return result


def normals_reference(packed: Packed) -> npt.NDArray[np.float32]:
    """The same map in plain numpy: the definition, which the compiled kernel equals bit for bit."""
    word = packed.view(">u4").astype(np.uint32)
    z = _quantile((word & np.uint32(0x7FFFFFFF)).astype(np.float64) + 0.5)
    return (z.astype(np.float32).view(np.uint32) | (word & np.uint32(0x80000000))).view(np.float32)


def _quantile(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """−Φ⁻¹(x/2³²) for x from ½ to 2³¹, float64, by the map's polynomials."""
    bits = x.view(np.int64)
    segment = (bits >> 46) - (1022 << 6)
    fraction = ((bits & ((1 << 46) - 1)) << 6) | 0x3FF0000000000000
    u = 2.0 - fraction.view(np.float64)
    c = normal_table()[segment]
    return (((c[:, 4] * u + c[:, 3]) * u + c[:, 2]) * u + c[:, 1]) * u + c[:, 0]


def _narrow_normals(packed: Packed, width: int, out: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    levels = normal_levels(width)
    if width == 16:
        words = packed.view(">u2")
    elif width == 8:
        words = packed
    else:
        bits = np.unpackbits(packed, count=len(out) * width).reshape(-1, width)
        words = bits @ (1 << np.arange(width - 1, -1, -1, dtype=np.uint16))
    np.take(levels, words[: len(out)], out=out)
    return out


def uniform_bits(mantissa: int) -> int:
    """How many bits one uniform number reads: 64 for float64 (53 bits of mantissa), 32 for the others."""
    return 64 if mantissa == 53 else 32


def uniforms(packed: Packed, mantissa: int) -> npt.NDArray[np.floating[Any]]:
    """Map packed bits to uniform numbers on [0, 1): the top `mantissa` bits of each word over 2^mantissa.

    24 (float32), 11 (float16) or 8 (bfloat16) of 32 bits give float32 numbers that those types hold exactly;
    53 (float64) of 64 bits gives float64.
    """
    if mantissa == 53:
        return (packed.view(">u8").astype(np.uint64) >> np.uint64(11)).astype(np.float64) * 2.0**-53
    top = packed.view(">u4").astype(np.uint32) >> np.uint32(32 - mantissa)
    return top.astype(np.float32) * np.float32(2.0**-mantissa)


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
def _kernel() -> Callable[[Packed, npt.NDArray[np.float64], npt.NDArray[np.uint32]], None]:
    from sampler._normal_kernel import fill_normals

    # A compiler that fused multiplications with additions would change the map: better no noise than another
    # noise.
    sample = np.random.Generator(np.random.Philox(1)).bytes(4 * 4096)
    packed = np.frombuffer(sample, np.uint8).copy()
    packed[:32] = [0, 0, 0, 0, 0, 0, 0, 1, 0x7F, 255, 255, 255, 0x80, 0, 0, 0] * 2
    words = np.empty(4096, np.uint32)
    fill_normals(packed, normal_table(), words)
    if not np.array_equal(words, normals_reference(packed).view(np.uint32)):
        raise SamplerError(
            "this computer's compiled noise map differs from its definition: please report the machine"
        )
    return fill_normals


@cache
def _pool(_process: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="noise-map")
