"""Sampling: labels in, pictures out, the noise of each from a stream of its own."""

from __future__ import annotations

import contextlib
import hashlib
import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from entropy.arguments import ANY, Count, Each, takes
from sampler._checkpoint import Checkpoint
from sampler._errors import SamplerError
from sampler._noise_map import NOISE_MAP
from sampler._normal_levels import normal_levels_sha256
from sampler.drawing._bill import Bill, bill
from sampler.drawing._settings import SampleSettings
from sampler.hook import PaddingStream, streams_noise
from sampler.processes import build_scheduler, denoise, draw, first_law, step_options

if TYPE_CHECKING:
    from sampler.sources import Packed, Source


@dataclass(frozen=True)
class Picture:
    """One picture: `image` (channels, height, width) float32, about −1 to 1, and where its bits came from.

    `label` is None where the network takes none.
    """

    index: int
    label: int | None
    image: torch.Tensor
    provenance: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class SampleProgress:
    """After each step: its number in the microbatch and of how many; pictures done, of how many; seconds."""

    step: int
    steps: int
    pictures_done: int
    pictures: int
    seconds: float


@dataclass(frozen=True)
class Samples:
    """The pictures of a run and what they took: seconds of wall clock and of processor time, and bits read.

    `cpu_seconds` is the process's processor time while sampling, `noise_cpu_seconds` the part spent in
    getting bits and turning them into noise. `bits` counts the bits that the noise took, after conditioning.
    """

    pictures: list[Picture]
    bill: Bill
    seconds: float
    cpu_seconds: float
    noise_cpu_seconds: float

    @property
    def noise_fraction(self) -> float:
        """The share of the processor time of sampling that went into noise."""
        return self.noise_cpu_seconds / self.cpu_seconds if self.cpu_seconds else 0.0


Preview = Callable[[int, int, torch.Tensor], None]
Trace = Callable[[int, int, int, torch.Tensor], None]
_TRACED = 16  # steps whose digest a picture's provenance holds, at most, besides the first noise


@takes(labels=Each(ANY, optional=True), first=Count(), numbers=Each(Count()))
def sample(
    checkpoint: Checkpoint,
    labels: Sequence[int | None],
    source: Source,
    settings: SampleSettings | None = None,
    *,
    progress: Callable[[SampleProgress], None] | None = None,
    preview: Preview | None = None,
    trace: Trace | None = None,
    finished: Callable[[list[Picture]], None] | None = None,
    first: int = 0,
    numbers: Sequence[int] | None = None,
) -> Samples:
    """Draw one picture a label, in microbatches of fixed size; the last is padded, and padding reads no bits.

    Labels are None for a network that takes none.

    Picture i's noise comes from stream i of `source` alone, and the network always sees `settings.microbatch`
    pictures, so a picture does not depend on its company. `preview(first picture, step, images)` gets the
    present guesses, (pictures, channels, height, width) from 0 to 1; `trace(first picture, step, steps, x)` the
    reverse process in the same shape, as the network sees it, from step 0, the noise, to the picture (their first
    picture counts from 0); `finished` gets each microbatch's pictures; pictures are numbered from `first`, or by
    `numbers`. Raises SamplerError where the source holds too few bits or the run read another number of bits than
    its bill says.
    """
    settings = settings or SampleSettings()
    check_labels(labels, checkpoint.pictures.labels)
    numbers = range(first, first + len(labels)) if numbers is None else numbers
    cost = bill(checkpoint, settings, len(labels))
    streams = [_Metered(s, cost.bits_each) for s in source.pictures(len(labels), cost.bits_each)]
    run = _Run(checkpoint, settings, cost, progress, preview, trace)
    # Where torch has one thread, others of this process may draw beside.
    clock = time.thread_time if torch.get_num_threads() == 1 else time.process_time
    start, cpu = time.monotonic(), clock()
    pictures: list[Picture] = []
    noise_cpu = 0.0
    for at in range(0, len(labels), settings.microbatch):
        part = slice(at, at + settings.microbatch)
        run.place(at, len(labels), start)
        drawn = run.microbatch(labels[part], streams[part])
        noise_cpu += drawn.noise_cpu_seconds
        done = [
            run.picture(number, label, drawn, i, stream)
            for i, (number, label, stream) in enumerate(
                zip(numbers[part], labels[part], streams[part], strict=True)
            )
        ]
        pictures += done
        if finished is not None:
            finished(done)
    return Samples(pictures, cost, time.monotonic() - start, clock() - cpu, noise_cpu)


@dataclass(frozen=True)
class _Drawn:
    """A microbatch: its images, padding included, and the digests of x after some steps, step by step."""

    images: torch.Tensor
    digests: list[tuple[int, list[str]]]
    noise_cpu_seconds: float


class _Run:
    """What the microbatches of one run share."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: SampleSettings,
        cost: Bill,
        progress: Callable[[SampleProgress], None] | None,
        preview: Preview | None,
        trace: Trace | None,
    ) -> None:
        self.checkpoint, self.settings, self.cost = checkpoint, settings, cost
        self.progress, self.preview, self.trace = progress, preview, trace
        self.at, self.total, self.start = 0, 0, 0.0
        scheduler = self._scheduler()
        self.every = -(-len(scheduler.timesteps) // _TRACED)
        self.described = {
            "scheduler_class": type(scheduler).__name__,
            "scheduler_config": {k: v for k, v in scheduler.config.items() if not k.startswith("_")},
        }

    def place(self, at: int, total: int, start: float) -> None:
        self.at, self.total, self.start = at, total, start

    def microbatch(self, labels: Sequence[int | None], streams: Sequence[_Metered]) -> _Drawn:
        padding = self.settings.microbatch - len(labels)
        kind, model, scheduler = self.checkpoint.pictures, self.checkpoint.model, self._scheduler()
        classes = (
            None if kind.labels is None else torch.tensor([*(label or 0 for label in labels), *[0] * padding])
        )
        options, steps = step_options(scheduler, self.settings.eta), len(scheduler.timesteps)
        padded = [*streams, *[PaddingStream() for _ in range(padding)]]
        digests: list[tuple[int, list[str]]] = []

        def predict(x: torch.Tensor, t: Any) -> torch.Tensor:
            return model(x, t, class_labels=classes).sample

        with torch.no_grad(), streams_noise(padded, self.settings.bits_per_normal) as noise:
            x, _ = draw(first_law(scheduler, (self.settings.microbatch, *kind.shape)))
            self._digest(0, steps, x[: len(labels)], digests)
            for step, (seen, output) in enumerate(denoise(predict, scheduler, x, options), 1):
                self._trace(step - 1, steps, seen[: len(labels)])
                x = output.prev_sample
                self._digest(step, steps, x[: len(labels)], digests)
                self._tell(step, steps, len(labels), output)
        self._trace(steps, steps, x[: len(labels)])
        for stream in streams:
            stream.settle()
        return _Drawn(x, digests, noise.cpu_seconds)

    def picture(self, index: int, label: int | None, drawn: _Drawn, at: int, stream: _Metered) -> Picture:
        image = drawn.images[at].clone()
        provenance = {
            "format": "memtj-picture",
            "format_version": 1,
            "picture": index,
            "label": label,
            "shape": list(image.shape),
            "picture_sha256": picture_digest(image),
            "pixels_sha256": pixels_digest(to_pixels(image)),
            "steps_sha256": [[step, digests[at]] for step, digests in drawn.digests],
            "bits": stream.provenance(),
            "noise_bits": self.cost.bits_each,
            "noise_map": asdict(NOISE_MAP),
            **self._levels(),
            "model_sha256": self.checkpoint.sha256,
            "model_config_sha256": self.checkpoint.config_sha256,
            "sampling": {
                **self.settings.as_json(),
                "threads": torch.get_num_threads(),
                **self.described,
            },
            "versions": _versions(),
        }
        return Picture(index, label, image, provenance)

    def _scheduler(self) -> Any:
        trained, settings = self.checkpoint.card["scheduler"], self.settings
        return build_scheduler(settings.scheduler, settings.steps, trained, settings.options)

    def _levels(self) -> dict[str, str]:
        width = self.settings.bits_per_normal
        return {"normal_levels_sha256": normal_levels_sha256(width)} if width < 32 else {}

    def _digest(self, step: int, steps: int, x: torch.Tensor, digests: list[tuple[int, list[str]]]) -> None:
        if step % self.every == 0 and step < steps:
            digests.append((step, [picture_digest(one)[:16] for one in x]))

    def _trace(self, step: int, steps: int, x: torch.Tensor) -> None:
        if self.trace is not None:
            self.trace(self.at, step, steps, to_unit(x))

    def _tell(self, step: int, steps: int, pictures: int, output: Any) -> None:
        if self.preview is not None:
            guess = getattr(output, "pred_original_sample", None)
            images = output.prev_sample if guess is None else guess
            self.preview(self.at, step, to_unit(images[:pictures]))
        if self.progress is not None:
            done = self.at + (pictures if step == steps else 0)
            self.progress(SampleProgress(step, steps, done, self.total, time.monotonic() - self.start))


class _Metered:
    """A stream that knows what its picture may read."""

    def __init__(self, stream: Source, bits: int) -> None:
        self._stream, self._bits, self._read = stream, bits, 0
        self.name = stream.name

    def read(self, bits: int) -> Packed:
        self._read += bits
        if self._read > self._bits:
            raise SamplerError(f"a picture wants more noise than the {self._bits:,} bits of its bill")
        return self._stream.read(bits)

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        raise SamplerError("a picture's stream cannot be divided")

    def provenance(self) -> dict[str, Any]:
        return self._stream.provenance()

    def settle(self) -> None:
        if self._read != self._bits:
            raise SamplerError(
                f"a picture read {self._read:,} bits of noise where its bill says {self._bits:,}"
            )


def picture_digest(image: torch.Tensor) -> str:
    """The SHA-256 of a picture's float32 numbers, little-endian, row by row."""
    return hashlib.sha256(image.contiguous().numpy().astype("<f4").tobytes()).hexdigest()


def to_pixels(image: torch.Tensor) -> npt.NDArray[np.uint8]:
    """A picture's numbers as it is shown: (height, width) or (height, width, 3) uint8."""
    shown = to_unit(image).mul(255).round().byte().permute(1, 2, 0).numpy()
    return shown[:, :, 0] if shown.shape[2] == 1 else shown


def pixels_digest(shown: npt.NDArray[np.uint8]) -> str:
    """The SHA-256 of pixels, row by row, as a picture's file holds them."""
    return hashlib.sha256(np.ascontiguousarray(shown).tobytes()).hexdigest()


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """Map −1 … 1 to 0 … 1, cutting off what lies outside."""
    return images.add(1).div(2).clamp(0, 1)


@takes(labels=Each(ANY, optional=True), known=Count())
def check_labels(labels: Sequence[int | None], known: int | None) -> None:
    """Raise SamplerError where a network that knows so many labels (None: it takes none) cannot draw these."""
    if not labels:
        raise SamplerError("no labels were given: name at least one picture to draw")
    for label in labels:
        if known is None:
            if label is not None:
                raise SamplerError(
                    f"label {label} was given to a network that takes no labels: leave labels out"
                )
        elif label is None:
            raise SamplerError(f"this network draws by label: give each picture one from 0 to {known - 1}")
        elif not 0 <= label < known:
            raise SamplerError(f"label {label} is unknown to this network: it draws labels 0 to {known - 1}")


def _versions() -> dict[str, str]:
    import diffusers

    return {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "numpy": np.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": _machine(),
    }


@cache
def _machine() -> str:
    """The kind of machine: system, architecture and, where it is told, the processor's name."""
    name = platform.processor()
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        name = next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return " ".join(part for part in (platform.system(), platform.machine(), name) if part)
