"""Uniform numbers: `uniform_`, in which `rand` and its like end."""

from __future__ import annotations

import torch

from sampler import _noise_map
from sampler.hook._dtypes import check_real, put
from sampler.hook._state import active
from sampler.sources import Stream


def uniform_(
    tensor: torch.Tensor, low: float = 0.0, high: float = 1.0, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    mantissa = check_real("uniform_", tensor)
    if not low <= high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}")
    largest = torch.finfo(tensor.dtype).max
    if max(-low, high, high - low) > largest:
        raise RuntimeError(f"uniform_ expects a range within {tensor.dtype}, but found {low} to {high}")

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        packed = stream.read(_noise_map.uniform_bits(mantissa) * view.numel())
        put(view, _noise_map.uniforms(packed, mantissa))
        if (low, high) != (0, 1):
            view.mul_(high - low).add_(low)
            # Rounding may reach the open end, which is not in the range: those few get the start.
            view.masked_fill_(view >= high, low)

    return active("uniform_").draw("uniform_", tensor, generator, fill)


KERNELS = {"aten::uniform_": uniform_}
