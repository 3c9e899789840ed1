"""`hardware_noise`: unmodified torch code draws its random numbers from a source of bits.

The kernels of torch's random operations on the processor are replaced while the context lasts, which costs
the other operations nothing. An operation that draws random numbers and is not served raises; nothing falls
back to torch's generator. The hook holds for the whole process: it is the one piece of global state in this
package.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from sampler import _noise_map
from sampler._errors import SamplerError
from sampler._sources import LeaseSource, Source

# Tagged as random by torch, but drawing nothing on the processor: the choice of an attention kernel, and the
# one that refuses dropout.
_HARMLESS = {"aten::_fused_sdp_choice", "aten::_scaled_dot_product_flash_attention_for_cpu"}
# Its processor kernel draws through bernoulli_, which is served.
_ENDS_IN_SERVED = {"aten::native_dropout"}

_SAME = slice(None)
_LARGE = 1 << 16  # normals of a draw that is mapped while it is read
_MANTISSA = {torch.float16: 11, torch.bfloat16: 8, torch.float32: 24, torch.float64: 53}

Pick = Callable[[torch.Tensor], torch.Tensor]
Fill = Callable[[torch.Tensor, Source, Pick], None]


class PaddingStream:
    """Stands for a picture that only fills up a microbatch: its normal noise is 0 and reads no bits."""

    name = "padding"

    def read(self, bits: int) -> Any:
        """Refuse: padding has no bits."""
        raise SamplerError("a padding picture has no bits: only normal noise can be drawn for it")

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Refuse: padding is one picture."""
        raise SamplerError("a padding picture has no bits to divide")

    def provenance(self) -> dict[str, Any]:
        """Say that it is padding."""
        return {"source": self.name}


class HardwareNoise:
    """The hook while it is on: how much it drew, and generators bound to pictures."""

    def __init__(
        self, source: Source | None, streams: list[Source] | None, bits_per_normal: int = 32
    ) -> None:
        self.bits_per_normal = _noise_map.check_normal_width(bits_per_normal)
        self._source, self._streams = source, streams
        self._bound: dict[int, tuple[torch.Generator, int]] = {}
        self._process, self._thread = os.getpid(), threading.get_ident()
        self.draws = 0
        self.cpu_seconds = 0.0

    @property
    def pictures(self) -> int | None:
        """How many pictures have a stream of their own; None where all draws share one stream."""
        return None if self._streams is None else len(self._streams)

    @property
    def streams(self) -> list[Source]:
        """The pictures' streams, or the one source."""
        if self._streams is not None:
            return list(self._streams)
        return [] if self._source is None else [self._source]

    def picture_generator(self, picture: int) -> torch.Generator:
        """Give a generator for `generator=` whose draws, of any shape, come from that picture's stream."""
        if self._streams is None:
            raise SamplerError("hardware_noise without pictures= has no pictures to bind a generator to")
        if not 0 <= picture < len(self._streams):
            raise SamplerError(
                f"picture {picture} is none of the {len(self._streams)} pictures of hardware_noise"
            )
        generator = torch.Generator()
        self._bound[_address(generator)] = (generator, picture)
        return generator

    def draw(
        self, operation: str, tensor: torch.Tensor, generator: torch.Generator | None, fill: Fill
    ) -> torch.Tensor:
        """Fill `tensor` from the stream or streams that are its own."""
        start = time.thread_time()
        self._check(operation)
        if tensor.numel():
            self.draws += 1
            stream = self._one_stream(generator)
            if stream is not None:
                fill(tensor, stream, _itself)
            else:
                self._draw_pictures(operation, tensor, fill)
        self.cpu_seconds += time.thread_time() - start
        return tensor

    def _draw_pictures(self, operation: str, tensor: torch.Tensor, fill: Fill) -> None:
        streams = self._streams or []
        if tensor.ndim == 0 or tensor.shape[0] != len(streams):
            raise SamplerError(
                f"{operation} draws a tensor of shape {tuple(tensor.shape)} inside hardware_noise(pictures="
                f"{len(streams)}): its leading axis is not the pictures, so nobody knows whose bits it "
                f"should get; "
                "pass generator=picture_generator(b)"
            )
        for b, stream in enumerate(streams):
            fill(tensor[b], stream, _Slice(b, tensor.shape))

    def one_stream(self, operation: str, generator: torch.Generator | None) -> Source:
        """The stream of a draw that cannot be divided among pictures."""
        self._check(operation)
        stream = self._one_stream(generator)
        if stream is None:
            raise SamplerError(
                f"{operation} cannot be divided among the {self.pictures} pictures of hardware_noise: pass "
                "generator=picture_generator(b)"
            )
        return stream

    def _one_stream(self, generator: torch.Generator | None) -> Source | None:
        if self._streams is None:
            return self._source
        # torch hands a kernel another Python object for the same generator: its address is what stays.
        bound = None if generator is None else self._bound.get(_address(generator))
        return None if bound is None else self._streams[bound[1]]

    def _check(self, operation: str) -> None:
        if os.getpid() != self._process:
            raise SamplerError(
                f"{operation} was called in a forked child of the process that holds hardware_noise: both "
                f"would draw "
                "the same bits; start the child by spawn and give it a source of its own"
            )
        if threading.get_ident() != self._thread:
            raise SamplerError(
                f"{operation} was called in another thread than the one that holds hardware_noise: the "
                f"order of its "
                "draws would be chance; draw in one thread"
            )
        if torch._C._current_graph_task_id() != -1:
            raise SamplerError(
                f"{operation} was called in a backward pass, as activation checkpointing does: the noise "
                f"would be "
                "drawn twice and the gradients be wrong; switch checkpointing off"
            )


class _Slice:
    """Picks picture b's part of a tensor that was broadcast to the shape of the draw."""

    def __init__(self, picture: int, shape: torch.Size) -> None:
        self._picture, self._shape = picture, shape

    def __call__(self, other: torch.Tensor) -> torch.Tensor:
        return other.expand(self._shape)[self._picture]


def _address(generator: torch.Generator) -> int:
    return generator._cdata  # pyright: ignore[reportAttributeAccessIssue]


def _itself(tensor: torch.Tensor) -> torch.Tensor:
    return tensor


_lock = threading.Lock()
_active: HardwareNoise | None = None


@contextlib.contextmanager
def hardware_noise(
    source: Source, pictures: int | None = None, *, bits_per_normal: int = 32
) -> Iterator[HardwareNoise]:
    """Make torch draw all random numbers on the processor from `source`, in this thread, until the context
    ends.

    Without `pictures`, draws are served in call order from one stream and `generator=` is accepted and
    ignored. With `pictures=N`, a tensor whose leading axis is N is filled slice by slice, picture b's from
    stream b; a draw of any other shape needs a generator from `picture_generator(b)`. `bits_per_normal` is 32, or
    one of the narrower widths of the noise map. Compiled code runs
    eagerly meanwhile. torch's own generators are neither read nor moved. Yields the hook (draws, cpu_seconds,
    picture_generator).

    Raises SamplerError when a second hook is opened in the process; inside, for every random operation that
    is not served, for activation checkpointing, for draws in a forked child, another thread or a backward
    pass, and where the source has no more bits.
    """
    with _installed(
        lambda: HardwareNoise(
            source, None if pictures is None else source.pictures(pictures), bits_per_normal
        )
    ) as hook:
        yield hook


@contextlib.contextmanager
def streams_noise(streams: list[Source], bits_per_normal: int = 32) -> Iterator[HardwareNoise]:
    """The same hook over streams that exist already, one a picture."""
    with _installed(lambda: HardwareNoise(None, streams, bits_per_normal)) as hook:
        yield hook


def picture_generator(picture: int) -> torch.Generator:
    """Give a generator bound to one picture of the `hardware_noise` that is on; raises SamplerError without
    one.
    """
    if _active is None:
        raise SamplerError("picture_generator needs a hardware_noise(source, pictures=N) around it")
    return _active.picture_generator(picture)


@contextlib.contextmanager
def _installed(make: Callable[[], HardwareNoise]) -> Iterator[HardwareNoise]:
    global _active
    if not _lock.acquire(blocking=False):
        raise SamplerError("hardware_noise is on already: it holds for the whole process, one at a time")
    try:
        _active = make()
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            stack.enter_context(_checkpointing_refused())
            library = torch.library.Library("aten", "IMPL")
            stack.callback(library._destroy)
            _replace_kernels(library)
            yield _active
    finally:
        _active = None
        _lock.release()


def _replace_kernels(library: torch.library.Library) -> None:
    with warnings.catch_warnings():
        # torch says once a process that kernels are replaced; that is what was asked for.
        warnings.filterwarnings("ignore", message="Warning only once for all operators", category=UserWarning)
        for name, key in _random_kernels():
            if key == "CPU" and (name in _HARMLESS or name in _ENDS_IN_SERVED):
                continue
            kernel = _SERVED.get(name) if key == "CPU" else None
            library.impl(name.removeprefix("aten::"), kernel or _refusal(name, key), key, allow_override=True)


@cache
def _random_kernels() -> list[tuple[str, str]]:
    """All operations that torch tags as random, with the devices that they have a kernel of their own for."""
    found = []
    for name in torch._C._dispatch_get_all_op_names():
        packet, _, overload = name.removeprefix("aten::").partition(".")
        if not name.startswith("aten::") or not hasattr(torch.ops.aten, packet):
            continue
        operation = getattr(getattr(torch.ops.aten, packet), overload or "default", None)
        if operation is None or torch.Tag.nondeterministic_seeded not in operation.tags:
            continue
        for key in ("CPU", "CUDA", "MPS", "XPU"):
            if torch._C._dispatch_has_kernel_for_dispatch_key(name, key):
                found.append((name, key))
    return found


def _refusal(name: str, key: str) -> Callable[..., Any]:
    where = "" if key == "CPU" else f" on {key}"

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise SamplerError(
            f"{name}{where} draws random numbers that hardware_noise does not serve: draw them from normal, "
            f"uniform, "
            "bernoulli or integer numbers, or leave hardware_noise first"
        )

    return refuse


@contextlib.contextmanager
def _checkpointing_refused() -> Iterator[None]:
    from torch.utils import checkpoint

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise SamplerError(
            "activation checkpointing inside hardware_noise would draw its noise twice and give wrong "
            "gradients: "
            "switch checkpointing off"
        )

    plain, reentrant = (
        checkpoint._checkpoint_without_reentrant_generator,
        checkpoint.CheckpointFunction.forward,
    )
    checkpoint._checkpoint_without_reentrant_generator = refuse
    checkpoint.CheckpointFunction.forward = staticmethod(refuse)
    try:
        yield
    finally:
        checkpoint._checkpoint_without_reentrant_generator = plain
        checkpoint.CheckpointFunction.forward = staticmethod(reentrant)


def _hook() -> HardwareNoise:
    if _active is None:
        raise SamplerError("hardware_noise was left while one of its kernels was still in use")
    return _active


def _mantissa(operation: str, tensor: torch.Tensor) -> int:
    if tensor.dtype not in _MANTISSA:
        raise SamplerError(
            f"{operation} of {tensor.dtype} is not served by hardware_noise: use a real floating type"
        )
    return _MANTISSA[tensor.dtype]


def _floats(view: torch.Tensor) -> npt.NDArray[np.float32] | None:
    """The memory of a contiguous float32 tensor, to be filled in place."""
    if view.dtype is torch.float32 and view.is_contiguous():
        return view.detach().numpy().reshape(-1)
    return None


def _fill_standard_normal(view: torch.Tensor, stream: Source) -> None:
    if isinstance(stream, PaddingStream):
        view.zero_()
        return
    memory = _floats(view)
    z = np.empty(view.numel(), np.float32) if memory is None else memory
    _draw_normals(z, stream, _hook().bits_per_normal)
    if memory is None:
        view.copy_(torch.from_numpy(z).view(view.shape))


def _draw_normals(out: npt.NDArray[np.float32], stream: Source, width: int) -> None:
    bits, threads = _noise_map.normal_bits(out.size, width), torch.get_num_threads()
    if width == 32 and out.size >= _LARGE and isinstance(stream, LeaseSource):
        _noise_map.normals_of_parts(stream.read_parts(bits), out, threads=threads)
    else:
        _noise_map.normals(stream.read(bits), out, width=width, count=out.size, threads=threads)


def _normal_(
    tensor: torch.Tensor, mean: float = 0.0, std: float = 1.0, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    _mantissa("normal_", tensor)
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")

    def fill(view: torch.Tensor, stream: Source, _pick: Pick) -> None:
        _fill_standard_normal(view, stream)
        if std != 1:
            view.mul_(std)
        if mean != 0:
            view.add_(mean)

    return _hook().draw("normal_", tensor, generator, fill)


def _normal_tensors(mean: Any, std: Any, *, generator: torch.Generator | None = None) -> torch.Tensor:
    tensors = [x for x in (mean, std) if isinstance(x, torch.Tensor)]
    shape = torch.broadcast_shapes(*(x.shape for x in tensors))
    out = torch.empty(shape, dtype=tensors[0].dtype, device=tensors[0].device)
    return _normal_tensors_out(mean, std, generator=generator, out=out)


def _normal_tensors_out(
    mean: Any, std: Any, *, generator: torch.Generator | None = None, out: torch.Tensor
) -> torch.Tensor:
    shape = torch.broadcast_shapes(*(x.shape for x in (mean, std) if isinstance(x, torch.Tensor)))
    if out.shape != shape:
        out.resize_(shape)
    if bool((torch.as_tensor(std) < 0).any()):
        raise RuntimeError("normal expects all elements of std >= 0.0")
    return _normal_(out, generator=generator).mul_(std).add_(mean)


def _uniform_(
    tensor: torch.Tensor, low: float = 0.0, high: float = 1.0, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    mantissa = _mantissa("uniform_", tensor)
    if not low <= high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}")

    def fill(view: torch.Tensor, stream: Source, _pick: Pick) -> None:
        packed = stream.read(_noise_map.uniform_bits(mantissa) * view.numel())
        view.copy_(torch.from_numpy(_noise_map.uniforms(packed, mantissa)).view(view.shape))
        if (low, high) != (0, 1):
            view.mul_(high - low).add_(low)
            # Rounding may reach the open end, which is not in the range: the few numbers that do get the
            # start.
            view.masked_fill_(view >= high, low)

    return _hook().draw("uniform_", tensor, generator, fill)


def _bernoulli_float(
    tensor: torch.Tensor, p: float = 0.5, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    if not 0 <= p <= 1:
        raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")

    def fill(view: torch.Tensor, stream: Source, _pick: Pick) -> None:
        u = _noise_map.uniforms(stream.read(32 * view.numel()), 24)
        view.copy_(torch.from_numpy(u.astype(np.float64) < p).view(view.shape))

    return _hook().draw("bernoulli_", tensor, generator, fill)


def _bernoulli_tensor(
    tensor: torch.Tensor, p: torch.Tensor, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    if bool(((p < 0) | (p > 1)).any()):
        raise RuntimeError("bernoulli_ expects all elements of p to be in [0, 1]")

    def fill(view: torch.Tensor, stream: Source, pick: Pick) -> None:
        u = torch.from_numpy(_noise_map.uniforms(stream.read(32 * view.numel()), 24)).view(view.shape)
        view.copy_(u.double() < pick(p).double())

    return _hook().draw("bernoulli_", tensor, generator, fill)


def _bernoulli_out(
    p: torch.Tensor, *, generator: torch.Generator | None = None, out: torch.Tensor
) -> torch.Tensor:
    return _bernoulli_tensor(out.resize_(p.shape), p, generator=generator)


def _random_(tensor: torch.Tensor, *, generator: torch.Generator | None = None) -> torch.Tensor:
    return _random_from(tensor, 0, None, generator=generator)


def _random_to(tensor: torch.Tensor, to: int, *, generator: torch.Generator | None = None) -> torch.Tensor:
    return _random_from(tensor, 0, to, generator=generator)


def _random_from(
    tensor: torch.Tensor, low: int, high: int | None, *, generator: torch.Generator | None = None
) -> torch.Tensor:
    end = _largest(tensor.dtype) + 1 if high is None else high
    if low >= end:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={end}")

    def fill(view: torch.Tensor, stream: Source, _pick: Pick) -> None:
        drawn = _noise_map.integers(stream.read, view.numel(), end - low)
        # Modulo 2⁶⁴, adding a negative start is adding its two's complement.
        shifted = (drawn + np.uint64(low % 2**64)).view(np.int64)
        view.copy_(torch.from_numpy(shifted).view(view.shape))

    return _hook().draw("random_", tensor, generator, fill)


def _largest(dtype: torch.dtype) -> int:
    if dtype is torch.bool:
        return 1
    if dtype.is_floating_point:
        return 2 ** _MANTISSA[dtype]
    return torch.iinfo(dtype).max


def _randperm_out(n: int, *, generator: torch.Generator | None = None, out: torch.Tensor) -> torch.Tensor:
    if n < 0:
        raise RuntimeError(f"n must be non-negative, got {n}")
    hook, start = _hook(), time.thread_time()
    stream = hook.one_stream("randperm", generator)
    order = _noise_map.permutation(stream.read, n)
    out.resize_(n).copy_(torch.from_numpy(order))
    hook.draws += 1
    hook.cpu_seconds += time.thread_time() - start
    return out


def _rrelu(
    tensor: torch.Tensor,
    noise: torch.Tensor,
    lower: float = 0.125,
    upper: float = 1 / 3,
    training: bool = False,
    generator: torch.Generator | None = None,
) -> torch.Tensor:
    if training:
        return _refusal("aten::rrelu_with_noise", "CPU")()
    return torch.nn.functional.leaky_relu(tensor, (lower + upper) / 2)


def _rrelu_(tensor: torch.Tensor, noise: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    return tensor.copy_(_rrelu(tensor, noise, *args, **kwargs))


_SERVED: dict[str, Callable[..., Any]] = {
    "aten::normal_": _normal_,
    "aten::normal.Tensor_Tensor": _normal_tensors,
    "aten::normal.Tensor_float": lambda mean, std=1.0, **k: _normal_tensors(mean, std, **k),
    "aten::normal.float_Tensor": _normal_tensors,
    "aten::normal.Tensor_Tensor_out": _normal_tensors_out,
    "aten::normal.Tensor_float_out": lambda mean, std=1.0, **k: _normal_tensors_out(mean, std, **k),
    "aten::normal.float_Tensor_out": _normal_tensors_out,
    "aten::uniform_": _uniform_,
    "aten::bernoulli_.float": _bernoulli_float,
    "aten::bernoulli_.Tensor": _bernoulli_tensor,
    "aten::bernoulli.out": _bernoulli_out,
    "aten::random_": _random_,
    "aten::random_.to": _random_to,
    "aten::random_.from": _random_from,
    "aten::randperm.generator_out": _randperm_out,
    "aten::rrelu_with_noise": _rrelu,
    "aten::rrelu_with_noise_": _rrelu_,
}
