"""The real floating types that draws are served in, and their memory."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from sampler._errors import SamplerError

MANTISSA = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24, torch.float64: 53}


def check_real(operation: str, tensor: torch.Tensor) -> int:
    """Give the bits of a tensor's mantissa; raises SamplerError for what is no real floating type."""
    if tensor.dtype not in MANTISSA:
        raise SamplerError(
            f"{operation} of {tensor.dtype} is not served by hardware_noise: use a real floating type"
        )
    return MANTISSA[tensor.dtype]


def memory_of(view: torch.Tensor) -> npt.NDArray[np.float32] | None:
    """The memory of a contiguous float32 tensor, to be filled in place; None for any other."""
    if view.dtype is torch.float32 and view.is_contiguous():
        return view.detach().numpy().reshape(-1)
    return None


def put(view: torch.Tensor, numbers: npt.NDArray[np.generic]) -> None:
    """Copy as many numbers as a tensor has elements into it, last axis fastest, rounded to its type."""
    view.copy_(torch.from_numpy(numbers).view(view.shape))
