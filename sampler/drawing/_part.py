"""A part of a run of pictures: what whoever draws it must know, as a value that can be sent anywhere."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from entropy.arguments import ANY, Count, Each, takes
from sampler._checkpoint import Checkpoint
from sampler._errors import SamplerError
from sampler.drawing._bill import Bill, bill
from sampler.drawing._settings import SampleSettings
from sampler.sources import SourceSpec

if TYPE_CHECKING:
    from entropy import Conditioning

SOFTWARE = SourceSpec("software")


@dataclass(frozen=True)
class Part:
    """Pictures that are drawn together, at most a microbatch, and where their bits come from.

    `numbers`: of the pictures in their run, in order; `labels`: theirs, None where the network takes none.
    `conditioning`: what the source's bits go through, None: nothing. Whatever else is drawn, and wherever, a part's
    pictures follow from it and its bits.
    """

    checkpoint: Checkpoint
    settings: SampleSettings
    numbers: tuple[int, ...]
    labels: tuple[int | None, ...]
    source: SourceSpec = SOFTWARE
    conditioning: Conditioning | None = None

    @property
    def bill(self) -> Bill:
        """What its pictures read."""
        return bill(self.checkpoint, self.settings, len(self.numbers), self.conditioning)


def parts_of(
    checkpoint: Checkpoint,
    settings: SampleSettings,
    pictures: Iterable[tuple[int, int | None]],
    source: SourceSpec = SOFTWARE,
    conditioning: Conditioning | None = None,
) -> list[Part]:
    """Divide pictures, each a number and a label, into parts of a microbatch; the last may be smaller."""
    pairs, size = list(pictures), settings.microbatch
    chunks = [pairs[at : at + size] for at in range(0, len(pairs), size)]
    return [
        Part(
            checkpoint,
            settings,
            tuple(number for number, _ in chunk),
            tuple(label for _, label in chunk),
            source,
            conditioning,
        )
        for chunk in chunks
    ]


@dataclass(frozen=True)
class Step:
    """A part after `step` of `steps` steps.

    `x` is what it came to, `seen` what the network saw of the step before, `guess` what the scheduler takes the
    pictures for (x where it does not say); each (pictures, channels, height, width), about −1 to 1.
    """

    numbers: tuple[int, ...]
    step: int
    steps: int
    x: torch.Tensor
    seen: torch.Tensor
    guess: torch.Tensor


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
class Samples:
    """Pictures, and what they took: seconds of wall clock and of processor time.

    `cpu_seconds` is the process's processor time while sampling, `noise_cpu_seconds` the part spent in
    getting bits and turning them into noise.
    """

    pictures: list[Picture] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    noise_cpu_seconds: float = 0.0

    @property
    def noise_fraction(self) -> float:
        """The share of the processor time of sampling that went into noise."""
        return self.noise_cpu_seconds / self.cpu_seconds if self.cpu_seconds else 0.0


def to_unit(images: torch.Tensor) -> torch.Tensor:
    """Map −1 … 1 to 0 … 1, cutting off what lies outside."""
    return images.add(1).div(2).clamp(0, 1)


def to_pixels(image: torch.Tensor) -> npt.NDArray[np.uint8]:
    """A picture's numbers as it is shown: (height, width) or (height, width, 3) uint8."""
    shown = to_unit(image).mul(255).round().byte().permute(1, 2, 0).numpy()
    return shown[:, :, 0] if shown.shape[2] == 1 else shown


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
