"""Exponential, Cauchy, log-normal and geometric numbers, each a formula of uniform or normal ones."""

from __future__ import annotations

import torch

from sampler import _laws
from sampler._errors import SamplerError
from sampler.hook._dtypes import check_real, put
from sampler.hook._state import active
from sampler.sources import Stream


def exponential_(
    tensor: torch.Tensor, lambd: float = 1.0, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    wide = check_real("exponential_", tensor) == 53
    if not lambd > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={lambd}")

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        packed = stream.read((_laws.WIDE_BITS if wide else 32) * view.numel())
        put(view, _laws.exponentials(packed, wide=wide) / lambd)
        # 0 does not belong to the law, and a race (Gumbel's trick, multinomial) divides by these numbers.
        view.clamp_(min=torch.finfo(view.dtype).tiny)

    return active("exponential_").draw("exponential_", tensor, generator, fill)


def cauchy_(
    tensor: torch.Tensor,
    median: float = 0.0,
    sigma: float = 1.0,
    *,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    check_real("cauchy_", tensor)
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        put(view, _laws.cauchys(stream.read(2 * 32 * view.numel())) * sigma + median)

    return active("cauchy_").draw("cauchy_", tensor, generator, fill)


def log_normal_(
    tensor: torch.Tensor, mean: float = 1.0, std: float = 2.0, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    check_real("log_normal_", tensor)
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        put(view, _laws.log_normals(stream.read(32 * view.numel()), mean, std))

    return active("log_normal_").draw("log_normal_", tensor, generator, fill)


def geometric_(tensor: torch.Tensor, p: float, *, generator: torch.Generator | None = None) -> torch.Tensor:
    if tensor.dtype is torch.bool or tensor.dtype.is_complex:
        raise SamplerError(
            f"geometric_ of {tensor.dtype} is not served by hardware_noise: use a whole or real type"
        )
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    limits = torch.finfo(tensor.dtype) if tensor.is_floating_point() else torch.iinfo(tensor.dtype)

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        trials = _laws.geometrics(stream.read(_laws.WIDE_BITS * view.numel()), p)
        # The largest below 2⁶³ that a float64 holds, for int64.
        put(view, trials.clip(max=min(float(limits.max), 2.0**63 - 1024)))

    return active("geometric_").draw("geometric_", tensor, generator, fill)


KERNELS = {
    "aten::exponential_": exponential_,
    "aten::cauchy_": cauchy_,
    "aten::log_normal_": log_normal_,
    "aten::geometric_": geometric_,
}
