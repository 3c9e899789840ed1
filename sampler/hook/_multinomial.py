"""Categories: `multinomial` with and without putting back."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from sampler import _laws
from sampler.hook._dtypes import put
from sampler.hook._state import active
from sampler.sources import Stream


def multinomial(
    weights: torch.Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    out = torch.empty(0, dtype=torch.int64, device=weights.device)
    return multinomial_out(weights, num_samples, replacement, generator=generator, out=out)


def multinomial_out(
    weights: torch.Tensor,
    num_samples: int,
    replacement: bool = False,
    *,
    generator: torch.Generator | None = None,
    out: torch.Tensor,
) -> torch.Tensor:
    _check(weights, num_samples, replacement, out)
    rows = weights.detach().to("cpu", torch.float64)
    _check_weights(rows, num_samples, replacement)
    out.resize_((*weights.shape[:-1], num_samples))

    def fill(view: torch.Tensor, stream: Stream, picture: int | None) -> None:
        mine = rows.reshape(-1, rows.shape[-1]) if picture is None else rows[picture, None]
        put(view, _draw(stream, mine.numpy(), num_samples, replacement))

    # One row of weights is one experiment: its samples do not belong to pictures.
    return active("multinomial").draw("multinomial", out, generator, fill, divisible=weights.ndim == 2)


def _draw(
    stream: Stream, weights: npt.NDArray[np.float64], count: int, replacement: bool
) -> npt.NDArray[np.int64]:
    if replacement or count == 1:
        return _laws.choices(stream.read(_laws.WIDE_BITS * count * len(weights)), weights)
    return _laws.distinct_choices(stream.read(_laws.WIDE_BITS * weights.size), weights, count)


def _check(weights: torch.Tensor, num_samples: int, replacement: bool, out: torch.Tensor) -> None:
    if not weights.is_floating_point():
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {weights.dtype}")
    if out.dtype is not torch.int64:
        raise RuntimeError(f"multinomial expects Long tensor out, got: {out.dtype}")
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if num_samples <= 0:
        raise RuntimeError("cannot sample n_sample <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError("cannot sample n_sample > prob_dist.size(-1) samples without replacement")


def _check_weights(rows: torch.Tensor, num_samples: int, replacement: bool) -> None:
    if not bool((torch.isfinite(rows) & (rows >= 0)).all()):
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if bool((rows.sum(-1) <= 0).any()):
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement and bool(((rows > 0).sum(-1) < num_samples).any()):
        raise RuntimeError(
            "invalid multinomial distribution (with replacement=False, not enough non-negative category to "
            "sample)"
        )


KERNELS = {"aten::multinomial": multinomial, "aten::multinomial.out": multinomial_out}
