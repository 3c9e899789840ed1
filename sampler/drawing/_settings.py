"""How to sample."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from entropy.arguments import ANY, Real, take_fields
from sampler._errors import SamplerError
from sampler._noise_map import check_normal_width


@dataclass(frozen=True)
class SampleSettings:
    """Scheduler by name, its steps, DDIM's η (0 draws only the first noise, 1 one at every step), pictures at
    a time, the bits that a normal number is made of (32, or a narrower width of the noise map), options of the
    scheduler's configuration (a mapping, kept as sorted pairs), and the floor of the binary process's flips.

    The microbatch is part of a picture's identity: the network's arithmetic differs in the last bit between
    sizes.
    """

    scheduler: str = "ddpm"
    steps: int = 100
    eta: float = 0.0
    microbatch: int = 16
    bits_per_normal: int = 32
    scheduler_options: Mapping[str, Any] | tuple[tuple[str, Any], ...] = ()
    floor: float = 0.0

    def __post_init__(self) -> None:
        take_fields(self, steps=ANY, eta=Real(), microbatch=ANY, bits_per_normal=ANY)
        take_fields(self, floor=Real(0, 0.5))
        if self.steps < 1 or self.microbatch < 1:
            raise SamplerError(
                f"sampling needs at least one step and one picture at a time, not {self.steps} and "
                f"{self.microbatch}"
            )
        check_normal_width(self.bits_per_normal)
        if not 0 <= self.eta <= 1:
            raise SamplerError(f"eta goes from 0 to 1, not {self.eta}")
        pairs = sorted((str(key), _hashable(value)) for key, value in dict(self.scheduler_options).items())
        object.__setattr__(self, "scheduler_options", tuple(pairs))

    @property
    def options(self) -> dict[str, Any]:
        """The options of the scheduler's configuration."""
        return dict(self.scheduler_options)

    def as_json(self) -> dict[str, Any]:
        """The settings as JSON values; `from_json` makes them again."""
        options = {k: list(v) if isinstance(v, tuple) else v for k, v in self.options.items()}
        told = {**asdict(self), "scheduler_options": options}
        if not self.floor:
            del told["floor"]  # which older settings do not name
        return told

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> SampleSettings:
        """Make settings of what `as_json` gave, among other things; what an older version did not tell: the default."""
        return cls(**{name: told[name] for name in cls.__dataclass_fields__ if name in told})


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
