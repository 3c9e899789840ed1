"""What a source of bits is, the streams that it gives to pictures, and reading ahead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from entropy.arguments import Count, count, takes
from sampler._errors import SamplerError

Packed = npt.NDArray[np.uint8]


class Stream(Protocol):
    """Bits that are read in call order."""

    @property
    def name(self) -> str:
        """What the bits are, in a word or two."""
        ...

    def read(self, bits: int) -> Packed:
        """Take the next `bits` (a multiple of 8), packed, most significant first.

        Raises SamplerError at the end, and for bits that are no whole bytes.
        """
        ...

    def provenance(self) -> dict[str, Any]:
        """Say what was read so far, as JSON values, so that it can be had again (or that it cannot)."""
        ...


class Streams(Protocol):
    """A stream for each picture, which share no bit."""

    def stream(self, i: int) -> Stream:
        """Give picture i's own, from its beginning: it is asked for once."""
        ...


@runtime_checkable
class Source(Stream, Protocol):
    """One stream of bits that can be divided among pictures."""

    def streams(self, count: int, bits_each: int | None = None) -> Streams:
        """Give streams of their own to the next `count` pictures.

        `bits_each` is what each picture will read exactly; without it a finite source shares all it has evenly.
        """
        ...


@dataclass(frozen=True)
class NumberedStreams:
    """`count` streams, of which `make(i)` makes the i-th."""

    count: int
    make: Callable[[int], Stream]

    @takes(i=Count())
    def stream(self, i: int) -> Stream:
        """Give picture i's stream, i from 0 below `count`; raises SamplerError beyond."""
        if i >= self.count:
            raise SamplerError(f"there are streams for {self.count} pictures, none for picture {i}")
        return self.make(i)


@takes(count=Count(), bits_each=Count())
def streams_of(source: Stream, count: int, bits_each: int | None = None) -> list[Stream]:
    """Give `count` pictures their streams, in order; raises SamplerError where `source` cannot be divided."""
    if not isinstance(source, Source):
        raise SamplerError(
            f"the bits of {source.name} cannot be divided among pictures: divide a lease, or what makes bits"
        )
    streams = source.streams(count, bits_each)
    return [streams.stream(i) for i in range(count)]


class ReadAhead:
    """Small reads of what comes in larger pieces.

    `fetch(bits, short)` is asked for more where a read of `bits` is `short` bits beyond what is held.
    """

    def __init__(self, fetch: Callable[[int, int], Packed]) -> None:
        self._fetch = fetch
        self._held = np.empty(0, np.uint8)

    def read(self, bits: int) -> Packed:
        """Give the next `bits`, whole bytes, packed."""
        size, short = bits // 8, bits - 8 * len(self._held)
        if short > 0:
            fresh = self._fetch(bits, short)
            self._held = np.concatenate([self._held, fresh]) if len(self._held) else fresh
        taken, self._held = self._held[:size], self._held[size:]
        return taken


def whole_bytes(bits: int) -> int:
    """Give a number of bits as an int; raises SamplerError where it is no number of whole bytes."""
    bits = count(bits, "bits")
    if bits % 8:
        raise SamplerError(f"a stream is read by whole bytes, not by {bits:,} bits")
    return bits
