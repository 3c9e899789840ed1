"""The bits of a lease, as one stream or as a stream for each picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from entropy.arguments import Count, takes
from sampler._errors import SamplerError
from sampler.sources._conditioning import entropy_errors, whole
from sampler.sources._parts import WORD, parts
from sampler.sources._source import NumberedStreams, Packed, ReadAhead, Source, Streams, whole_bytes

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Portion


_READ_AHEAD_BITS = 1 << 23


class PortionSource:
    """One picture's stretch of a lease, of which it will read `total` bits, where that is known: so much is read ahead.

    `simulated` says whether they come from a simulated array, for the provenance; None where that is not known.
    """

    @takes(total=Count())
    def __init__(
        self, lease: Portion | Lease, conditioning: Conditioning, total: int | None, simulated: bool | None
    ) -> None:
        self._lease, self._conditioning, self._simulated = lease, conditioning, simulated
        self._rest = total or 0
        self._ahead = ReadAhead(self._fetch)
        self.name = f"lease, {conditioning.name}"

    def read(self, bits: int) -> Packed:
        """Read `bits` conditioned bits, packed; raises SamplerError where there are too few."""
        bits = whole_bytes(bits)
        return self._ahead.read(bits)

    def provenance(self) -> dict[str, Any]:
        """Name the conditioning and the ranges (buffer uuid, first bit, bits) read so far."""
        lease, conditioning = self._lease, self._conditioning
        ranges = [[str(buffer), int(first), int(bits)] for buffer, first, bits in lease.read_ranges]
        claim = {} if lease.min_entropy is None else {"min_entropy": _credit(lease.min_entropy, conditioning)}
        return {
            **claim,
            "source": "lease",
            "conditioning": conditioning.name,
            "simulated": self._simulated,
            "ranges": ranges,
            "bits": sum(r[2] for r in ranges),
        }

    def _fetch(self, bits: int, short: int) -> Packed:
        ahead = min(self._rest, whole(max(_READ_AHEAD_BITS, bits), self._conditioning))
        if ahead < short:
            return self._conditioned(bits)
        self._rest -= ahead
        return self._conditioned(ahead)

    def _conditioned(self, bits: int) -> Packed:
        self._check_enough(bits)
        with entropy_errors():
            return self._conditioning.read(self._lease, bits)

    def _check_enough(self, bits: int) -> None:
        needed = self._conditioning.bits_in(bits)
        if self._conditioning.fixed_rate and needed > self._lease.remaining:
            raise SamplerError(
                f"the noise wants {needed:,} more recorded bits and the lease holds {self._lease.remaining:,}"
            )


class LeaseSource(PortionSource):
    """The bits of a lease, through a conditioning (the lease's own, or the XOR of two, by default).

    `simulated` as of a portion. A conditioning that makes many bits at once drops what a read does not need, so it is
    read ahead of small draws.
    """

    _lease: Lease

    def __init__(
        self, lease: Lease, conditioning: Conditioning | None = None, *, simulated: bool | None = None
    ) -> None:
        from entropy import Xor

        super().__init__(lease, conditioning or lease.conditioning or Xor(2), None, simulated)

    @property
    def conditioning(self) -> Conditioning:
        """What stands between the recorded bits and the noise."""
        return self._conditioning

    def read_parts(self, bits: int) -> Iterator[Packed]:
        """Read the same bits as `read`, in parts of whole 32-bit words: a large draw is mapped while it is read.

        Raises SamplerError where the lease holds too few, before the first part.
        """
        bits = whole_bytes(bits)
        if bits % WORD or self._conditioning.unit > WORD or not self._conditioning.fixed_rate:
            return iter([self.read(bits)])
        self._check_enough(bits)
        return parts(self._conditioning, self._lease, bits)

    @takes(count=Count(), bits_each=Count())
    def streams(self, count: int, bits_each: int | None = None, *, all_read: bool = True) -> NumberedStreams:
        """Split the lease: each picture has a contiguous stretch of its own, of which the rest is free again.

        With `bits_each` the streams read ahead within their stretch, so that a small draw costs no file
        access; where they will not be `all_read`, no further than what is asked for, as far as the conditioning allows.
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
        total = bits_each if all_read or not by_words(self._conditioning) else None
        return NumberedStreams(
            count, lambda i: PortionSource(portions[i], self._conditioning, total, self._simulated)
        )

    def _fetch(self, bits: int, short: int) -> Packed:
        if self._conditioning.unit <= WORD:
            return self._conditioned(short)
        more = whole(short, self._conditioning)
        while more > short and self._conditioning.bits_in(more) > self._lease.remaining:
            more = max(short, more // 16 * 8)
        return self._conditioned(more)


def by_words(conditioning: Conditioning) -> bool:
    """Whether what a conditioning makes of so many words is the same however they are cut into reads."""
    return conditioning.fixed_rate and conditioning.unit <= WORD


@takes(count=Count(), bits_each=Count())
def picture_streams(source: Source, count: int, bits_each: int, varies: bool) -> Streams:
    """Give pictures their streams; those of a lease read no more than they must where what is read `varies`."""
    if isinstance(source, LeaseSource):
        return source.streams(count, bits_each, all_read=not varies)
    return source.streams(count, bits_each)


def _credit(claimed: float, conditioning: Conditioning) -> dict[str, float]:
    """Say what a claim of raw bits is worth after conditioning, without and with independence; per bit."""
    return {
        "raw": claimed,
        "noise": conditioning.output_min_entropy(claimed),
        "noise_if_independent": conditioning.output_min_entropy(claimed, independent=True),
    }
