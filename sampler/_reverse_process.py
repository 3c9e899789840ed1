"""The reverse process: from pure noise down a scheduler's timesteps."""

from collections.abc import Callable, Iterator
from typing import Any

import torch


def denoise(
    predict: Callable[[torch.Tensor, Any], torch.Tensor],
    scheduler: Any,
    shape: tuple[int, ...],
    options: dict[str, Any],
) -> Iterator[Any]:
    """The reverse process: from pure noise of `shape` down the scheduler's timesteps; yields each step's
    output.
    """
    x = torch.randn(shape) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        noise = predict(scheduler.scale_model_input(x, t), t)
        output = scheduler.step(noise, t, x, **options)
        x = output.prev_sample
        yield output
