"""Deliberately bad bits from a seed: negative controls."""

from __future__ import annotations

from functools import lru_cache
from typing import Self

import numpy as np
import numpy.typing as npt

from entropy.arguments import ANY, Count, Real, takes
from sampler._errors import SamplerError
from sampler.sources._software import SoftwareSource
from sampler.sources._source import NumberedStreams, Packed


class BiasedSource(SoftwareSource):
    """Software bits, independent, each 1 with probability `p`: a negative control."""

    name, parameters, _seekable = "biased", ("p",), False

    @takes(p=Real(), seed=ANY, stream=Count())
    def __init__(self, p: float, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        _check_share("p", p)
        self.p = p

    def _next(self, bits: int) -> Packed:
        return np.packbits(_below(self._fair(32 * bits), self.p))


class CorrelatedSource(SoftwareSource):
    """Software bits of a two-state chain, unbiased, with lag-1 correlation `rho`: a negative control."""

    name, parameters, _seekable = "correlated", ("rho",), False

    @takes(rho=Real(), seed=ANY, stream=Count())
    def __init__(self, rho: float, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        if not -1 <= rho <= 1:
            raise SamplerError(f"rho is a correlation from -1 to 1, not {rho}")
        self.rho = rho
        self._last = int(self._fair(8)[0] & 1)

    def _next(self, bits: int) -> Packed:
        flips = _below(self._fair(32 * bits), (1 - self.rho) / 2)
        chain = (np.cumsum(flips, dtype=np.int64) + self._last) & 1
        if len(chain):
            self._last = int(chain[-1])
        return np.packbits(chain.astype(np.uint8))


class StuckSource(SoftwareSource):
    """Fair software bits of an array of `cells`, a share `fraction` of which always say the same: a negative
    control.

    Bit i comes from cell i modulo `cells`; which cells are stuck, and at what, follows from the seed alone.
    """

    name, parameters, _seekable = "stuck", ("fraction", "cells"), False

    @takes(fraction=Real(), seed=ANY, stream=Count(), cells=ANY)
    def __init__(self, fraction: float, seed: int = 0, stream: int = 0, cells: int = 1024) -> None:
        super().__init__(seed, stream)
        _check_share("fraction", fraction)
        if cells < 8 or cells % 8:
            raise SamplerError(f"a stuck array has a multiple of 8 cells, not {cells}")
        self.fraction, self.cells = fraction, cells
        choice = np.random.Generator(np.random.Philox(key=np.array([seed, 1 << 63], dtype=np.uint64)))
        order = choice.permutation(cells)[: round(fraction * cells)]
        stuck, value = np.zeros(cells, np.uint8), np.zeros(cells, np.uint8)
        stuck[order] = 1
        value[order] = choice.integers(0, 2, len(order))
        self._free, self._value = ~np.packbits(stuck), np.packbits(value)

    def _next(self, bits: int) -> Packed:
        place = (self.bits // 8 + np.arange(bits // 8)) % len(self._free)
        return (self._fair(bits) & self._free[place]) | self._value[place]


class ConstantSource(SoftwareSource):
    """A dead array: the same bit always. A negative control, above all behind a public mask."""

    name, parameters = "constant", ("value",)

    @takes(value=ANY, seed=ANY, stream=Count())
    def __init__(self, value: int = 0, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        if value not in (0, 1):
            raise SamplerError(f"a constant bit is 0 or 1, not {value}")
        self.value = value

    def _next(self, bits: int) -> Packed:
        return np.full(bits // 8, 255 * self.value, np.uint8)


class RepeatedSource(SoftwareSource):
    """One stretch of `stretch` fair software bits, again and again: a negative control.

    Its pictures read on where the one before ended, as from a recording that holds the stretch many times.
    """

    name, parameters = "repeated", ("stretch", "start")

    @takes(stretch=ANY, seed=ANY, stream=Count(), start=Count())
    def __init__(self, stretch: int, seed: int = 0, stream: int = 0, start: int = 0) -> None:
        super().__init__(seed, stream)
        if stretch < 64 or stretch % 64:
            raise SamplerError(f"a stretch that repeats has a multiple of 64 bits, not {stretch}")
        self.stretch, self.start = stretch, start

    @takes(count=Count(), bits_each=Count())
    def streams(self, count: int, bits_each: int | None = None) -> NumberedStreams:
        """Give the next `count` pictures' parts; raises SamplerError without `bits_each`: they would all be one."""
        if bits_each is None:
            raise SamplerError("pictures of a repeated stretch need the bits that each will read")
        return super().streams(count, bits_each)

    def _next(self, bits: int) -> Packed:
        whole = _stretch(self.seed, self.stretch)
        at = (self.start + self.bits) // 8 + np.arange(bits // 8)
        return whole[at % len(whole)]

    def _with_stream(self, stream: int, bits_each: int | None) -> Self:
        start = (self.start + (stream - 1) * (bits_each or 0)) % self.stretch
        return type(self)(self.stretch, self.seed, stream, start)


@lru_cache(1)
def _stretch(seed: int, bits: int) -> Packed:
    return SoftwareSource(seed).read(bits)


def _below(packed: Packed, p: float) -> npt.NDArray[np.bool_]:
    """Whether each word of 32 bits is below p · 2³²."""
    return packed.view(">u4").astype(np.uint64) < np.uint64(round(p * 2**32))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SamplerError(f"{name} is a share from 0 to 1, not {value}")
