"""Bits of the operating system, and pseudo-random bits from a seed."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from entropy.arguments import ANY, Count, count, takes
from sampler._errors import SamplerError
from sampler.sources._source import Packed, Source


class OperatingSystemSource:
    """The operating system's random bits; what they made cannot be made again."""

    name = "operating system"

    def __init__(self) -> None:
        self._bits = 0

    def read(self, bits: int) -> Packed:
        """Read `bits` of os.urandom, packed."""
        bits = count(bits, "bits")
        self._bits += bits
        return np.frombuffer(os.urandom(bits // 8), np.uint8)

    @takes(count=Count(), bits_each=Count())
    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Give `count` sources of their own."""
        return [OperatingSystemSource() for _ in range(count)]

    def provenance(self) -> dict[str, Any]:
        """Count the bits."""
        return {"source": "operating system", "bits": self._bits}


class SoftwareSource:
    """Pseudo-random bits of Philox 4×64 (Salmon et al. 2011), key (seed, stream): the baseline.

    Stream 0 is the source itself; pictures get streams 1, 2, … in order.
    """

    name = "software"

    @takes(seed=ANY, stream=Count(most=(1 << 64) - 1))
    def __init__(self, seed: int, stream: int = 0) -> None:
        if not 0 <= seed < 1 << 64:
            raise SamplerError(f"a software seed is a whole number from 0 to 2^64 - 1, not {seed}")
        self.seed, self.stream = seed, stream
        self._place(0)
        self.bits, self._given = 0, 0

    def read(self, bits: int) -> Packed:
        """Read the stream's next `bits`, packed; how a stretch is cut into reads makes no difference."""
        bits = count(bits, "bits")
        size = bits // 8
        self.bits += bits
        short = size - len(self._rest)
        if short > 0:
            words = np.atleast_1d(self._philox.random_raw(-(-short // 8)))
            self._rest = np.concatenate([self._rest, words.astype(">u8").view(np.uint8)])
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

    @takes(bits=ANY)
    def skip(self, bits: int) -> None:
        """Pass over the stream's next `bits` (a multiple of 8), as if they had been read.

        Raises SamplerError for a negative number: a stream does not go back.
        """
        if bits < 0 or bits % 8:
            raise SamplerError(f"a software stream goes on by whole bytes, not by {bits:,} bits")
        self._place(self.bits + bits)
        self.bits += bits

    def _place(self, bit: int) -> None:
        # Philox makes four words of 64 bits for each value of its counter.
        block, rest = divmod(bit // 8, 32)
        key = np.array([self.seed, self.stream], dtype=np.uint64)
        self._philox = np.random.Philox(counter=block, key=key)
        self._rest = np.empty(0, np.uint8)
        if rest:
            self._rest = self._philox.random_raw(4).astype(">u8").view(np.uint8)[rest:]

    @takes(count=Count(), bits_each=Count())
    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Give the next `count` streams of the seed."""
        first = self.stream + self._given + 1
        self._given += count
        return [self._with_stream(first + b) for b in range(count)]

    def provenance(self) -> dict[str, Any]:
        """Name seed, stream and bits: enough to make them again."""
        return {"source": self.name, "seed": self.seed, "stream": self.stream, "bits": self.bits}

    def _with_stream(self, stream: int) -> SoftwareSource:
        return SoftwareSource(self.seed, stream)
