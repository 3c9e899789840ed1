"""Any source behind a conditioning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from entropy.arguments import Count, takes
from sampler.sources._conditioning import check_works_on, whole
from sampler.sources._software import SoftwareSource
from sampler.sources._source import NumberedStreams, Packed, ReadAhead, Source, Stream, whole_bytes

if TYPE_CHECKING:
    from entropy import Conditioning


class _ConditionedStream:
    """A stream's bits through a conditioning, as `LeaseSource` has them of a lease's."""

    def __init__(self, stream: Stream, conditioning: Conditioning) -> None:
        from entropy import BitStream

        check_works_on(conditioning, f"those of a {stream.name} source")
        place = f"{stream.seed}:{stream.stream}" if isinstance(stream, SoftwareSource) else stream.name
        self._stream, self._conditioning = stream, conditioning
        self._raw = BitStream(f"software:{place}", stream.read)
        self._ahead = ReadAhead(self._fetch)
        self.name = f"{stream.name}, {conditioning.name}"

    def read(self, bits: int) -> Packed:
        """Read `bits` conditioned bits, packed; what a conditioning makes at once is kept for the next read."""
        bits = whole_bytes(bits)
        return self._ahead.read(bits)

    def provenance(self) -> dict[str, Any]:
        """Say the stream's, and the conditioning's name."""
        return {**self._stream.provenance(), "conditioning": self._conditioning.name}

    def _fetch(self, bits: int, short: int) -> Packed:
        return self._conditioning.read(self._raw, max(whole(short, self._conditioning), 32))


class ConditionedSource(_ConditionedStream):
    """A source's bits through a conditioning, as `LeaseSource` has them of a lease's.

    A public mask takes each stream for a buffer of its own, named `software:SEED:STREAM` (other sources: their name).
    Raises SamplerError for a conditioning whose rate varies: those go by the cells of a recording.
    """

    def __init__(self, source: Source, conditioning: Conditioning) -> None:
        super().__init__(source, conditioning)
        self._source = source

    @takes(count=Count(), bits_each=Count())
    def streams(self, count: int, bits_each: int | None = None) -> NumberedStreams:
        """Give the source's streams, each through the conditioning."""
        raw = None if bits_each is None else self._conditioning.bits_in(bits_each)
        streams = self._source.streams(count, raw)
        return NumberedStreams(count, lambda i: _ConditionedStream(streams.stream(i), self._conditioning))
