"""Which kernel stands in for which of torch's while the hook is on, and putting torch's own back."""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch

from sampler.hook import _bernoulli, _integers, _inversion, _multinomial, _normal, _rrelu, _uniform
from sampler.hook._devices import SERVED_BACKENDS, belongs_to_absent, present_backends
from sampler.hook._operations import WITHOUT_KERNELS, RandomOperation, random_operations
from sampler.hook._refusals import Kernel, has_dropout, refusal, undropped

SERVED: dict[str, Kernel] = {
    **_normal.KERNELS,
    **_uniform.KERNELS,
    **_bernoulli.KERNELS,
    **_integers.KERNELS,
    **_inversion.KERNELS,
    **_multinomial.KERNELS,
    **_rrelu.KERNELS,
}
# Tagged as random by torch, but drawing nothing: the choice of an attention kernel on the processor, where
# dropout gets the plain one, attention kernels that have or accept no dropout, a softmax.
_DRAW_NOTHING = {
    ("aten::_fused_sdp_choice", "CPU"),
    ("aten::_fused_sdp_choice", "NestedTensorCPU"),
    ("aten::_scaled_dot_product_flash_attention_for_cpu", "CPU"),
}
_DRAW_NOTHING_ANYWHERE = {
    "aten::_flash_attention_forward_no_dropout_inplace",
    "aten::_nested_tensor_softmax_with_shape",
}
# These kernels draw through a served operation: bernoulli_, or the same one on the values that they hold.
_END_IN_SERVED = {("aten::native_dropout", "CPU")} | {
    (name, family + backend)
    for name, family in [
        ("aten::native_dropout", "NestedTensor"),
        ("aten::normal_", "NestedTensor"),
        ("aten::normal_", "SparseCsr"),
    ]
    for backend in ("CPU", "CUDA", "XPU")
}


@contextlib.contextmanager
def kernels_replaced() -> Iterator[None]:
    """Replace the kernels of all random operations until the context ends."""
    libraries: dict[str, torch.library.Library] = {}
    with contextlib.ExitStack() as stack:
        for operation, key in kernels_to_replace():
            if operation.namespace not in libraries:
                library = torch.library.Library(operation.namespace, "IMPL")
                stack.callback(library._destroy)
                libraries[operation.namespace] = library
            _replace(libraries[operation.namespace], operation, key)
        yield


def kernels_to_replace() -> tuple[tuple[RandomOperation, str], ...]:
    """Give the kernels of random operations that the hook replaces here: operation and dispatch key."""
    return _to_replace(random_operations(), present_backends())


@cache
def _to_replace(
    operations: tuple[RandomOperation, ...], present: tuple[str, ...]
) -> tuple[tuple[RandomOperation, str], ...]:
    found = []
    for operation in operations:
        keys = operation.keys or (present if operation.name in WITHOUT_KERNELS else ())
        found += [
            (operation, key)
            for key in keys
            if not belongs_to_absent(key, present) and not leaves(operation.name, key)
        ]
    return tuple(found)


def leaves(name: str, key: str) -> bool:
    """Whether the hook leaves this kernel as it is: it draws nothing, or through one that is served."""
    return name in _DRAW_NOTHING_ANYWHERE or (name, key) in _DRAW_NOTHING | _END_IN_SERVED


def _replace(library: torch.library.Library, operation: RandomOperation, key: str) -> None:
    kernel, with_keyset = replacement(operation, key)
    with warnings.catch_warnings():
        # torch says once a process that kernels are replaced; that is what was asked for.
        warnings.filterwarnings("ignore", message="Warning only once for all operators", category=UserWarning)
        name = operation.name.partition("::")[2]
        library.impl(name, kernel, key, with_keyset=with_keyset, allow_override=True)


def replacement(operation: RandomOperation, key: str) -> tuple[Kernel, bool]:
    """Give the kernel for an operation under a dispatch key, and whether it is called with the keyset."""
    dense = key in SERVED_BACKENDS
    if dense and operation.name in SERVED:
        return _plain(SERVED[operation.name]), False
    if dense and key != "CPU" and operation.name in _bernoulli.DROPOUT_KERNELS:
        return _plain(_bernoulli.DROPOUT_KERNELS[operation.name]), False
    if key != "CPU" and has_dropout(operation) and hasattr(torch.library, "get_kernel"):
        return undropped(operation, key), True
    return refusal(operation.name, key), False


def _plain(kernel: Kernel) -> Kernel:
    """Keep modes of the caller, such as a default device, out of the kernel's own arithmetic."""

    @functools.wraps(kernel)
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch._C.DisableTorchFunction():
            return kernel(*args, **kwargs)

    return run
