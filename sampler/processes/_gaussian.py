"""The Gaussian process: forward, the noise that a network is trained on; reverse, from noise to pictures.

Each draw is of a law whose parameters were computed before: `forward_law` and `first_law` give a `NormalLaw`, `draw`
draws it. The random steps of the reverse process are diffusers' own, which draw by torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from entropy.arguments import Count, Each, takes

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

TIMESTEPS = 1000


@dataclass(frozen=True)
class NormalLaw:
    """Independent normal numbers of `shape`: mean and standard deviation, each of that shape or broadcast to it."""

    shape: tuple[int, ...]
    mean: torch.Tensor | float
    deviation: torch.Tensor | float


def draw(law: NormalLaw) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw the law's numbers, float32; gives them, and the standard normal numbers that they are made of."""
    noise = torch.randn(law.shape)
    return law.mean + law.deviation * noise, noise


def training_scheduler() -> DDPMScheduler:
    """The forward process that the network is trained for: 1,000 steps, linear β from 1e-4 to 0.02."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    return DDPMScheduler(
        num_train_timesteps=TIMESTEPS, beta_start=1e-4, beta_end=0.02, beta_schedule="linear"
    )


def forward_law(scheduler: DDPMScheduler, clean: torch.Tensor, timesteps: torch.Tensor) -> NormalLaw:
    """The law of x_t given x_0, `clean` (pictures, channels, height, width): Ho et al. 2020, equation 4."""
    kept = scheduler.alphas_cumprod[timesteps].view(-1, *[1] * (clean.ndim - 1))
    return NormalLaw(tuple(clean.shape), kept**0.5 * clean, (1 - kept) ** 0.5)


@takes(shape=Each(Count()))
def first_law(scheduler: Any, shape: tuple[int, ...]) -> NormalLaw:
    """The law that the reverse process starts from: pure noise at the scheduler's first noise level."""
    # Schedulers of flow matching start at level 1 and do not say so.
    return NormalLaw(shape, 0.0, getattr(scheduler, "init_noise_sigma", 1.0))


def denoise(
    predict: Callable[[torch.Tensor, Any], torch.Tensor],
    scheduler: Any,
    x: torch.Tensor,
    options: dict[str, Any],
) -> Iterator[tuple[torch.Tensor, Any]]:
    """The reverse process: from the noise `x` down the scheduler's timesteps.

    Yields after each step what the network saw, and the scheduler's output.
    """
    scaled = hasattr(scheduler, "scale_model_input")
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t) if scaled else x
        output = scheduler.step(predict(seen, t), t, x, **options)
        x = output.prev_sample
        yield seen, output
