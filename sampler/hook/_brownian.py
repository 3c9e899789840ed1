"""Brownian trees, which must see the same noise twice, are refused by name while bits are used once."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from sampler.hook._entry_points import refused

# Where trees are made, and by which classes; others (CosineDPMSolverMultistepScheduler) import these.
_TREES = {
    "diffusers.schedulers.scheduling_dpmsolver_sde": ("BrownianTreeNoiseSampler", "BatchedBrownianTree"),
    "k_diffusion.sampling": ("BrownianTreeNoiseSampler", "BatchedBrownianTree"),
    "torchsde._brownian.brownian_interval": ("BrownianInterval",),
}
_TREE = (
    "is a Brownian tree, which must see the same noise twice: its noise cannot come from bits that are used once; "
    "choose another scheduler or sampler than those with a tree (DPMSolverSDEScheduler, "
    "CosineDPMSolverMultistepScheduler), for example DPMSolverMultistepScheduler with "
    'algorithm_type="sde-dpmsolver++"'
)


@contextlib.contextmanager
def brownian_trees_refused() -> Iterator[None]:
    """Make the Brownian trees of diffusers, k-diffusion and torchsde raise SamplerError until the context ends.

    A tree that was made before raises when it is asked for noise. A module that is not imported yet is not
    imported for this: it is seen to when something imports it meanwhile.
    """
    with contextlib.ExitStack() as stack:
        for name in _TREES:
            if name in sys.modules:
                _refuse_trees(sys.modules[name], stack)
        watch = _Watch(lambda module: _refuse_trees(module, stack))
        sys.meta_path.insert(0, watch)
        stack.callback(sys.meta_path.remove, watch)
        yield


class _Watch(MetaPathFinder):
    """Finds nothing itself, and has `seen` called with each module of trees that is imported."""

    def __init__(self, seen: Callable[[ModuleType], None]) -> None:
        self._seen = seen

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Let the others find a module of trees, and add a step to its loading."""
        if fullname not in _TREES:
            return None
        for finder in sys.meta_path:
            spec = None if finder is self else finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                self._follow(spec.loader)
                return spec
        return None

    def _follow(self, loader: Any) -> None:
        load, seen = loader.exec_module, self._seen

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module  # loading it again later is nobody's business
            load(module)
            seen(module)

        loader.exec_module = exec_module


def _refuse_trees(module: ModuleType, stack: contextlib.ExitStack) -> None:
    for name in _TREES[module.__name__]:
        kind = getattr(module, name, None)
        for method in vars(kind).keys() & {"__init__", "__call__"} if kind is not None else ():
            stack.enter_context(refused(kind, method, f"{name} {_TREE}"))
