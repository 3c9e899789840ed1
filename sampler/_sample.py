"""Sampling: labels in, pictures out, the noise of each from a stream of its own."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from sampler._bill import Bill, bill
from sampler._checkpoint import Checkpoint
from sampler._errors import SamplerError
from sampler._noise_map import NOISE_MAP
from sampler._reverse_process import denoise
from sampler._schedulers import build_scheduler, step_options
from sampler._settings import SampleSettings
from sampler.hook import PaddingStream, streams_noise

if TYPE_CHECKING:
    from sampler._sources import Packed, Source


@dataclass(frozen=True)
class Picture:
    """One picture: `image` (channels, height, width) float32, about −1 to 1, and where its bits came from."""

    index: int
    label: int
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


def sample(
    checkpoint: Checkpoint,
    labels: Sequence[int],
    source: Source,
    settings: SampleSettings | None = None,
    *,
    progress: Callable[[SampleProgress], None] | None = None,
    preview: Preview | None = None,
    finished: Callable[[list[Picture]], None] | None = None,
    first: int = 0,
) -> Samples:
    """Draw one picture a label, in microbatches of fixed size; the last is padded, and padding reads no bits.

    Picture i's noise comes from stream i of `source` alone, and the network always sees `settings.microbatch`
    pictures, so a picture does not depend on its company. `preview(first picture, step, images)` gets the
    present guesses, (pictures, channels, height, width) from 0 to 1; `finished` gets each microbatch's
    pictures; pictures are numbered from `first`. Raises SamplerError where the source holds too few bits or
    the run read another number of bits than its bill says.
    """
    settings = settings or SampleSettings()
    _check_labels(labels, checkpoint.architecture.labels)
    cost = bill(checkpoint, settings, len(labels))
    streams = [_Metered(s, cost.bits_each) for s in source.pictures(len(labels), cost.bits_each)]
    run = _Run(checkpoint, settings, cost, progress, preview)
    start, cpu = time.monotonic(), time.process_time()
    pictures: list[Picture] = []
    noise_cpu = 0.0
    for at in range(0, len(labels), settings.microbatch):
        part = slice(at, at + settings.microbatch)
        run.place(at, len(labels), start)
        images, spent = run.microbatch(labels[part], streams[part])
        noise_cpu += spent
        done = [
            run.picture(first + at + i, label, images[i], stream)
            for i, (label, stream) in enumerate(zip(labels[part], streams[part], strict=True))
        ]
        pictures += done
        if finished is not None:
            finished(done)
    return Samples(pictures, cost, time.monotonic() - start, time.process_time() - cpu, noise_cpu)


class _Run:
    """What the microbatches of one run share."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        settings: SampleSettings,
        cost: Bill,
        progress: Callable[[SampleProgress], None] | None,
        preview: Preview | None,
    ) -> None:
        self.checkpoint, self.settings, self.cost = checkpoint, settings, cost
        self.progress, self.preview = progress, preview
        self.at, self.total, self.start = 0, 0, 0.0
        scheduler = self._scheduler()
        self.described = {
            "scheduler_class": type(scheduler).__name__,
            "scheduler_config": {k: v for k, v in scheduler.config.items() if not k.startswith("_")},
        }

    def place(self, at: int, total: int, start: float) -> None:
        self.at, self.total, self.start = at, total, start

    def microbatch(self, labels: Sequence[int], streams: Sequence[_Metered]) -> tuple[torch.Tensor, float]:
        padding = self.settings.microbatch - len(labels)
        classes = torch.tensor([*labels, *[0] * padding])
        model, a = self.checkpoint.model, self.checkpoint.architecture
        shape = (self.settings.microbatch, a.channels, a.image_size, a.image_size)
        scheduler = self._scheduler()
        options = step_options(scheduler, self.settings.eta)
        output = None
        padded = [*streams, *[PaddingStream() for _ in range(padding)]]
        with torch.no_grad(), streams_noise(padded, self.settings.bits_per_normal) as noise:
            steps = denoise(lambda x, t: model(x, t, class_labels=classes).sample, scheduler, shape, options)
            for step, output in enumerate(steps, 1):
                self._tell(step, len(scheduler.timesteps), len(labels), output)
        if output is None:
            raise SamplerError("a run needs at least one step")
        for stream in streams:
            stream.settle()
        return output.prev_sample, noise.cpu_seconds

    def picture(self, index: int, label: int, image: torch.Tensor, stream: _Metered) -> Picture:
        image = image.clone()
        provenance = {
            "format": "memtj-picture",
            "format_version": 1,
            "picture": index,
            "label": label,
            "picture_sha256": picture_digest(image),
            "bits": stream.provenance(),
            "noise_bits": self.cost.bits_each,
            "noise_map": asdict(NOISE_MAP),
            "model_sha256": self.checkpoint.sha256,
            "sampling": {
                **asdict(self.settings),
                "threads": torch.get_num_threads(),
                **self.described,
            },
            "versions": _versions(),
        }
        return Picture(index, label, image, provenance)

    def _scheduler(self) -> Any:
        return build_scheduler(
            self.settings.scheduler, self.settings.steps, self.checkpoint.card["scheduler"]
        )

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


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """Map −1 … 1 to 0 … 1, cutting off what lies outside."""
    return images.add(1).div(2).clamp(0, 1)


def _check_labels(labels: Sequence[int], known: int) -> None:
    for label in labels:
        if not 0 <= label < known:
            raise SamplerError(f"label {label} is unknown to this network: it draws labels 0 to {known - 1}")
    if not labels:
        raise SamplerError("no labels were given: name at least one picture to draw")


def _versions() -> dict[str, str]:
    import diffusers
    import numpy

    return {
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "numpy": numpy.__version__,
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
