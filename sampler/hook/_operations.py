"""Which operations of this torch are random, found by walking over all that are registered."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import cache

import torch

from sampler.hook._devices import BACKENDS

# Kernel families of a backend: dense tensors and the others that torch dispatches apart.
_FAMILIES = ("", "Quantized", "Sparse", "SparseCsr", "NestedTensor")
# Numbers that follow from a key or a place in the generator's sequence, which no source can give; the first
# two are not tagged. Where a device has no kernel of its own, other code would answer.
WITHOUT_KERNELS = {"aten::_philox_normal_", "aten::_philox_uniform_", "rngprims::philox_rand"}


@dataclass(frozen=True)
class RandomOperation:
    """A random operation: its name with namespace and overload, and the dispatch keys of its own kernels.

    One without kernels of its own is made of others.
    """

    name: str
    keys: tuple[str, ...]

    @property
    def namespace(self) -> str:
        """The library it belongs to."""
        return self.name.partition("::")[0]

    @property
    def overload(self) -> torch._ops.OpOverload:
        """The operation as it is called from Python."""
        return _overload(self.name)


def random_operations() -> tuple[RandomOperation, ...]:
    """Give all random operations that are registered at this moment, sorted by name."""
    return _random_among(_registered(len(sys.modules), len(torch.ops.loaded_libraries)))


@cache
def _registered(_modules: int, _libraries: int) -> int:
    """How many operations there are: a library registers its own as it is imported or loaded."""
    return len(torch._C._dispatch_get_all_op_names())


@cache
def _random_among(_registered: int) -> tuple[RandomOperation, ...]:
    names = sorted(filter(_is_random, torch._C._dispatch_get_all_op_names()))
    return tuple(RandomOperation(name, _keys(name)) for name in names)


def _is_random(name: str) -> bool:
    if name in WITHOUT_KERNELS:
        return True
    try:
        return torch.Tag.nondeterministic_seeded in _overload(name).tags
    except (AttributeError, RuntimeError):
        return False  # a name without an operation that Python, or anybody, could call


def _overload(name: str) -> torch._ops.OpOverload:
    namespace, _, rest = name.partition("::")
    packet, _, overload = rest.partition(".")
    return getattr(getattr(getattr(torch.ops, namespace), packet), overload or "default")


def _keys(name: str) -> tuple[str, ...]:
    return tuple(key for key in _all_keys() if torch._C._dispatch_has_kernel_for_dispatch_key(name, key))


@cache
def _all_keys() -> tuple[str, ...]:
    """The dispatch keys that this torch has for kernels of their own."""
    named = [family + backend for backend in BACKENDS for family in _FAMILIES]
    return tuple(key for key in [*named, "MkldnnCPU"] if _known(key))


def _known(key: str) -> bool:
    try:
        torch._C._dispatch_has_kernel_for_dispatch_key("aten::normal_", key)
    except RuntimeError:
        return False
    return True
