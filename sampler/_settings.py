"""How to sample."""

from __future__ import annotations

from dataclasses import dataclass

from sampler._errors import SamplerError


@dataclass(frozen=True)
class SampleSettings:
    """Scheduler by name, its steps, DDIM's η (0 draws only the first noise, 1 one at every step), pictures at
    a time.

    The microbatch is part of a picture's identity: the network's arithmetic differs in the last bit between
    sizes.
    """

    scheduler: str = "ddpm"
    steps: int = 100
    eta: float = 0.0
    microbatch: int = 16

    def __post_init__(self) -> None:
        if self.steps < 1 or self.microbatch < 1:
            raise SamplerError(
                f"sampling needs at least one step and one picture at a time, not {self.steps} and "
                f"{self.microbatch}"
            )
        if not 0 <= self.eta <= 1:
            raise SamplerError(f"eta goes from 0 to 1, not {self.eta}")
