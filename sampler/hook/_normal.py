"""Normal numbers: `normal_` and `normal`, in which `randn` and its like end."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sampler import _noise_map
from sampler.hook._dtypes import check_real, memory_of, put
from sampler.hook._state import PaddingStream, active
from sampler.sources import LeaseSource, Stream

_LARGE = 1 << 16  # normals of a draw that is mapped while it is read


def normal_(
    tensor: torch.Tensor, mean: float = 0.0, std: float = 1.0, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    check_real("normal_", tensor)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")

    def fill(view: torch.Tensor, stream: Stream, _picture: int | None) -> None:
        _fill_standard_normal(view, stream)
        if std != 1:
            view.mul_(std)
        if mean != 0:
            view.add_(mean)

    return active("normal_").draw("normal_", tensor, generator, fill)


def _fill_standard_normal(view: torch.Tensor, stream: Stream) -> None:
    if isinstance(stream, PaddingStream):
        view.zero_()
        return
    memory = memory_of(view)
    z = np.empty(view.numel(), np.float32) if memory is None else memory
    _draw_normals(z, stream, active("normal_").bits_per_normal)
    if memory is None:
        put(view, z)


def _draw_normals(out: npt.NDArray[np.float32], stream: Stream, width: int) -> None:
    bits, threads = _noise_map.normal_bits(out.size, width), torch.get_num_threads()
    if width == 32 and out.size >= _LARGE and isinstance(stream, LeaseSource):
        _noise_map.normals_of_parts(stream.read_parts(bits), out, threads=threads)
    else:
        _noise_map.normals(stream.read(bits), out, width=width, count=out.size, threads=threads)


def normal_of_tensors(mean: Any, std: Any, *, generator: torch.Generator | None = None) -> torch.Tensor:
    tensors = [x for x in (mean, std) if isinstance(x, torch.Tensor)]
    shape = torch.broadcast_shapes(*(x.shape for x in tensors))
    out = torch.empty(shape, dtype=tensors[0].dtype, device=tensors[0].device)
    return normal_of_tensors_out(mean, std, generator=generator, out=out)


def normal_of_tensors_out(
    mean: Any, std: Any, *, generator: torch.Generator | None = None, out: torch.Tensor
) -> torch.Tensor:
    shape = torch.broadcast_shapes(*(x.shape for x in (mean, std) if isinstance(x, torch.Tensor)))
    if out.shape != shape:
        out.resize_(shape)
    if not (bool((std >= 0).all()) if isinstance(std, torch.Tensor) else std >= 0):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    # Where `out` is one of the two, the draw would overwrite what it needs.
    mean, std = (x.clone() if x is out else x for x in (mean, std))
    return normal_(out, generator=generator).mul_(std).add_(mean)


KERNELS = {
    "aten::normal_": normal_,
    "aten::normal.Tensor_Tensor": normal_of_tensors,
    "aten::normal.Tensor_float": lambda mean, std=1.0, **k: normal_of_tensors(mean, std, **k),
    "aten::normal.float_Tensor": normal_of_tensors,
    "aten::normal.Tensor_Tensor_out": normal_of_tensors_out,
    "aten::normal.Tensor_float_out": lambda mean, std=1.0, **k: normal_of_tensors_out(mean, std, **k),
    "aten::normal.float_Tensor_out": normal_of_tensors_out,
}
