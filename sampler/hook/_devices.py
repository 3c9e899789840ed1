"""Devices: noise is made in the processor's memory and copied, so that it is the same numbers everywhere."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sampler._errors import SamplerError

# The processor, the devices that are served where they are present, and the others, which are refused.
SERVED_BACKENDS = ("CPU", "CUDA", "MPS", "XPU")
BACKENDS = (
    *SERVED_BACKENDS,
    *("HIP", "HPU", "IPU", "Lazy", "MAIA", "MTIA", "VE", "XLA", "PrivateUse1", "PrivateUse2", "PrivateUse3"),
)


def present_backends() -> tuple[str, ...]:
    """Give the served backends that this computer can run, the processor first."""
    there = {
        "CPU": True,
        "CUDA": torch.cuda.is_available(),
        "MPS": torch.backends.mps.is_available(),
        "XPU": torch.xpu.is_available(),
    }
    return tuple(backend for backend in SERVED_BACKENDS if there[backend])


def absent(key: str) -> bool:
    """Whether a dispatch key belongs to a served backend that this computer lacks."""
    missing = set(SERVED_BACKENDS) - set(present_backends())
    return any(key.endswith(backend) for backend in missing)


def fill_through_processor(tensor: torch.Tensor, fill: Callable[[torch.Tensor], None]) -> None:
    """Fill a tensor of the processor in place, and one of another device by way of the processor."""
    if tensor.device.type == "cpu":
        fill(tensor)
    else:
        fill_elsewhere(tensor, fill)


def fill_elsewhere(tensor: torch.Tensor, fill: Callable[[torch.Tensor], None]) -> None:
    """Fill a contiguous tensor of the processor, of the same shape and dtype, and copy it into `tensor`.

    Raises SamplerError while a CUDA graph is recorded: each replay would copy the same noise again.
    """
    if tensor.is_cuda and torch.cuda.is_current_stream_capturing():
        raise SamplerError(
            "a random operation was recorded into a CUDA graph inside hardware_noise: each replay would use "
            "the same noise again; draw it outside the graph"
        )
    staging = torch.empty(tensor.shape, dtype=tensor.dtype, device="cpu")
    fill(staging)
    tensor.copy_(staging)
