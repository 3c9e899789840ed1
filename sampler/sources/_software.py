"""Bits of the operating system, and pseudo-random bits from a seed."""

from __future__ import annotations

import os
from typing import Any, Self

import numpy as np

from entropy.arguments import ANY, Count, takes
from sampler._errors import SamplerError
from sampler.sources._source import NumberedStreams, Packed, ReadAhead, whole_bytes

_PASSED_AT_ONCE = 1 << 23  # bits


class OperatingSystemSource:
    """The operating system's random bits; what they made cannot be made again."""

    name = "operating system"

    def __init__(self) -> None:
        self._bits = 0

    def read(self, bits: int) -> Packed:
        """Read `bits` of os.urandom, packed."""
        bits = whole_bytes(bits)
        self._bits += bits
        return np.frombuffer(os.urandom(bits // 8), np.uint8)

    @takes(count=Count(), bits_each=Count())
    def streams(self, count: int, bits_each: int | None = None) -> NumberedStreams:
        """Give `count` sources of their own."""
        return NumberedStreams(count, lambda i: OperatingSystemSource())

    def provenance(self) -> dict[str, Any]:
        """Count the bits."""
        return {"source": "operating system", "bits": self._bits}


class SoftwareSource:
    """Pseudo-random bits of Philox 4×64 (Salmon et al. 2011), key (seed, stream): the baseline.

    Stream 0 is the source itself; pictures get streams 1, 2, … in order. Negative controls make other bits of these:
    they have `parameters`, which their constructor and their provenance name.
    """

    name = "software"
    parameters: tuple[str, ...] = ()
    _seekable = True  # whether the bits at a place can be had without those before

    @takes(seed=ANY, stream=Count(most=(1 << 64) - 1))
    def __init__(self, seed: int, stream: int = 0) -> None:
        if not 0 <= seed < 1 << 64:
            raise SamplerError(f"a software seed is a whole number from 0 to 2^64 - 1, not {seed}")
        self.seed, self.stream = seed, stream
        self.bits, self._given = 0, 0
        self._place(0)

    def read(self, bits: int) -> Packed:
        """Read the stream's next `bits`, packed; how a stretch is cut into reads makes no difference."""
        bits = whole_bytes(bits)
        packed = self._next(bits)
        self.bits += bits
        return packed

    @takes(bits=ANY)
    def skip(self, bits: int) -> None:
        """Pass over the stream's next `bits` (a multiple of 8), as if they had been read.

        Raises SamplerError for a negative number: a stream does not go back.
        """
        if bits < 0 or bits % 8:
            raise SamplerError(f"a software stream goes on by whole bytes, not by {bits:,} bits")
        if self._seekable:
            self._place(self.bits + bits)
            self.bits += bits
            return
        for at in range(0, bits, _PASSED_AT_ONCE):
            self.read(min(_PASSED_AT_ONCE, bits - at))

    @takes(count=Count(), bits_each=Count())
    def streams(self, count: int, bits_each: int | None = None) -> NumberedStreams:
        """Give the next `count` streams of the seed."""
        first = self.stream + self._given + 1
        self._given += count
        return NumberedStreams(count, lambda i: self._with_stream(first + i, bits_each))

    def provenance(self) -> dict[str, Any]:
        """Name seed, stream, bits and parameters: enough to make them again."""
        told = {"source": self.name, "seed": self.seed, "stream": self.stream, "bits": self.bits}
        return told | self._parameters()

    def _next(self, bits: int) -> Packed:
        """Make the next `bits`, which follow from the `self.bits` before."""
        return self._fair(bits)

    def _fair(self, bits: int) -> Packed:
        """Philox's next bits."""
        return self._ahead.read(bits)

    def _place(self, bit: int) -> None:
        # Philox makes four words of 64 bits for each value of its counter.
        block, rest = divmod(bit // 8, 32)
        key = np.array([self.seed, self.stream], dtype=np.uint64)
        self._philox = np.random.Philox(counter=block, key=key)
        self._ahead = ReadAhead(self._words)
        self._ahead.read(8 * rest)

    def _words(self, bits: int, short: int) -> Packed:
        return np.atleast_1d(self._philox.random_raw(-(-short // 64))).astype(">u8").view(np.uint8)

    def _with_stream(self, stream: int, bits_each: int | None) -> Self:
        return type(self)(**self._parameters(), seed=self.seed, stream=stream)

    def _parameters(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.parameters}
