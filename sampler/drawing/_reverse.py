"""The reverse process of a part, Gaussian or binary, as one walk over pictures of numbers about −1 to 1."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import torch

from sampler._bernoulli_map import BERNOULLI_MAP
from sampler._checkpoint import BINARY, Checkpoint
from sampler._errors import SamplerError
from sampler._noise_map import NOISE_MAP
from sampler._normal_levels import normal_levels_sha256
from sampler.drawing._settings import SampleSettings
from sampler.hook import PaddingStream, streams_noise
from sampler.processes import (
    BERNOULLI,
    BinaryProcess,
    StreamDraws,
    build_scheduler,
    denoise,
    draw,
    first_law,
    grow,
    step_options,
)
from sampler.sources import Stream

Predict = Callable[[torch.Tensor, Any], torch.Tensor]
"""The network: from (microbatch, channels, height, width) and a timestep to its answer."""


@dataclass(frozen=True)
class State:
    """All pictures of a microbatch after a step: `x`, what the network `seen` to get there, and its `guess` at x_0."""

    x: torch.Tensor
    seen: torch.Tensor
    guess: torch.Tensor


class Reverse(Protocol):
    """A reverse process that is ready to be walked. `noise_seconds`: of the processor, that went into noise so far."""

    steps: int
    noise_seconds: float

    def walk(self, predict: Predict, streams: Sequence[Stream], shape: tuple[int, ...]) -> Generator[State]:
        """Yield the first noise, then the state after each step, of `shape` (microbatch, channels, height, width).

        The pictures beyond the streams are padding.
        """
        ...

    def described(self) -> dict[str, Any]:
        """What the provenance of a picture says of the noise's map, and of the process."""
        ...


class GaussianReverse:
    """A scheduler of diffusers, from normal numbers."""

    def __init__(self, checkpoint: Checkpoint, settings: SampleSettings) -> None:
        self._scheduler = build_scheduler(
            settings.scheduler, settings.steps, checkpoint.card["scheduler"], settings.options
        )
        self._options = step_options(self._scheduler, settings.eta)
        self._width = settings.bits_per_normal
        self.steps, self.noise_seconds = len(self._scheduler.timesteps), 0.0

    def walk(self, predict: Predict, streams: Sequence[Stream], shape: tuple[int, ...]) -> Generator[State]:
        """Draw by torch, inside the hook."""
        padded = [*streams, *[PaddingStream() for _ in range(shape[0] - len(streams))]]
        with streams_noise(padded, self._width) as noise:
            x, _ = draw(first_law(self._scheduler, shape))
            yield State(x, x, x)
            for seen, output in denoise(predict, self._scheduler, x, self._options):
                guess = getattr(output, "pred_original_sample", None)
                x = output.prev_sample
                yield State(x, seen, x if guess is None else guess)
                self.noise_seconds = noise.cpu_seconds

    def described(self) -> dict[str, Any]:
        """Name the scheduler and its configuration."""
        width, config = self._width, self._scheduler.config
        return {
            "noise_map": asdict(NOISE_MAP),
            **({"normal_levels_sha256": normal_levels_sha256(width)} if width < 32 else {}),
            "sampling": {
                "scheduler_class": type(self._scheduler).__name__,
                "scheduler_config": {k: v for k, v in config.items() if not k.startswith("_")},
            },
        }


class BinaryReverse:
    """Flips of the binary process, from Bernoulli numbers."""

    def __init__(self, checkpoint: Checkpoint, settings: SampleSettings) -> None:
        self._process = BinaryProcess.from_config(checkpoint.card["scheduler"])
        check_binary(settings)
        self._process.times(settings.steps)
        self._floor, self.steps, self.noise_seconds = settings.floor, settings.steps, 0.0

    def walk(self, predict: Predict, streams: Sequence[Stream], shape: tuple[int, ...]) -> Generator[State]:
        """Draw each picture's bits from its stream; padding stays at 0."""
        count, draws = len(streams), StreamDraws(streams)
        seen = x = torch.full(shape, -1.0)

        def ask(bits: np.ndarray[Any, Any], t: int) -> np.ndarray[Any, Any]:
            # The network counts its timesteps from 0.
            return torch.sigmoid(predict(x, t - 1)[:count].double()).numpy()

        shown = (count, *shape[1:])
        for step in grow(self._process, ask, draws, shown, self.steps, floor=self._floor):
            seen, x, guess = x, torch.full(shape, -1.0), torch.full(shape, -1.0)
            x[:count] = torch.from_numpy(step.x) * 2.0 - 1
            guess[:count] = torch.from_numpy(step.guess) * 2 - 1
            self.noise_seconds = draws.seconds
            yield State(x, seen, guess)

    def described(self) -> dict[str, Any]:
        """Name the process, and the map of its numbers."""
        return {
            "noise_map": asdict(NOISE_MAP),
            "bernoulli_map": BERNOULLI_MAP,
            "process": BINARY,
            "sampling": {
                "scheduler_class": type(self._process).__name__,
                "scheduler_config": self._process.config,
            },
        }


def reverse_of(checkpoint: Checkpoint, settings: SampleSettings) -> Reverse:
    """Give the reverse process of a network; raises SamplerError for settings that do not go with it."""
    return (BinaryReverse if checkpoint.process == BINARY else GaussianReverse)(checkpoint, settings)


def check_binary(settings: SampleSettings) -> None:
    """Raise SamplerError for settings of a Gaussian process."""
    if settings.scheduler != BERNOULLI:
        raise SamplerError(
            f"this network draws by the binary process, not by a scheduler such as {settings.scheduler}: leave it out, "
            f"or name {BERNOULLI}"
        )
    if settings.eta or settings.bits_per_normal != 32 or settings.options:
        raise SamplerError(
            "the binary process draws no normal numbers: leave out eta, bits per normal, and options of a scheduler"
        )
