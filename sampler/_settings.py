"""How to sample."""

from __future__ import annotations

from dataclasses import dataclass

from sampler._errors import SamplerError
from sampler._noise_map import check_normal_width


@dataclass(frozen=True)
class SampleSettings:
    """Scheduler by name, its steps, DDIM's η (0 draws only the first noise, 1 one at every step), pictures at
    a time, and the bits that a normal number is made of (32, or a narrower width of the noise map).

    The microbatch is part of a picture's identity: the network's arithmetic differs in the last bit between
    sizes.
    """

    scheduler: str = "ddpm"
    steps: int = 100
    eta: float = 0.0
    microbatch: int = 16
    bits_per_normal: int = 32

    def __post_init__(self) -> None:
        if self.steps < 1 or self.microbatch < 1:
            raise SamplerError(
                f"sampling needs at least one step and one picture at a time, not {self.steps} and "
                f"{self.microbatch}"
            )
        check_normal_width(self.bits_per_normal)
        if not 0 <= self.eta <= 1:
            raise SamplerError(f"eta goes from 0 to 1, not {self.eta}")
