"""What draws beside torch's operations, or needs the same noise twice, is refused where it begins.

These are functions and methods of Python, replaced while the hook is on: activation checkpointing, generators
of Python's own, workers that would draw by themselves, and compiled code that is called past `torch.compile`.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import multiprocessing
import sys
import weakref
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, NoReturn

from sampler._errors import SamplerError

_CHECKPOINTING = (
    "activation checkpointing inside hardware_noise would draw its noise twice and give wrong gradients: "
    "switch checkpointing off"
)
_SEED = (
    "torch.seed takes its number from the operating system and not from the source of hardware_noise: draw one "
    "by torch.randint"
)
_DISTRIBUTED = (
    "DistributedSampler shuffles alike in all processes from one seed, and hardware_noise would give each its "
    "own order, so that some data were seen twice and some never: use shuffle=False on data shuffled beforehand"
)
_SHUFFLER = (
    "this shuffler draws from Python's own generator and not from the source of hardware_noise: use a DataLoader "
    "with shuffle=True"
)
_COMPILED = (
    "a compiled graph that is called past torch.compile draws from a generator of its own and not from the source "
    "of hardware_noise: call the function through torch.compile, which runs it eagerly here, or uncompiled"
)
_GRAPH = (
    "a CUDA graph that is replayed inside hardware_noise draws from the device's own generator: run the model "
    "without the graph"
)

# Module, object of it (or none: the module itself), attribute, reason. Modules that nobody has imported have
# no objects that could be used.
REFUSED = [
    ("torch.utils.checkpoint", "", "_checkpoint_without_reentrant_generator", _CHECKPOINTING),
    ("torch.utils.checkpoint", "CheckpointFunction", "forward", _CHECKPOINTING),
    ("torch", "", "seed", _SEED),
    ("torch.random", "", "seed", _SEED),
    ("torch.utils.data.datapipes.iter.combinatorics", "ShufflerIterDataPipe", "__iter__", _SHUFFLER),
    ("torch.utils.data.datapipes.map.combinatorics", "ShufflerIterDataPipe", "__iter__", _SHUFFLER),
    ("torch._inductor.output_code", "CompiledFxGraph", "__call__", _COMPILED),
    ("torch.export.pt2_archive._package", "AOTICompiledModel", "__call__", _COMPILED),
    ("torch.cuda.graphs", "CUDAGraph", "replay", _GRAPH),
]


@contextlib.contextmanager
def entry_points_refused() -> Iterator[None]:
    """Refuse them until the context ends."""
    _import_first()
    with contextlib.ExitStack() as stack:
        for module, owner, attribute, reason in REFUSED:
            target = entry_point(module, owner)
            if target is not None and attribute in vars(target):
                stack.enter_context(refused(target, attribute, reason))
        stack.enter_context(_distributed_shuffling_refused())
        stack.enter_context(_workers_watched())
        yield


def entry_point(module: str, owner: str) -> Any:
    """Give the object that has the entry point: a module, or a class of it; None where nobody imported it."""
    loaded = sys.modules.get(module)
    return getattr(loaded, owner, None) if owner else loaded


@cache
def _import_first() -> None:
    """Import, once a process, what programs import late, so that it is there to be refused."""
    for module in ("torch.utils.checkpoint", "torch.utils.data"):
        importlib.import_module(module)


@contextlib.contextmanager
def replaced(target: Any, attribute: str, value: Any) -> Iterator[None]:
    """Put a value in an attribute's place until the context ends."""
    original = vars(target)[attribute]  # as it is kept: a static method stays one
    setattr(target, attribute, value)
    try:
        yield
    finally:
        setattr(target, attribute, original)


def refused(target: Any, attribute: str, reason: str) -> contextlib.AbstractContextManager[None]:
    """Have a function or method raise SamplerError with that reason until the context ends."""

    def refuse(*_args: Any, **_kwargs: Any) -> NoReturn:
        raise SamplerError(reason)

    static = isinstance(vars(target)[attribute], staticmethod)
    return replaced(target, attribute, staticmethod(refuse) if static else refuse)


@contextlib.contextmanager
def _distributed_shuffling_refused() -> Iterator[None]:
    from torch.utils.data import DistributedSampler

    plain = DistributedSampler.__iter__

    def order(self: Any) -> Any:
        if self.shuffle and self.num_replicas > 1:
            raise SamplerError(_DISTRIBUTED)
        return plain(self)

    with replaced(DistributedSampler, "__iter__", order):
        yield


@contextlib.contextmanager
def _workers_watched() -> Iterator[None]:
    """Let a DataLoader have workers only where a draw of theirs is refused: forked ones, made inside the hook.

    Others do not know the hook and would draw from torch's generator.
    """
    from torch.utils.data.dataloader import DataLoader
    from torch.utils.data.dataloader import _MultiProcessingDataLoaderIter as Workers

    plain_start, plain_next = DataLoader._get_iterator, Workers._next_data
    ours: weakref.WeakSet[Any] = weakref.WeakSet()

    def start(self: Any) -> Any:
        if self.num_workers and (method := _start_method(self)) != "fork":
            raise SamplerError(
                f"workers of a DataLoader that are started by {method} would draw from torch's generator and not "
                "from the source of hardware_noise: use num_workers=0, or multiprocessing_context='fork' where "
                "the workers draw nothing"
            )
        iterator = plain_start(self)
        ours.add(iterator)
        return iterator

    def next_data(self: Any) -> Any:
        if self not in ours:
            raise SamplerError(
                "the workers of this DataLoader were started before hardware_noise and would draw from torch's "
                "generator: start iterating inside hardware_noise"
            )
        return plain_next(self)

    with replaced(DataLoader, "_get_iterator", start), replaced(Workers, "_next_data", next_data):
        yield


def _start_method(loader: Any) -> str:
    context: Callable[[], Any] = getattr(loader.multiprocessing_context, "get_start_method", None) or (
        multiprocessing.get_start_method
    )
    return context()
