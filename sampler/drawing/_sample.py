"""Sampling: the parts of a run one by one, the noise of each picture from a stream of its own."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from entropy.arguments import ANY, Count, Each, takes
from sampler._checkpoint import Checkpoint
from sampler._errors import SamplerError
from sampler.drawing._bill import Bill, bill
from sampler.drawing._part import Part, Picture, Samples, Step, check_labels, parts_of, to_pixels
from sampler.drawing._reverse import Reverse, reverse_of
from sampler.drawing._settings import SampleSettings
from sampler.sources import picture_streams

if TYPE_CHECKING:
    from sampler.sources import Packed, Source, Stream

Supply = Callable[[Part], AbstractContextManager[Sequence["Stream"]]]
"""Gives a part's pictures their streams, in order; left normally once the pictures are kept."""
_TRACED = 16  # steps whose digest a picture's provenance holds, at most, besides the first noise


@takes(labels=Each(ANY, optional=True), first=Count())
def sample(
    checkpoint: Checkpoint,
    labels: Sequence[int | None],
    source: Source,
    settings: SampleSettings | None = None,
    *,
    progress: Callable[[float], None] | None = None,
    watch: Callable[[Step], None] | None = None,
    finished: Callable[[Sequence[Picture]], None] | None = None,
    first: int = 0,
) -> Samples:
    """Draw one picture a label, in microbatches of fixed size; the last is padded, and padding reads no bits.

    Labels are None for a network that takes none.

    Picture i's noise comes from stream i of `source` alone, and the network always sees `settings.microbatch`
    pictures, so a picture does not depend on its company; pictures are numbered from `first`. The last three as of
    `draw_parts`. Raises SamplerError where the source holds too few bits or the run read another number of bits than
    its bill says.
    """
    settings = settings or SampleSettings()
    check_labels(labels, checkpoint.pictures.labels)
    cost = bill(checkpoint, settings, 1)
    streams = picture_streams(source, len(labels), cost.bits_each, cost.noise_varies)
    return draw_parts(
        parts_of(checkpoint, settings, enumerate(labels, first)),
        lambda part: nullcontext([streams.stream(number - first) for number in part.numbers]),
        progress=progress,
        watch=watch,
        finished=finished,
    )


@takes(kept=Count())
def draw_parts(
    parts: Sequence[Part],
    supply: Supply,
    *,
    kept: int = 0,
    progress: Callable[[float], None] | None = None,
    watch: Callable[[Step], None] | None = None,
    finished: Callable[[Sequence[Picture]], None] | None = None,
) -> Samples:
    """Draw what a run still lacks, part by part.

    `finished` gets a part's pictures before its bits count as consumed: what it keeps need not be drawn again.
    `progress` is told the pictures that are done, with fractions, beginning with the `kept` that were there;
    `watch` each step, while the part is drawn.
    """
    # Where torch has one thread, others of this process may draw beside.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.process_time
    pictures: list[Picture] = []
    seconds = cpu = noise_cpu = 0.0
    for part in parts:
        tell = functools.partial(_tell, kept + len(pictures), progress, watch)
        with supply(part) as streams:
            before, cpu_before = time.monotonic(), clock()
            drawn, noise_seconds = draw_part(part, streams, tell)
            if finished is not None:
                finished(drawn)
            seconds += time.monotonic() - before
            cpu += clock() - cpu_before
        noise_cpu += noise_seconds
        pictures += drawn
        if progress is not None:
            progress(kept + len(pictures))
    return Samples(pictures, seconds, cpu, noise_cpu)


def _tell(
    done: int,
    progress: Callable[[float], None] | None,
    watch: Callable[[Step], None] | None,
    step: Step,
) -> None:
    if watch is not None:
        watch(step)
    if progress is not None and step.step < step.steps:
        progress(done + len(step.numbers) * step.step / step.steps)


def draw_part(
    part: Part, streams: Sequence[Stream], watch: Callable[[Step], None] | None = None
) -> tuple[list[Picture], float]:
    """Draw a part's pictures, each from its stream; gives them, and the processor's seconds that went into noise.

    Raises SamplerError where a picture reads another number of bits than its bill says.
    """
    checkpoint, settings, count = part.checkpoint, part.settings, len(part.numbers)
    kind, padding = checkpoint.pictures, settings.microbatch - len(part.numbers)
    reverse = reverse_of(checkpoint, settings)
    classes = (
        None
        if kind.labels is None
        else torch.tensor([*(label or 0 for label in part.labels), *[0] * padding])
    )
    described, cost = _described(part, reverse), part.bill
    metered = [_Metered(stream, cost) for stream in streams]
    digests: list[tuple[int, list[str]]] = []

    def predict(x: torch.Tensor, t: Any) -> torch.Tensor:
        return checkpoint.model(x, t, class_labels=classes).sample

    x = torch.empty(0)
    shape = (settings.microbatch, *kind.shape)
    with torch.no_grad(), contextlib.closing(reverse.walk(predict, metered, shape)) as walk:
        for step, state in enumerate(walk):
            x = state.x[:count]
            _add_digests(digests, step, reverse.steps, x)
            if step and watch is not None:
                watch(Step(part.numbers, step, reverse.steps, x, state.seen[:count], state.guess[:count]))
    pictures = []
    for at, (number, label, stream) in enumerate(zip(part.numbers, part.labels, metered, strict=True)):
        stream.settle()
        own = [[step, each[at]] for step, each in digests]
        pictures.append(_picture(number, label, x[at].clone(), own, stream, described))
    return pictures, reverse.noise_seconds


def _add_digests(digests: list[tuple[int, list[str]]], step: int, steps: int, x: torch.Tensor) -> None:
    if step % -(-steps // _TRACED) == 0 and step < steps:
        digests.append((step, [picture_digest(one)[:16] for one in x]))


def _picture(
    number: int,
    label: int | None,
    image: torch.Tensor,
    steps: list[Any],
    stream: _Metered,
    described: dict[str, Any],
) -> Picture:
    provenance = {
        "format": "memtj-picture",
        "format_version": 1,
        "picture": number,
        "label": label,
        "shape": list(image.shape),
        "picture_sha256": picture_digest(image),
        "pixels_sha256": pixels_digest(to_pixels(image)),
        "steps_sha256": steps,
        "bits": stream.provenance(),
        **stream.used(),
        **described,
    }
    return Picture(number, label, image, provenance)


def _described(part: Part, reverse: Reverse) -> dict[str, Any]:
    """What the provenance of each of a part's pictures says."""
    told = reverse.described()
    sampling = {**part.settings.as_json(), "threads": torch.get_num_threads(), **told.pop("sampling")}
    return {
        "noise_bits": part.bill.bits_each,
        **told,
        "model_sha256": part.checkpoint.sha256,
        "model_config_sha256": part.checkpoint.config_sha256,
        "sampling": sampling,
        "versions": picture_versions(),
    }


class _Metered:
    """A stream that knows what its picture may read."""

    def __init__(self, stream: Stream, cost: Bill) -> None:
        self._stream, self._cost, self._read = stream, cost, 0
        self.name, self.provenance = stream.name, stream.provenance

    def read(self, bits: int) -> Packed:
        self._read += bits
        if self._read > self._cost.bits_each:
            raise SamplerError(
                f"a picture wants more noise than the {self._cost.bits_each:,} bits of its bill"
            )
        return self._stream.read(bits)

    def settle(self) -> None:
        if self._read != self._cost.bits_each and not self._cost.noise_varies:
            raise SamplerError(
                f"a picture read {self._read:,} bits of noise where its bill says {self._cost.bits_each:,}"
            )

    def used(self) -> dict[str, int]:
        """What the picture read, where its bill could only say the most."""
        return {"noise_bits_used": self._read} if self._cost.noise_varies else {}


def picture_digest(image: torch.Tensor) -> str:
    """The SHA-256 of a picture's float32 numbers, little-endian, row by row."""
    return hashlib.sha256(image.contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def pixels_digest(shown: npt.NDArray[np.uint8]) -> str:
    """The SHA-256 of pixels, row by row, as a picture's file holds them."""
    return hashlib.sha256(np.ascontiguousarray(shown).tobytes()).hexdigest()


def picture_versions() -> dict[str, str]:
    """What a picture's last bits may depend on: versions of the programs, and the kind of machine."""
    import diffusers

    return {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "numpy": np.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": _machine(),
    }


@functools.cache
def _machine() -> str:
    """The kind of machine: system, architecture and, where it is told, the processor's name."""
    name = platform.processor()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return " ".join(part for part in (platform.system(), platform.machine(), name) if part)
