"""How to train, and what can be told to be senseless before anything is leased."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from entropy.arguments import ANY, Each, Real, take_fields, takes
from sampler._checkpoint import BINARY, GAUSSIAN, PROCESSES
from sampler._errors import SamplerError
from sampler._model import Architecture
from sampler.processes import BINARY_STEPS, BinaryProcess


@dataclass(frozen=True)
class TrainSettings:
    """How to train: `out` is the checkpoint folder; `seed` None asks the operating system for one.

    `precision` is that of the forward and backward pass ("float32", or "bfloat16" by autocast, faster where
    the processor has it); weights and their average are kept in float32. `process`: "gaussian", or "binary" for
    pictures of bits (a pixel is 1 from half of the range up), in `process_steps` steps. `seed` is that of the software
    streams, which serve every named draw that no other source was given for.
    """

    out: Path
    steps: int = 3500
    batch: int = 64
    peak_rate: float = 2e-3
    ema: float = 0.999
    seed: int | None = None
    precision: str = "float32"
    checkpoint_every: int = 250
    architecture: Architecture = field(default_factory=Architecture)
    process: str = GAUSSIAN
    process_steps: int = BINARY_STEPS

    def __post_init__(self) -> None:
        take_fields(self, steps=ANY, batch=ANY, peak_rate=Real(), ema=Real(), seed=ANY, checkpoint_every=ANY)
        take_fields(self, process_steps=ANY)


@takes(widths=Each(ANY), image_size=ANY, channels=ANY, labels=ANY, layers=ANY, dropout=Real())
def architecture_of_widths(
    widths: Sequence[int],
    *,
    image_size: int = 28,
    channels: int = 1,
    labels: int = 10,
    layers: int = 1,
    dropout: float = 0.0,
) -> Architecture:
    """Give a network of these widths, its norm groups (at most 16) and attention head (at most 32) fitted to them.

    Raises SamplerError where no network can be made of them.
    """
    if not widths or any(width < 1 for width in widths):
        raise SamplerError(f"a network needs one or more widths from 1 up, such as 32, 48, 64, not {widths}")
    return Architecture(
        image_size=image_size,
        channels=channels,
        widths=tuple(widths),
        layers_per_block=layers,
        norm_groups=math.gcd(16, *widths),
        attention_head=math.gcd(32, widths[-1]),
        labels=labels,
        dropout=dropout,
    )


def check_settings(settings: TrainSettings) -> None:
    """Raise SamplerError, with one sentence, for settings that make no sense."""
    if settings.precision not in ("float32", "bfloat16"):
        raise SamplerError(f"training precision {settings.precision!r} is unknown: use float32 or bfloat16")
    if settings.process not in PROCESSES:
        raise SamplerError(f"a process {settings.process!r} is unknown: use {' or '.join(PROCESSES)}")
    if settings.process == BINARY:
        BinaryProcess(settings.process_steps)  # which refuses what cannot be
    for name in ("steps", "batch", "checkpoint_every"):
        if getattr(settings, name) < 1:
            raise SamplerError(f"training needs {name} of at least 1, not {getattr(settings, name)}")
    if not 0 < settings.peak_rate < 1:
        raise SamplerError(f"the learning rate is a number above 0 and below 1, not {settings.peak_rate}")
    if not 0 <= settings.ema < 1:
        raise SamplerError(f"the average's ema is a number from 0 to below 1, not {settings.ema}")
    check_architecture(settings.architecture)


def check_architecture(architecture: Architecture) -> None:
    """Raise SamplerError where the network cannot be trained: its size does not halve at every width, say."""
    a = architecture
    halvings = len(a.widths) - 1
    if a.image_size < 1 or a.image_size % 2**halvings:
        raise SamplerError(
            f"a network of {len(a.widths)} widths halves its pictures {halvings} times: their size must be a "
            f"multiple of {2**halvings}, not {a.image_size}"
        )
    if not 0 <= a.dropout < 1:
        raise SamplerError(f"dropout is a share from 0 to below 1, not {a.dropout}")
