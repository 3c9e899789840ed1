"""What the normal map computes with: its table of polynomials, and the levels of its narrow widths."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
import numpy.typing as npt

from entropy.arguments import ANY, takes
from sampler._errors import SamplerError

NORMAL_WIDTHS = (32, 16, 12, 8, 4, 2, 1)  # bits per normal number

_VERSION = 1
_TABLE_SHA256 = "f8ad83a0df8fd5fffab9599c82b6dbf3c1eb9ea71b99b69a4829d7742965da6b"
_LEVELS_SHA256 = {
    16: "be3f56ff088b70d83faf9aafd84f60c41436522f7b6dc1ffc28fb396477b643e",
    12: "1df9e9728730d3b613e929993526e35dd21073076021a02241b5c66be376b26c",
    8: "b31bfc2ad4d93764ea4a4d045d8f5b50907298a40614708a3930512df1f26016",
    4: "83ba7b572e5b83427a048e54f607bae551935e4c89aded0c82daf722e6c3675f",
    2: "474167c9ba0dff04b0b498731fda75c732c115e10bf201e8c6af1dfa66074211",
    1: "dee9bee38d8ce139ee23552fc0ca83067114ae903518d7711ba7937b72c0d697",
}


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


@takes(width=ANY)
def normal_levels_sha256(width: int) -> str:
    """The identity of the map's normals of `width` bits: the SHA-256 of their levels (float32, little-endian), or at
    32 bits of the table; raises SamplerError for a width that the map does not have.
    """
    return _TABLE_SHA256 if check_normal_width(width) == 32 else _LEVELS_SHA256[width]


@takes(width=ANY)
@cache
def normal_levels(width: int) -> npt.NDArray[np.float32]:
    """The numbers that words of `width` bits stand for (width up to 16), float32, shape (2^width,), unit variance.

    Of a word the first bit is the sign, the others m: z = ∓Φ⁻¹((m + ½)/2^width) over the root of its mean square.
    Raises SamplerError for another width, and on a computer whose arithmetic gives other numbers than the map's.
    """
    if width not in _LEVELS_SHA256:
        raise SamplerError(
            f"normals of {width} bits have no list of levels: only those of {_narrow()} bits do"
        )
    m = np.arange(1 << (width - 1), dtype=np.float64)
    magnitude = quantile((m + 0.5) * 2.0 ** (32 - width))
    # fsum, division and root are exact to the last bit everywhere; numpy's own sum depends on the processor.
    magnitude = magnitude / math.sqrt(math.fsum(magnitude * magnitude) / len(m))
    levels = np.concatenate([magnitude, -magnitude]).astype(np.float32)
    if hashlib.sha256(levels.astype("<f4").tobytes()).hexdigest() != _LEVELS_SHA256[width]:
        raise SamplerError(
            f"this computer's normals of {width} bits differ from noise map {_VERSION}: please report the machine"
        )
    levels.flags.writeable = False
    return levels


def quantile(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """−Φ⁻¹(x/2³²) for x from ½ to 2³¹, float64, by the map's polynomials."""
    bits = x.view(np.int64)
    segment = (bits >> 46) - (1022 << 6)
    fraction = ((bits & ((1 << 46) - 1)) << 6) | 0x3FF0000000000000
    u = 2.0 - fraction.view(np.float64)
    c = normal_table()[segment]
    return (((c[:, 4] * u + c[:, 3]) * u + c[:, 2]) * u + c[:, 1]) * u + c[:, 0]


def _narrow() -> str:
    *most, last = map(str, _LEVELS_SHA256)
    return f"{', '.join(most)} and {last}"
