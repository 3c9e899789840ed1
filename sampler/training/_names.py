"""The random numbers of a training by name, each drawn from a source of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from entropy.arguments import ANY, takes
from sampler._errors import SamplerError
from sampler._model import Architecture
from sampler.sources import (
    LeaseSource,
    OperatingSystemSource,
    Packed,
    SoftwareSource,
    StoreSource,
    Stream,
    joined,
    whole_bytes,
)

TRAINING_NAMES = ("weights", "shuffle", "timesteps", "diffusion", "dropout")
"""Initial weights; which pictures form a batch; their timesteps; the noise of q(x_t | x_0); dropout's masks."""

_FIRST_STREAM = 1 << 62  # pictures have the streams from 1 up: a seed may serve training and sampling


def names_of(architecture: Architecture) -> tuple[str, ...]:
    """The names that a training of this network draws: dropout's only where it has dropout."""
    return TRAINING_NAMES if architecture.dropout else TRAINING_NAMES[:-1]


@takes(seed=ANY)
def training_stream(name: str, seed: int) -> SoftwareSource:
    """The software stream of one name of a training: different names of one seed share no bit."""
    return SoftwareSource(seed, _FIRST_STREAM + TRAINING_NAMES.index(_known(name)))


def named_sources(
    sources: Mapping[str, Stream] | Stream | None, names: Sequence[str], seed: int
) -> dict[str, Stream]:
    """Give each name its source: its own in the mapping, or the one for all, or else the seed's software stream.

    Raises SamplerError for names that a training, or this training, does not draw.
    """
    if sources is None:
        sources = {}
    if not isinstance(sources, Mapping):
        return dict.fromkeys(names, sources)
    for name in sources:
        if _known(name) not in names:
            raise SamplerError(
                f"a source was given for {name}, which this network does not have: leave it out"
            )
    return {name: sources[name] if name in sources else training_stream(name, seed) for name in names}


class NamedSources:
    """The source of a whole training: what is drawn inside `drawing(name)` comes from the source of that name.

    A draw outside of it raises: nobody said whose bits it should get. `bits` counts the bits of noise by name,
    `recorded` the bits of stores that they took.
    """

    name = "by name"

    def __init__(self, sources: Mapping[str, Stream]) -> None:
        self.sources = dict(sources)
        self.distinct = list({id(source): source for source in self.sources.values()}.values())
        self.bits = dict.fromkeys(sources, 0)
        self.recorded = dict.fromkeys(sources, 0)
        self._before: list[dict[str, Any] | None] = [None] * len(self.distinct)
        self._drawing: str | None = None

    @property
    def stores(self) -> list[StoreSource]:
        """The sources that are leased a stretch at a time."""
        return [source for source in self.distinct if isinstance(source, StoreSource)]

    def served_by(self, source: Stream) -> list[str]:
        """The names that draw from `source`."""
        return [name for name, own in self.sources.items() if own is source]

    @contextlib.contextmanager
    def drawing(self, name: str) -> Iterator[None]:
        """Serve draws from the source of `name` until the context ends."""
        before, self._drawing = self._drawing, name
        try:
            yield
        finally:
            self._drawing = before

    def read(self, bits: int) -> Packed:
        """Read `bits` bits, packed, from the source of what is being drawn; counts them under its name."""
        bits = whole_bytes(bits)
        name = self._drawing
        if name not in self.sources:
            raise SamplerError(
                f"training drew random numbers for {name or 'something without a name'}, which has no source: its "
                f"sources are for {', '.join(self.sources)}"
            )
        source = self.sources[name]
        if isinstance(source, StoreSource):
            before = source.recorded
            packed = source.read(bits)
            self.recorded[name] += source.recorded - before
        else:
            packed = source.read(bits)
        self.bits[name] += bits
        return packed

    def provenance(self) -> dict[str, Any]:
        """List the sources, and for each name which of them it read, bits of noise, recorded bits for them."""
        place = {id(source): index for index, source in enumerate(self.distinct)}
        told = [source.provenance() for source in self.distinct]
        return {
            "sources": [
                now if before is None else joined(before, now)
                for before, now in zip(self._before, told, strict=True)
            ],
            "names": {
                name: {"source": place[id(source)], "bits": self.bits[name], "recorded": self.recorded[name]}
                for name, source in self.sources.items()
            },
        }

    def go_on(self, provenance: Mapping[str, Any]) -> None:
        """Go on after what an interrupted training read: software streams move to where it was.

        Raises SamplerError where a name would now come from another source than before, or from one that would begin
        again.
        """
        names, before = provenance["names"], provenance["sources"]
        now = self.provenance()
        for name in dict.fromkeys([*names, *self.sources]):
            was, is_now = (_told(told, name) for told in (provenance, now))
            if was != is_now:
                raise SamplerError(
                    f"{name} came from {was} and would now come from {is_now}: go on with the same sources, or start "
                    "anew in another folder"
                )
        for index, source in enumerate(self.distinct):
            if isinstance(source, SoftwareSource):
                source.skip(before[index]["bits"] - source.bits)
            elif isinstance(source, StoreSource | LeaseSource | OperatingSystemSource):
                self._before[index] = before[index]  # these never give a bit again
            else:
                raise SamplerError(
                    f"a training cannot go on with {source.name}: nobody knows where in it the interruption was"
                )
        for name, told in names.items():
            self.bits[name], self.recorded[name] = told["bits"], told["recorded"]


def _told(provenance: Mapping[str, Any], name: str) -> str:
    """Say in words which source a name has, and with which others it shares it."""
    own = provenance["names"].get(name)
    if own is None:
        return "nowhere"
    source = provenance["sources"][own["source"]]
    kept = {k: v for k, v in source.items() if k not in ("bits", "ranges", "simulated", "min_entropy")}
    words = ", ".join(f"{v}" if k == "source" else f"{k} {v}" for k, v in kept.items())
    others = [n for n, told in provenance["names"].items() if told["source"] == own["source"] and n != name]
    return words + (f" (one stream with {', '.join(others)})" if others else "")


def _known(name: str) -> str:
    if name not in TRAINING_NAMES:
        raise SamplerError(
            f"a training draws no {name!r}: its random numbers are {', '.join(TRAINING_NAMES)}"
        )
    return name
