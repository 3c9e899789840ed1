"""Whole numbers: `random_`, in which `randint` ends, and permutations."""

from __future__ import annotations

import numpy as np
import torch

from sampler import _noise_map
from sampler._errors import SamplerError
from sampler.hook._dtypes import MANTISSA, put
from sampler.hook._state import active
from sampler.sources import Stream


def random_(tensor: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
    return random_from(tensor, 0, None, generator=generator)


def random_to(tensor: torch.Tensor, to: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
    return random_from(tensor, 0, to, generator=generator)


def random_from(
    tensor: torch.Tensor, low: int, high: int | None, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    end = _largest(tensor.dtype) + 1 if high is None else high
    if low >= end:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={end}")
    _check_bounds(tensor.dtype, low, end - 1)

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        drawn = _noise_map.integers(stream.read, view.numel(), end - low)
        # Modulo 2⁶⁴, adding a negative start is adding its two's complement.
        put(view, (drawn + np.uint64(low % 2**64)).view(np.int64))

    return active("random_").draw("random_", tensor, generator, fill)


def _largest(dtype: torch.dtype) -> int:
    if dtype is torch.bool:
        return 1
    if dtype.is_floating_point:
        return 2 ** MANTISSA.get(dtype, 1)
    return torch.iinfo(_whole(dtype)).max


def _check_bounds(dtype: torch.dtype, low: int, last: int) -> None:
    """Refuse numbers that the type does not hold one by one, which conversion would change."""
    if dtype in MANTISSA:
        bounds = (-(2 ** MANTISSA[dtype]), 2 ** MANTISSA[dtype])
    elif dtype is torch.bool:
        bounds = (0, 1)
    else:
        bounds = (torch.iinfo(_whole(dtype)).min, torch.iinfo(dtype).max)
    for name, value in (("from", low), ("to - 1", last)):
        if not bounds[0] <= value <= bounds[1]:
            raise RuntimeError(f"{name} is out of bounds for {dtype}, which holds {bounds[0]} to {bounds[1]}")


def _whole(dtype: torch.dtype) -> torch.dtype:
    if dtype.is_complex or dtype.is_floating_point:
        raise SamplerError(f"random_ of {dtype} is not served by hardware_noise: use a whole or real type")
    return dtype


def randperm_out(n: int, *, generator: torch.Generator | None = None, out: torch.Tensor) -> torch.Tensor:
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    if n:
        _check_bounds(out.dtype, 0, n - 1)
    out.resize_(n)

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        put(view, _noise_map.permutation(stream.read, n))

    return active("randperm").draw("randperm", out, generator, fill, divisible=False)


KERNELS = {
    "aten::random_": random_,
    "aten::random_.to": random_to,
    "aten::random_.from": random_from,
    "aten::randperm.generator_out": randperm_out,
}
