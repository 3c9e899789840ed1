"""The random numbers of a training by name, each drawn from a source of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sampler._errors import SamplerError
from sampler._model import Architecture
from sampler._sources import Packed, SoftwareSource, Source

TRAINING_NAMES = ("weights", "shuffle", "timesteps", "diffusion", "dropout")
"""Initial weights; which pictures form a batch; their timesteps; the noise of q(x_t | x_0); dropout's masks."""

_FIRST_STREAM = 1 << 62  # pictures have the streams from 1 up: a seed may serve training and sampling


def names_of(architecture: Architecture) -> tuple[str, ...]:
    """The names that a training of this network draws: dropout's only where it has dropout."""
    return TRAINING_NAMES if architecture.dropout else TRAINING_NAMES[:-1]


def training_stream(name: str, seed: int) -> SoftwareSource:
    """The software stream of one name of a training: different names of one seed share no bit."""
    return SoftwareSource(seed, _FIRST_STREAM + TRAINING_NAMES.index(_known(name)))


def named_sources(
    sources: Mapping[str, Source] | Source | None, names: Sequence[str], seed: int
) -> dict[str, Source]:
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

    A draw outside of it raises: nobody said whose bits it should get.
    """

    name = "by name"

    def __init__(self, sources: Mapping[str, Source]) -> None:
        self.sources = dict(sources)
        self.bits = dict.fromkeys(sources, 0)
        self._drawing: str | None = None

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
        if self._drawing not in self.sources:
            raise SamplerError(
                f"training drew random numbers for {self._drawing or 'something without a name'}, "
                f"which has no source: its sources are for {', '.join(self.sources)}"
            )
        packed = self.sources[self._drawing].read(bits)
        self.bits[self._drawing] += bits
        return packed

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Refuse: a training is not divided among pictures."""
        raise SamplerError("the sources of a training are not divided among pictures")

    def provenance(self) -> dict[str, Any]:
        """List the sources, and for each name which of them it read and how many bits of noise."""
        distinct = list({id(source): source for source in self.sources.values()}.values())
        place = {id(source): index for index, source in enumerate(distinct)}
        return {
            "sources": [source.provenance() for source in distinct],
            "names": {
                name: {"source": place[id(source)], "bits": self.bits[name]}
                for name, source in self.sources.items()
            },
        }


def _known(name: str) -> str:
    if name not in TRAINING_NAMES:
        raise SamplerError(
            f"a training draws no {name!r}: its random numbers are {', '.join(TRAINING_NAMES)}"
        )
    return name
