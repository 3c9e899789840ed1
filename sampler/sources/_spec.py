"""Where raw bits come from, as a value: of a command line, a plan, a training, or a picture's provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Self

from entropy.arguments import ANY, Count, Real, take_fields, takes
from sampler._errors import SamplerError
from sampler.sources._conditioned import ConditionedSource
from sampler.sources._controls import (
    BiasedSource,
    ConstantSource,
    CorrelatedSource,
    RepeatedSource,
    StuckSource,
)
from sampler.sources._software import OperatingSystemSource, SoftwareSource
from sampler.sources._source import Source

_SOFTWARE: dict[str, type[SoftwareSource]] = {
    kind.name: kind
    for kind in (
        SoftwareSource,
        BiasedSource,
        CorrelatedSource,
        StuckSource,
        ConstantSource,
        RepeatedSource,
    )
}
_NEEDED = {"biased": "p", "correlated": "rho", "stuck": "fraction", "repeated": "stretch", "store": "store"}


@dataclass(frozen=True)
class SourceSpec:
    """Where raw bits come from.

    `kind`: software, os, store (`store` names which, or is its folder), or a negative control: biased (`p`),
    correlated (`rho`), stuck (`fraction` of `cells`), constant (`value`), repeated (`stretch` bits, from `start`
    on). What software makes has a `seed` and a `stream` of it; without a seed it is yet to be given one.
    Raises SamplerError where something is missing, senseless, or of another kind.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}  # where a plan's file is parsed

    kind: Literal["software", "os", "store", "biased", "correlated", "stuck", "constant", "repeated"]
    store: str | None = None
    p: float | None = None
    rho: float | None = None
    fraction: float | None = None
    stretch: int | None = None
    cells: int = 1024
    value: Literal[0, 1] = 0
    seed: int | None = None
    stream: int = 0
    start: int = 0

    def __post_init__(self) -> None:
        take_fields(self, p=Real(), rho=Real(), fraction=Real(), stretch=ANY, cells=ANY)
        take_fields(self, seed=ANY, stream=Count(), start=Count())
        needed = _NEEDED.get(self.kind)
        if needed is not None and getattr(self, needed) is None:
            raise SamplerError(f"a source of kind {self.kind} needs {needed}")
        for name in {*_NEEDED.values()} - {needed}:
            if getattr(self, name) is not None:
                raise SamplerError(f"a source of kind {self.kind} takes no {name}")
        if self.seed is not None:
            SoftwareSource(self.seed)  # which refuses a wrong one, as those of `make` do what is senseless
        if self.seeded:
            self.make()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "software", "software:SEED", "os", or the folder of a store."""
        kind, colon, seed = text.partition(":")
        if kind != "software" or not colon:
            return cls(text) if text in ("software", "os") else cls("store", store=text)
        if not seed.isdecimal() or int(seed) >= 1 << 64:
            raise SamplerError(f"{text!r} has no seed: give a whole number below 2^64, such as software:7.")
        return cls("software", seed=int(seed))

    @classmethod
    def of_provenance(cls, recorded: Mapping[str, Any]) -> Self | None:
        """Give the spec of a software stream that a provenance names; None where software did not make the bits."""
        if recorded.get("source") not in _SOFTWARE:
            return None
        told = {field.name: recorded[field.name] for field in fields(cls) if field.name in recorded}
        return cls(recorded["source"], **told)

    @property
    def seeded(self) -> bool:
        """Whether software makes its bits, from a seed."""
        return self.kind in _SOFTWARE

    @property
    def turns(self) -> int | None:
        """How many cells take turns in its bits, where that is known."""
        return self.cells if self.seeded else None

    @property
    def described(self) -> str:
        """The source in a few words."""
        match self.kind:
            case "os":
                return "operating system"
            case "store":
                return f"store {self.store}"
            case "biased":
                return f"software, P(1) = {self.p:g}"
            case "correlated":
                return f"software, lag-1 correlation {self.rho:g}"
            case "stuck":
                return f"software, {self.fraction:.0%} of {self.cells:,} cells stuck"
            case "constant":
                return f"every bit is {self.value}"
            case "repeated":
                return f"software, {self.stretch:,} bits again and again"
        return self.kind

    @takes(seed=ANY)
    def with_seed(self, seed: int) -> Self:
        """The same with a seed, where software makes its bits."""
        return replace(self, seed=seed) if self.seeded else self

    def make(self) -> Source:
        """Make the source, raw; raises SamplerError for a store, whose bits are leased."""
        if self.kind == "os":
            return OperatingSystemSource()
        if self.kind == "store":
            raise SamplerError(f"the bits of store {self.store!r} are leased, not made")
        kind = _SOFTWARE[self.kind]
        parameters = {name: getattr(self, name) for name in kind.parameters}
        return kind(**parameters, seed=self.seed or 0, stream=self.stream)


def source_again(recorded: Mapping[str, Any]) -> Source | None:
    """Make a software source again from its provenance; None where the bits were not made by software."""
    spec = SourceSpec.of_provenance(recorded)
    if spec is None or recorded.get("conditioning", "none") == "none":
        return None if spec is None else spec.make()
    from entropy import conditioning_from_name

    return ConditionedSource(spec.make(), conditioning_from_name(recorded["conditioning"]))
