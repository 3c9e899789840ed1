"""The bits of a lease, as one stream or as a stream for each picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy.arguments import Count, count, takes
from sampler._errors import SamplerError
from sampler.sources._conditioning import (
    check_enough,
    default_conditioning,
    entropy_errors,
    read_conditioned,
    whole,
)
from sampler.sources._parts import WORD, parts
from sampler.sources._source import Packed, Source

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Portion


_READ_AHEAD_BITS = 1 << 23


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
        self._conditioning = conditioning or lease.conditioning or default_conditioning()
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
        bits = count(bits, "bits")
        if self._conditioning.unit <= WORD:
            return read_conditioned(self._conditioning, self._lease, bits)
        size = bits // 8
        if len(self._ahead) < size:
            short = bits - 8 * len(self._ahead)
            more = whole(short, self._conditioning)
            while more > short and self._conditioning.bits_in(more) > self._lease.remaining:
                more = max(short, more // 16 * 8)
            fresh = read_conditioned(self._conditioning, self._lease, more)
            self._ahead = np.concatenate([self._ahead, fresh])
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def read_parts(self, bits: int) -> Iterator[Packed]:
        """Read the same bits as `read`, in parts of whole 32-bit words: a large draw is mapped while it is read.

        Raises SamplerError where the lease holds too few, before the first part.
        """
        bits = count(bits, "bits")
        if bits % WORD or self._conditioning.unit > WORD or not self._conditioning.fixed_rate:
            return iter([self.read(bits)])
        check_enough(self._conditioning, self._lease, bits)
        return parts(self._conditioning, self._lease, bits)

    @takes(count=Count(), bits_each=Count())
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
        return _provenance(self._lease, self._conditioning, self._simulated)


class PortionSource:
    """One picture's stretch of a lease."""

    @takes(total=Count())
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
        bits = count(bits, "bits")
        size = bits // 8
        if len(self._ahead) < size and self._rest:
            wanted = min(self._rest, whole(max(_READ_AHEAD_BITS, bits), self._conditioning))
            more = read_conditioned(self._conditioning, self._portion, wanted)
            self._ahead = np.concatenate([self._ahead, more])
            self._rest -= wanted
        if len(self._ahead) >= size:
            taken, self._ahead = self._ahead[:size], self._ahead[size:]
            return taken
        return read_conditioned(self._conditioning, self._portion, bits)

    @takes(count=Count(), bits_each=Count())
    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Refuse: a picture's stretch is not divided again."""
        raise SamplerError(
            "the bits of one picture cannot be divided among several: divide the lease instead"
        )

    def provenance(self) -> dict[str, Any]:
        """Name the conditioning and the ranges (buffer uuid, first bit, bits) read so far."""
        return _provenance(self._portion, self._conditioning, self._simulated)


def _provenance(lease: Lease | Portion, conditioning: Conditioning, simulated: bool | None) -> dict[str, Any]:
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
