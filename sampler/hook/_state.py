"""The hook while it is on: whose stream fills which tensor, and who may draw."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from entropy.arguments import ANY, takes
from sampler._errors import SamplerError
from sampler._noise_map import check_normal_width
from sampler.hook._devices import fill_through_processor
from sampler.sources import Stream

# Fills a tensor of the processor from a stream: the whole draw (None), or the part that is picture b's.
Fill = Callable[[torch.Tensor, Stream, int | None], None]


class PaddingStream:
    """Stands for a picture that only fills up a microbatch: its normal noise is 0 and reads no bits."""

    name = "padding"

    def read(self, bits: int) -> Any:
        """Refuse: padding has no bits."""
        raise SamplerError("a padding picture has no bits: only normal noise can be drawn for it")

    def provenance(self) -> dict[str, Any]:
        """Say that it is padding."""
        return {"source": self.name}


class HardwareNoise:
    """The hook while it is on: how much it drew, and generators bound to pictures."""

    @takes(bits_per_normal=ANY)
    def __init__(
        self, source: Stream | None, streams: Sequence[Stream] | None, bits_per_normal: int = 32
    ) -> None:
        self.bits_per_normal = check_normal_width(bits_per_normal)
        self._source, self._streams = source, streams
        self._bound: dict[int, tuple[torch.Generator, int]] = {}
        self._process, self._thread, self._task = os.getpid(), threading.get_ident(), _running_task()
        self.draws = 0
        self.cpu_seconds = 0.0

    @property
    def pictures(self) -> int | None:
        """How many pictures have a stream of their own; None where all draws share one stream."""
        return None if self._streams is None else len(self._streams)

    @property
    def streams(self) -> list[Stream]:
        """The pictures' streams, or the one source."""
        if self._streams is not None:
            return list(self._streams)
        return [] if self._source is None else [self._source]

    @takes(picture=ANY)
    def picture_generator(self, picture: int) -> torch.Generator:
        """Give a generator for `generator=` whose draws, of any shape, come from that picture's stream.

        It is a generator of the processor; inside the hook it serves for draws on every device.
        """
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
        self,
        operation: str,
        tensor: torch.Tensor,
        generator: torch.Generator | None,
        fill: Fill,
        *,
        divisible: bool = True,
    ) -> torch.Tensor:
        """Fill `tensor`, of any device, from the stream or streams that are its own.

        A draw that is not `divisible` among pictures needs one stream. Raises torch's error for a tensor
        whose elements share memory, before a bit is read.
        """
        start = time.thread_time()
        self._check(operation)
        _check_memory(tensor)
        stream = self._one_stream(generator)
        if stream is None and not divisible:
            raise SamplerError(
                f"{operation} cannot be divided among the {self.pictures} pictures of hardware_noise: pass "
                "generator=picture_generator(b)"
            )
        if tensor.numel():
            self.draws += 1
            if stream is not None:
                fill_through_processor(tensor, lambda view: fill(view, stream, None))
            else:
                self._check_leading_axis(operation, tensor)
                fill_through_processor(tensor, lambda view: self._fill_pictures(view, fill))
        self.cpu_seconds += time.thread_time() - start
        return tensor

    def _fill_pictures(self, tensor: torch.Tensor, fill: Fill) -> None:
        for b, stream in enumerate(self._streams or []):
            fill(tensor[b], stream, b)

    def _one_stream(self, generator: torch.Generator | None) -> Stream | None:
        if self._streams is None:
            return self._source
        # torch hands a kernel another Python object for the same generator: its address is what stays.
        bound = None if generator is None else self._bound.get(_address(generator))
        return None if bound is None else self._streams[bound[1]]

    def _check_leading_axis(self, operation: str, tensor: torch.Tensor) -> None:
        if tensor.ndim == 0 or tensor.shape[0] != self.pictures:
            raise SamplerError(
                f"{operation} draws a tensor of shape {tuple(tensor.shape)} inside hardware_noise(pictures="
                f"{self.pictures}): its leading axis is not the pictures, so nobody knows whose bits it "
                "should get; pass generator=picture_generator(b)"
            )

    def _check(self, operation: str) -> None:
        if os.getpid() != self._process:
            raise SamplerError(
                f"{operation} was called in a forked child of the process that holds hardware_noise: both "
                "would draw the same bits; start the child by spawn and give it a source of its own"
            )
        if threading.get_ident() != self._thread:
            raise SamplerError(
                f"{operation} was called in another thread than the one that holds hardware_noise: the "
                "order of its draws would be chance; draw in one thread"
            )
        if _running_task() is not self._task:
            raise SamplerError(
                f"{operation} was called in another asyncio task than the one that holds hardware_noise: the "
                "order of its draws would be chance; open hardware_noise in the task that draws"
            )
        if torch._C._current_graph_task_id() != -1:
            raise SamplerError(
                f"{operation} was called in a backward pass, as activation checkpointing does: the noise "
                "would be drawn twice and the gradients be wrong; switch checkpointing off"
            )


_active: HardwareNoise | dict[int, HardwareNoise] | None = None  # the second: one a thread


def active(asked_by: str) -> HardwareNoise:
    """Give the hook that is on; raises SamplerError without one, and in a thread that has none of its own."""
    if isinstance(_active, dict):
        own = _active.get(threading.get_ident())
        if own is None:
            raise SamplerError(
                f"{asked_by} was called in another thread than those that have a streams_noise each: the order of "
                "its draws would be chance; draw in those threads"
            )
        return own
    if _active is None:
        raise SamplerError(f"{asked_by} needs a hardware_noise(source) around it, and none is on")
    return _active


def by_thread() -> bool:
    """Say whether each thread may have a hook of its own."""
    return isinstance(_active, dict)


@contextlib.contextmanager
def hook_of_thread(hook: HardwareNoise) -> Iterator[HardwareNoise]:
    """Make `hook` this thread's own, where each may have one; raises SamplerError where it has one already."""
    assert isinstance(_active, dict)
    hooks, thread = _active, threading.get_ident()
    if thread in hooks:
        raise SamplerError("hardware_noise is on already in this thread: one at a time")
    hooks[thread] = hook
    try:
        yield hook
    finally:
        del hooks[thread]


def set_active(hook: HardwareNoise | dict[int, HardwareNoise] | None) -> None:
    """Make `hook`, or one for each thread, the one that is on."""
    global _active
    _active = hook


def _check_memory(tensor: torch.Tensor) -> None:
    overlap = torch._debug_has_internal_overlap  # pyright: ignore[reportPrivateImportUsage]
    if tensor.layout is torch.strided and overlap(tensor) == 1:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )


def _address(generator: torch.Generator) -> int:
    return generator._cdata  # pyright: ignore[reportAttributeAccessIssue]


def _running_task() -> asyncio.Task[Any] | None:
    return None if asyncio._get_running_loop() is None else asyncio.current_task()
