"""Any source behind a conditioning, and software sources made again from their provenance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from entropy.arguments import Count, count, takes
from sampler.sources._conditioning import check_works_on, whole
from sampler.sources._controls import (
    BiasedSource,
    ConstantSource,
    CorrelatedSource,
    RepeatedSource,
    StuckSource,
)
from sampler.sources._software import SoftwareSource
from sampler.sources._source import Packed, Source

if TYPE_CHECKING:
    from entropy import Conditioning


class ConditionedSource:
    """A source's bits through a conditioning, as `LeaseSource` has them of a lease's.

    A public mask takes each stream for a buffer of its own, named `software:SEED:STREAM` (other sources: their name).
    Raises SamplerError for a conditioning whose rate varies: those go by the cells of a recording.
    """

    def __init__(self, source: Source, conditioning: Conditioning) -> None:
        from entropy import BitStream

        check_works_on(conditioning, f"those of a {source.name} source")
        place = f"{source.seed}:{source.stream}" if isinstance(source, SoftwareSource) else source.name
        self._source, self._conditioning = source, conditioning
        self._stream = BitStream(f"software:{place}", source.read)
        self._ahead = np.empty(0, np.uint8)
        self.name = f"{source.name}, {conditioning.name}"

    def read(self, bits: int) -> Packed:
        """Read `bits` conditioned bits, packed; what a conditioning makes at once is kept for the next read."""
        bits = count(bits, "bits")
        size = bits // 8
        if len(self._ahead) < size:
            short = whole(bits - 8 * len(self._ahead), self._conditioning)
            fresh = self._conditioning.read(self._stream, max(short, 32))
            self._ahead = np.concatenate([self._ahead, fresh])
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    @takes(count=Count(), bits_each=Count())
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
