"""Bernoulli numbers: `bernoulli_` and `bernoulli`, and dropout where a device has a kernel of its own for it."""

from __future__ import annotations

import numpy as np
import torch

from sampler import _noise_map
from sampler.hook._dtypes import put
from sampler.hook._state import active
from sampler.sources import Stream


def bernoulli_(
    tensor: torch.Tensor, p: float = 0.5, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        u = _noise_map.uniforms(stream.read(32 * view.numel()), 24)
        put(view, u.astype(np.float64) < p)

    return active("bernoulli_").draw("bernoulli_", tensor, generator, fill)


def bernoulli_of_tensor_(
    tensor: torch.Tensor, p: torch.Tensor, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    if not p.is_floating_point():
        raise NotImplementedError(f"bernoulli expects probabilities of a floating type, but got {p.dtype}")
    if not bool(((p >= 0) & (p <= 1)).all()):
        raise RuntimeError("bernoulli_ expects all elements of p to be in [0, 1]")
    # A copy: `tensor` may be p itself.
    threshold = p.detach().to("cpu", torch.float64, copy=True).expand(tensor.shape)

    def fill(view: torch.Tensor, stream: Stream, picture: int | None) -> None:
        u = torch.from_numpy(_noise_map.uniforms(stream.read(32 * view.numel()), 24)).view(view.shape)
        view.copy_(u.double() < (threshold if picture is None else threshold[picture]))

    return active("bernoulli_").draw("bernoulli_", tensor, generator, fill)


def bernoulli_out(
    p: torch.Tensor, *, generator: torch.Generator | None = None, out: torch.Tensor
) -> torch.Tensor:
    if out.shape != p.shape:
        out.resize_(p.shape)
    return bernoulli_of_tensor_(out, p, generator=generator)


def native_dropout(
    tensor: torch.Tensor, p: float, train: bool | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give `tensor` with each element kept with probability 1 − p and divided by it, and the mask."""
    if train is False or tensor.numel() == 0:
        return tensor.clone(), torch.ones_like(tensor, dtype=torch.bool)
    return _kept(tensor, 1.0 - p, None)


def fused_dropout(
    tensor: torch.Tensor, keep: float, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same, told the probability of keeping, with a mask of bytes."""
    dropped, mask = _kept(tensor, keep, generator)
    return dropped, mask.to(torch.uint8)


def _kept(
    tensor: torch.Tensor, keep: float, generator: torch.Generator | None
) -> tuple[torch.Tensor, torch.Tensor]:
    # As torch's processor kernel does it, in the tensor's own type.
    mask = bernoulli_(torch.empty_like(tensor), keep, generator=generator)
    scale = 0.0 if keep == 0 else 1.0 / keep
    return tensor * mask * scale, mask.to(torch.bool)


KERNELS = {
    "aten::bernoulli_.float": bernoulli_,
    "aten::bernoulli_.Tensor": bernoulli_of_tensor_,
    "aten::bernoulli.out": bernoulli_out,
}
# The processor's own end in bernoulli_.
DROPOUT_KERNELS = {"aten::native_dropout": native_dropout, "aten::_fused_dropout": fused_dropout}
