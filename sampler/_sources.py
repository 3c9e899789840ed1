"""Where bits come from: a lease, the operating system, seeded software, and three that are bad on purpose."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Portion

Packed = npt.NDArray[np.uint8]

_READ_AHEAD_BITS = 1 << 23
_SMALL_UNIT = 32  # bits of one draw


class Source(Protocol):
    """One stream of bits, read in call order."""

    @property
    def name(self) -> str:
        """What the bits are, in a word or two."""
        ...

    def read(self, bits: int) -> Packed:
        """Take the next `bits` (a multiple of 8), packed, most significant first; raises SamplerError at the
        end.
        """
        ...

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Give `count` streams that share no bit, one a picture.

        `bits_each` is what each picture will read exactly; without it a finite source shares all it has
        evenly.
        """
        ...

    def provenance(self) -> dict[str, Any]:
        """Say what was read so far, as JSON values, so that it can be had again (or that it cannot)."""
        ...


class LeaseSource:
    """The bits of a lease, through a conditioning (the lease's own, or the XOR of two, by default).

    `simulated` says whether they come from a simulated array, for the provenance; None where that is not
    known.
    """

    def __init__(
        self, lease: Lease, conditioning: Conditioning | None = None, *, simulated: bool | None = None
    ) -> None:
        self._lease = lease
        self._simulated = simulated
        self._conditioning = conditioning or lease.conditioning or _default_conditioning()
        self._ahead = np.empty(0, np.uint8)
        self.name = f"lease, {self._conditioning.name}"

    @property
    def conditioning(self) -> Conditioning:
        """What stands between the recorded bits and the noise."""
        return self._conditioning

    def read(self, bits: int) -> Packed:
        """Read `bits` conditioned bits, packed; raises SamplerError where the lease holds too few.

        A conditioning that makes many bits at once drops what a read does not need, so it is read ahead of small draws.
        """
        if self._conditioning.unit <= _SMALL_UNIT:
            return _read_conditioned(self._conditioning, self._lease, bits)
        size = bits // 8
        if len(self._ahead) < size:
            short = bits - 8 * len(self._ahead)
            more = _whole(short, self._conditioning)
            while more > short and self._conditioning.bits_in(more) > self._lease.remaining:
                more = max(short, more // 16 * 8)
            fresh = _read_conditioned(self._conditioning, self._lease, more)
            self._ahead = np.concatenate([self._ahead, fresh])
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Split the lease: each picture has a contiguous stretch of its own, of which the rest is free again.

        With `bits_each` the streams read ahead within their stretch, so that a small draw costs no file
        access.
        """
        even = self._lease.remaining // max(count, 1)
        needed = even if bits_each is None else self._conditioning.bits_in(bits_each)
        if needed * count > self._lease.remaining:
            raise SamplerError(
                f"{count} pictures need {needed * count:,} recorded bits and the lease holds "
                f"{self._lease.remaining:,}: record more, or ask for fewer pictures"
            )
        with entropy_errors():
            portions = self._lease.split(count, needed)
        return [PortionSource(p, self._conditioning, bits_each, self._simulated) for p in portions]

    def provenance(self) -> dict[str, Any]:
        """Name the lease, the conditioning and the ranges (buffer uuid, first bit, bits) read so far."""
        return _lease_provenance(self._lease, self._conditioning, self._simulated)


class PortionSource:
    """One picture's stretch of a lease."""

    def __init__(
        self, portion: Portion, conditioning: Conditioning, total: int | None, simulated: bool | None
    ) -> None:
        self.name = f"lease, {conditioning.name}"
        self._simulated = simulated
        self._portion, self._conditioning = portion, conditioning
        self._rest = total or 0
        self._ahead = np.empty(0, np.uint8)

    def read(self, bits: int) -> Packed:
        """Read `bits` conditioned bits, packed; raises SamplerError where the stretch holds too few."""
        size = bits // 8
        if len(self._ahead) < size and self._rest:
            wanted = min(self._rest, _whole(max(_READ_AHEAD_BITS, bits), self._conditioning))
            more = _read_conditioned(self._conditioning, self._portion, wanted)
            self._ahead = np.concatenate([self._ahead, more])
            self._rest -= wanted
        if len(self._ahead) >= size:
            taken, self._ahead = self._ahead[:size], self._ahead[size:]
            return taken
        return _read_conditioned(self._conditioning, self._portion, bits)

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Refuse: a picture's stretch is not divided again."""
        raise SamplerError(
            "the bits of one picture cannot be divided among several: divide the lease instead"
        )

    def provenance(self) -> dict[str, Any]:
        """Name the conditioning and the ranges (buffer uuid, first bit, bits) read so far."""
        return _lease_provenance(self._portion, self._conditioning, self._simulated)


class OperatingSystemSource:
    """The operating system's random bits; what they made cannot be made again."""

    name = "operating system"

    def __init__(self) -> None:
        self._bits = 0

    def read(self, bits: int) -> Packed:
        """Read `bits` of os.urandom, packed."""
        self._bits += bits
        return np.frombuffer(os.urandom(bits // 8), np.uint8)

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

    def __init__(self, seed: int, stream: int = 0) -> None:
        if not 0 <= seed < 1 << 64:
            raise SamplerError(f"a software seed is a whole number from 0 to 2^64 - 1, not {seed}")
        self.seed, self.stream = seed, stream
        self._place(0)
        self.bits, self._given = 0, 0

    def read(self, bits: int) -> Packed:
        """Read the stream's next `bits`, packed; how a stretch is cut into reads makes no difference."""
        size = bits // 8
        self.bits += bits
        short = size - len(self._rest)
        if short > 0:
            words = np.atleast_1d(self._philox.random_raw(-(-short // 8)))
            self._rest = np.concatenate([self._rest, words.astype(">u8").view(np.uint8)])
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken

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


class BiasedSource(SoftwareSource):
    """Software bits, independent, each 1 with probability `p`: a negative control."""

    name = "biased"

    def __init__(self, p: float, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        _check_share("p", p)
        self.p = p

    def read(self, bits: int) -> Packed:
        """Read `bits`, packed, of which a share `p` are 1."""
        self.bits += bits
        return np.packbits(_below(SoftwareSource.read, self, bits, self.p))

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

    def __init__(self, rho: float, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        if not -1 <= rho <= 1:
            raise SamplerError(f"rho is a correlation from -1 to 1, not {rho}")
        self.rho = rho
        self._last = int(super().read(8)[0] & 1)
        self.bits = 0

    def read(self, bits: int) -> Packed:
        """Read the chain's next `bits`, packed."""
        self.bits += bits
        flips = _below(SoftwareSource.read, self, bits, (1 - self.rho) / 2)
        chain = (np.cumsum(flips, dtype=np.int64) + self._last) & 1
        if len(chain):
            self._last = int(chain[-1])
        return np.packbits(chain.astype(np.uint8))

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
        fair = super().read(bits)
        place = (self._at + np.arange(len(fair))) % len(self._free)
        self._at += len(fair)
        return (fair & self._free[place]) | self._value[place]

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

    def __init__(self, value: int = 0, seed: int = 0, stream: int = 0) -> None:
        super().__init__(seed, stream)
        if value not in (0, 1):
            raise SamplerError(f"a constant bit is 0 or 1, not {value}")
        self.value = value

    def read(self, bits: int) -> Packed:
        """Read `bits` equal bits, packed."""
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

    def __init__(self, stretch: int, seed: int = 0, stream: int = 0, start: int = 0) -> None:
        super().__init__(seed, stream)
        if stretch < 64 or stretch % 64:
            raise SamplerError(f"a stretch that repeats has a multiple of 64 bits, not {stretch}")
        self.stretch, self.start = stretch, start
        self._whole = SoftwareSource(seed).read(stretch)

    def read(self, bits: int) -> Packed:
        """Read the next `bits`, packed; after the stretch's last bit comes its first."""
        at = (self.start + self.bits) // 8 + np.arange(bits // 8)
        self.bits += bits
        return self._whole[at % len(self._whole)]

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


class ConditionedSource:
    """A source's bits through a conditioning, as `LeaseSource` has them of a lease's.

    A public mask takes each stream for a buffer of its own, named `software:SEED:STREAM` (other sources: their name).
    Raises SamplerError for a conditioning whose rate varies: those go by the cells of a recording.
    """

    def __init__(self, source: Source, conditioning: Conditioning) -> None:
        from entropy import BitStream

        if not conditioning.fixed_rate:
            raise SamplerError(
                f"{conditioning.name} pairs the outcomes of each cell of a recording: it works on a store's bits, not "
                f"on those of a {source.name} source; use another conditioning"
            )

        place = f"{source.seed}:{source.stream}" if isinstance(source, SoftwareSource) else source.name
        self._source, self._conditioning = source, conditioning
        self._stream = BitStream(f"software:{place}", source.read)
        self._ahead = np.empty(0, np.uint8)
        self.name = f"{source.name}, {conditioning.name}"

    def read(self, bits: int) -> Packed:
        """Read `bits` conditioned bits, packed; what a conditioning makes at once is kept for the next read."""
        size = bits // 8
        if len(self._ahead) < size:
            short = _whole(bits - 8 * len(self._ahead), self._conditioning)
            fresh = self._conditioning.read(self._stream, max(short, 32))
            self._ahead = np.concatenate([self._ahead, fresh])
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Give the source's streams, each through the conditioning."""
        raw = None if bits_each is None else self._conditioning.bits_in(bits_each)
        return [ConditionedSource(s, self._conditioning) for s in self._source.pictures(count, raw)]

    def provenance(self) -> dict[str, Any]:
        """Say the source's, and the conditioning's name."""
        return {**self._source.provenance(), "conditioning": self._conditioning.name}


def software_source(recorded: dict[str, Any]) -> Source | None:
    """Make a software source again from its provenance; None where the bits were not made by software."""
    made = _software_source(recorded)
    if made is None or recorded.get("conditioning", "none") == "none":
        return made
    from entropy import conditioning_from_name

    return ConditionedSource(made, conditioning_from_name(recorded["conditioning"]))


def _software_source(recorded: dict[str, Any]) -> SoftwareSource | None:
    seed, stream = recorded.get("seed"), recorded.get("stream", 0)
    match recorded.get("source"):
        case "software":
            return SoftwareSource(seed, stream)  # pyright: ignore[reportArgumentType]
        case "biased":
            return BiasedSource(recorded["p"], seed or 0, stream)
        case "correlated":
            return CorrelatedSource(recorded["rho"], seed or 0, stream)
        case "stuck":
            return StuckSource(recorded["fraction"], seed or 0, stream, recorded["cells"])
        case "constant":
            return ConstantSource(recorded["value"], seed or 0, stream)
        case "repeated":
            return RepeatedSource(recorded["stretch"], seed or 0, stream, recorded["start"])
    return None


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
    for at in range(0, bits, _READ_AHEAD_BITS):
        source.read(min(_READ_AHEAD_BITS, bits - at))


def _check_share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise SamplerError(f"{name} is a share from 0 to 1, not {value}")


@contextlib.contextmanager
def entropy_errors() -> Iterator[None]:
    """Turn the store's errors into SamplerErrors with the same sentence."""
    from entropy import StoreError

    try:
        yield
    except StoreError as error:
        raise SamplerError(str(error)) from error


def _default_conditioning() -> Conditioning:
    from entropy import Xor

    return Xor(2)


def _whole(bits: int, conditioning: Conditioning) -> int:
    """Round bits up to what a conditioning makes without waste."""
    return -(-bits // conditioning.unit) * conditioning.unit


def _read_conditioned(conditioning: Conditioning, lease: Lease | Portion, bits: int) -> Packed:
    needed = conditioning.bits_in(bits)
    if conditioning.fixed_rate and needed > lease.remaining:
        raise SamplerError(
            f"the noise wants {needed:,} more recorded bits and the lease holds {lease.remaining:,}"
        )
    with entropy_errors():
        return conditioning.read(lease, bits)


def _lease_provenance(
    lease: Lease | Portion, conditioning: Conditioning, simulated: bool | None
) -> dict[str, Any]:
    ranges = [[str(buffer), int(first), int(bits)] for buffer, first, bits in lease.read_ranges]
    claim = {} if lease.min_entropy is None else {"min_entropy": _credit(lease.min_entropy, conditioning)}
    return {
        **claim,
        "source": "lease",
        "conditioning": conditioning.name,
        "simulated": simulated,
        "ranges": ranges,
        "bits": sum(r[2] for r in ranges),
    }


def _credit(claimed: float, conditioning: Conditioning) -> dict[str, float]:
    """Say what a claim of raw bits is worth after conditioning, without and with independence; per bit."""
    return {
        "raw": claimed,
        "noise": conditioning.output_min_entropy(claimed),
        "noise_if_independent": conditioning.output_min_entropy(claimed, independent=True),
    }
