"""The `noise_sampler` argument of k-diffusion's samplers, over a source of bits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from entropy.arguments import ANY, takes
from sampler import _noise_map
from sampler._errors import SamplerError
from sampler.sources import Stream, streams_of

_TYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@takes(bits_per_normal=ANY)
def noise_sampler(
    source: Stream, like: torch.Tensor, pictures: bool = False, bits_per_normal: int = 32
) -> Callable[[Any, Any], torch.Tensor]:
    """Make a callable of (sigma, sigma_next) that gives standard normal noise of the source, fresh at each call.

    The noise has the shape, dtype (real floating) and device of `like`, and is what `torch.randn_like` gives inside
    `hardware_noise`. With `pictures`, the leading axis of `like` is the pictures, and each draws from a stream of
    its own (`source.streams`). `bits_per_normal` is a width of the noise map. The two noise levels are not used:
    the noise of two steps is independent, as with k-diffusion's default.

    Raises SamplerError for another dtype or width; the callable does where the source has too few bits.
    """
    _noise_map.check_normal_width(bits_per_normal)
    if like.dtype not in _TYPES:
        raise SamplerError(f"noise of {like.dtype} is not served: give a tensor of a real floating type")
    if pictures and like.ndim == 0:
        raise SamplerError("pictures=True takes the first axis of the tensor for the pictures: it has none")
    shape, dtype, device = like.shape, like.dtype, like.device
    streams = streams_of(source, shape[0]) if pictures else [source]
    each = shape[1:] if pictures else shape

    def draw(_sigma: Any, _sigma_next: Any) -> torch.Tensor:
        count = each.numel()
        noise = [
            _noise_map.normals(
                stream.read(_noise_map.normal_bits(count, bits_per_normal)),
                width=bits_per_normal,
                count=count,
            )
            for stream in streams
        ]
        parts = [torch.from_numpy(z).view(each) for z in noise]
        return (torch.stack(parts) if pictures else parts[0]).to(device, dtype)

    return draw
