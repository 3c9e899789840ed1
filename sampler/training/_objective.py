"""What a network is trained to answer: the noise of the Gaussian process, or the clean bits of the binary one."""

from __future__ import annotations

from typing import Any, Protocol

import torch

from sampler._checkpoint import BINARY
from sampler.processes import ONE_FROM, TIMESTEPS, BinaryProcess, draw, forward_law, training_scheduler
from sampler.training._settings import TrainSettings


class Objective(Protocol):
    """A forward process and its loss. `timesteps`: how many; `name` and `config`: as the card has them."""

    timesteps: int
    name: str
    config: dict[str, Any]

    def noised(self, pixels: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """From pixels (pictures, channels, height, width) uint8: what the network sees, and what it is to answer."""
        ...

    def loss(self, answer: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """How far the network's answer is from it."""
        ...


class NoiseObjective:
    """The noise itself, by its squared error: Ho et al. 2020 (arXiv 2006.11239), equation 14."""

    timesteps, name = TIMESTEPS, "epsilon"

    def __init__(self) -> None:
        self._scheduler = training_scheduler()
        self.config = {k: v for k, v in self._scheduler.config.items() if not k.startswith("_")}

    def noised(self, pixels: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw x_t, and give it and its noise."""
        clean = pixels.float().div(127.5).sub(1)
        return draw(forward_law(self._scheduler, clean, timesteps))

    def loss(self, answer: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The mean squared error."""
        return torch.nn.functional.mse_loss(answer, wanted)


class BitsObjective:
    """The clean bits, by their cross-entropy given x_t: the loss of Austin et al. 2021 (arXiv 2107.03006) on x_0."""

    name = "clean bits"

    def __init__(self, process: BinaryProcess) -> None:
        self._process = process
        self.timesteps, self.config = process.steps, process.config

    def noised(self, pixels: torch.Tensor, timesteps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Draw x_t as −1 and 1, and give it and x_0 as 0 and 1; timesteps count from 0."""
        clean = pixels >= ONE_FROM
        chance = self._process.forward_law(clean.byte().numpy(), timesteps.numpy() + 1)
        drawn = torch.bernoulli(torch.from_numpy(chance).float())
        return drawn * 2 - 1, clean.float()

    def loss(self, answer: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The mean cross-entropy, in nats a pixel."""
        return torch.nn.functional.binary_cross_entropy_with_logits(answer, wanted)


def objective_of(settings: TrainSettings) -> Objective:
    """Give the objective of a training's process."""
    if settings.process == BINARY:
        return BitsObjective(BinaryProcess(settings.process_steps))
    return NoiseObjective()


def timesteps_of(settings: TrainSettings) -> int:
    """How many timesteps there are to draw from."""
    return settings.process_steps if settings.process == BINARY else TIMESTEPS
