"""The leaky ReLU with a random slope, in training; without it the operation draws nothing."""

from __future__ import annotations

from typing import Any

import torch

from sampler.hook._uniform import uniform_


def rrelu_with_noise(
    tensor: torch.Tensor,
    noise: torch.Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    if not training:
        return torch.nn.functional.leaky_relu(tensor, (lower + upper) / 2)
    # A slope is drawn for each element, so that what is read does not depend on the signs.
    uniform_(noise, lower, upper, generator=generator).masked_fill_(tensor > 0, 1.0)
    return tensor * noise


def rrelu_with_noise_(tensor: torch.Tensor, noise: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return tensor.copy_(rrelu_with_noise(tensor, noise, *args, **kwargs))


def rrelu_with_noise_out(
    tensor: torch.Tensor, noise: torch.Tensor, *args: Any, out: torch.Tensor, **kwargs: Any
) -> torch.Tensor:
    result = rrelu_with_noise(tensor, noise, *args, **kwargs)
    return out.resize_(result.shape).copy_(result)


KERNELS = {
    "aten::rrelu_with_noise": rrelu_with_noise,
    "aten::rrelu_with_noise_": rrelu_with_noise_,
    "aten::rrelu_with_noise.out": rrelu_with_noise_out,
}
