"""`hardware_noise`: the context in which torch draws from a source."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence

import torch

from entropy.arguments import ANY, Count, takes
from sampler._errors import SamplerError
from sampler.hook._brownian import brownian_trees_refused
from sampler.hook._entry_points import entry_points_refused
from sampler.hook._registration import kernels_replaced
from sampler.hook._state import HardwareNoise, active, by_thread, hook_of_thread, set_active
from sampler.sources import Stream, streams_of

_lock = threading.Lock()


@contextlib.contextmanager
@takes(pictures=Count(), bits_per_normal=ANY)
def hardware_noise(
    source: Stream, pictures: int | None = None, *, bits_per_normal: int = 32
) -> Iterator[HardwareNoise]:
    """Make torch draw all random numbers from `source`, in this thread, until the context ends.

    Without `pictures`, draws are served in call order from one stream and `generator=` is accepted and
    ignored, as are seeds. With `pictures=N`, a tensor whose leading axis is N is filled slice by slice,
    picture b's from stream b; a draw of any other shape needs a generator from `picture_generator(b)`.
    `bits_per_normal` is 32, or one of the narrower widths of the noise map. Numbers for another device (CUDA,
    MPS, XPU) are made on the processor, the same as there, and copied. Compiled code runs eagerly meanwhile.
    torch's own generators are neither read nor moved. Yields the hook (draws, cpu_seconds,
    picture_generator).

    Raises SamplerError when a second hook is opened in the process; inside, for every random operation that
    is not served, for activation checkpointing, for draws in a forked child, another thread, another asyncio
    task or a backward pass, for what needs the same noise twice from a seed (Brownian trees, distributed
    samplers), and where the source has no more bits.
    """
    with _kernels(
        lambda: HardwareNoise(
            source, None if pictures is None else streams_of(source, pictures), bits_per_normal
        )
    ):
        yield active("hardware_noise")


@contextlib.contextmanager
@takes(bits_per_normal=ANY)
def streams_noise(streams: Sequence[Stream], bits_per_normal: int = 32) -> Iterator[HardwareNoise]:
    """The same hook over streams that exist already, one a picture; inside `threads_noise` of this thread alone."""
    if by_thread():
        with hook_of_thread(HardwareNoise(None, streams, bits_per_normal)) as hook:
            yield hook
    else:
        with _kernels(lambda: HardwareNoise(None, streams, bits_per_normal)):
            yield active("streams_noise")


@contextlib.contextmanager
def threads_noise() -> Iterator[None]:
    """Let several threads have a `streams_noise` each, until the context ends; any other draw in them raises."""
    with _kernels(dict):
        yield


@takes(picture=ANY)
def picture_generator(picture: int) -> torch.Generator:
    """Give a generator bound to one picture of the `hardware_noise` that is on; raises SamplerError without
    one.
    """
    return active("picture_generator").picture_generator(picture)


@contextlib.contextmanager
def _kernels(make: Callable[[], HardwareNoise | dict[int, HardwareNoise]]) -> Iterator[None]:
    """Replace torch's kernels by those that draw from what is made."""
    if not _lock.acquire(blocking=False):
        raise SamplerError("hardware_noise is on already: it holds for the whole process, one at a time")
    try:
        set_active(make())
        with (
            torch.compiler.set_stance("force_eager"),
            entry_points_refused(),
            brownian_trees_refused(),
            kernels_replaced(),
        ):
            yield
    finally:
        set_active(None)
        _lock.release()
