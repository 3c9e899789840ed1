"""The reverse process: from pure noise down a scheduler's timesteps."""

from collections.abc import Callable, Iterator
from typing import Any

import torch


def first_noise(scheduler: Any, shape: tuple[int, ...]) -> torch.Tensor:
    """Draw what the reverse process starts from: pure noise of `shape`, at the scheduler's first noise level."""
    # Schedulers of flow matching start at level 1 and do not say so.
    return torch.randn(shape) * getattr(scheduler, "init_noise_sigma", 1.0)


def denoise(
    predict: Callable[[torch.Tensor, Any], torch.Tensor],
    scheduler: Any,
    x: torch.Tensor,
    options: dict[str, Any],
) -> Iterator[Any]:
    """The reverse process: from the noise `x` down the scheduler's timesteps; yields each step's output."""
    scaled = hasattr(scheduler, "scale_model_input")
    for t in scheduler.timesteps:
        noise = predict(scheduler.scale_model_input(x, t) if scaled else x, t)
        output = scheduler.step(noise, t, x, **options)
        x = output.prev_sample
        yield output
