"""Deliberately bad bits from a seed: negative controls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from entropy.arguments import ANY, Count, Real, count, takes
from sampler._errors import SamplerError
from sampler.sources._software import SoftwareSource
from sampler.sources._source import Packed, Source

_PASSED_AT_ONCE = 1 << 23  # bits


class BiasedSource(SoftwareSource):
    """Software bits, independent, each 1 with probability `p`: a negative control."""

    name = "biased"

    @takes(p=Real(), seed=ANY, stream=Count())
    def __init__(self, p: float, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        _check_share("p", p)
        self.p = p

    def read(self, bits: int) -> Packed:
        """Read `bits`, packed, of which a share `p` are 1."""
        bits = count(bits, "bits")
        self.bits += bits
        return np.packbits(_below(SoftwareSource.read, self, bits, self.p))

    @takes(bits=ANY)
    def skip(self, bits: int) -> None:
        """Pass over the next `bits` by reading them."""
        _read_past(self, bits)

    def provenance(self) -> dict[str, Any]:
        """Name seed, stream, bits and p."""
        return {**super().provenance(), "p": self.p}

    def _with_stream(self, stream: int) -> SoftwareSource:
        return BiasedSource(self.p, self.seed, stream)


class CorrelatedSource(SoftwareSource):
    """Software bits of a two-state chain, unbiased, with lag-1 correlation `rho`: a negative control."""

    name = "correlated"

    @takes(rho=Real(), seed=ANY, stream=Count())
    def __init__(self, rho: float, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        if not -1 <= rho <= 1:
            raise SamplerError(f"rho is a correlation from -1 to 1, not {rho}")
        self.rho = rho
        self._last = int(super().read(8)[0] & 1)
        self.bits = 0

    def read(self, bits: int) -> Packed:
        """Read the chain's next `bits`, packed."""
        bits = count(bits, "bits")
        self.bits += bits
        flips = _below(SoftwareSource.read, self, bits, (1 - self.rho) / 2)
        chain = (np.cumsum(flips, dtype=np.int64) + self._last) & 1
        if len(chain):
            self._last = int(chain[-1])
        return np.packbits(chain.astype(np.uint8))

    @takes(bits=ANY)
    def skip(self, bits: int) -> None:
        """Pass over the next `bits` by reading them."""
        _read_past(self, bits)

    def provenance(self) -> dict[str, Any]:
        """Name seed, stream, bits and rho."""
        return {**super().provenance(), "rho": self.rho}

    def _with_stream(self, stream: int) -> SoftwareSource:
        return CorrelatedSource(self.rho, self.seed, stream)


class StuckSource(SoftwareSource):
    """Fair software bits of an array of `cells`, a share `fraction` of which always say the same: a negative
    control.

    Bit i comes from cell i modulo `cells`; which cells are stuck, and at what, follows from the seed alone.
    """

    name = "stuck"

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
        self._at = 0

    def read(self, bits: int) -> Packed:
        """Read the array's next `bits`, packed."""
        bits = count(bits, "bits")
        fair = super().read(bits)
        place = (self._at + np.arange(len(fair))) % len(self._free)
        self._at += len(fair)
        return (fair & self._free[place]) | self._value[place]

    @takes(bits=ANY)
    def skip(self, bits: int) -> None:
        """Pass over the next `bits` by reading them."""
        _read_past(self, bits)

    def provenance(self) -> dict[str, Any]:
        """Name seed, stream, bits, fraction and cells."""
        return {**super().provenance(), "fraction": self.fraction, "cells": self.cells}

    def _with_stream(self, stream: int) -> SoftwareSource:
        return StuckSource(self.fraction, self.seed, stream, self.cells)


class ConstantSource(SoftwareSource):
    """A dead array: the same bit always. A negative control, above all behind a public mask."""

    name = "constant"

    @takes(value=ANY, seed=ANY, stream=Count())
    def __init__(self, value: int = 0, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        if value not in (0, 1):
            raise SamplerError(f"a constant bit is 0 or 1, not {value}")
        self.value = value

    def read(self, bits: int) -> Packed:
        """Read `bits` equal bits, packed."""
        bits = count(bits, "bits")
        self.bits += bits
        return np.full(bits // 8, 255 * self.value, np.uint8)

    def provenance(self) -> dict[str, Any]:
        """Name the bit, how many, and the stream: a mask differs from stream to stream."""
        return {**super().provenance(), "value": self.value}

    def _with_stream(self, stream: int) -> SoftwareSource:
        return ConstantSource(self.value, self.seed, stream)


class RepeatedSource(SoftwareSource):
    """One stretch of `stretch` fair software bits, again and again: a negative control.

    Its pictures read on where the one before ended, as from a recording that holds the stretch many times.
    """

    name = "repeated"

    @takes(stretch=ANY, seed=ANY, stream=Count(), start=Count())
    def __init__(self, stretch: int, seed: int = 0, stream: int = 0, start: int = 0) -> None:
        super().__init__(seed, stream)
        if stretch < 64 or stretch % 64:
            raise SamplerError(f"a stretch that repeats has a multiple of 64 bits, not {stretch}")
        self.stretch, self.start = stretch, start
        self._whole = SoftwareSource(seed).read(stretch)

    def read(self, bits: int) -> Packed:
        """Read the next `bits`, packed; after the stretch's last bit comes its first."""
        bits = count(bits, "bits")
        at = (self.start + self.bits) // 8 + np.arange(bits // 8)
        self.bits += bits
        return self._whole[at % len(self._whole)]

    @takes(count=Count(), bits_each=Count())
    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Give the next `count` pictures' parts; raises SamplerError without `bits_each`: they would all be one."""
        if bits_each is None:
            raise SamplerError("pictures of a repeated stretch need the bits that each will read")
        first = self.stream + self._given
        self._given += count
        return [
            RepeatedSource(self.stretch, self.seed, b + 1, (self.start + b * bits_each) % self.stretch)
            for b in range(first, first + count)
        ]

    def provenance(self) -> dict[str, Any]:
        """Name seed, stream, bits, the stretch and the place in it where this part began."""
        return {**super().provenance(), "stretch": self.stretch, "start": self.start}


def _below(
    read: Callable[[Any, int], Packed], source: SoftwareSource, bits: int, p: float
) -> npt.NDArray[np.bool_]:
    before = source.bits
    words = read(source, 32 * bits).view(">u4")
    source.bits = before
    return words.astype(np.uint64) < np.uint64(round(p * 2**32))


def _read_past(source: SoftwareSource, bits: int) -> None:
    if bits < 0 or bits % 8:
        raise SamplerError(f"a software stream goes on by whole bytes, not by {bits:,} bits")
    for at in range(0, bits, _PASSED_AT_ONCE):
        source.read(min(_PASSED_AT_ONCE, bits - at))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SamplerError(f"{name} is a share from 0 to 1, not {value}")
