"""One training run: the step, the moving average of the weights, and what was drawn and lost on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from sampler._model import build_model
from sampler.training._data import DataSet
from sampler.training._names import NamedSources
from sampler.training._objective import objective_of
from sampler.training._settings import TrainSettings


@dataclass
class Epoch:
    """What one pass over the data took: its number from 1, steps that ended in it, bits of noise and recorded bits."""

    number: int
    steps: int = 0
    bits: dict[str, int] = field(default_factory=dict)
    recorded: int = 0


class Run:
    """Network, optimiser, average, the epoch's order of pictures. `done` counts steps, `losses` has one a step."""

    def __init__(
        self,
        settings: TrainSettings,
        data: DataSet,
        named: NamedSources,
        weights: Mapping[str, torch.Tensor] | None,
    ) -> None:
        """Draw the initial weights, or take `weights` where a run goes on; see `_state` for all that goes with them."""
        self.settings, self.named = settings, named
        self.objective = objective_of(settings)
        if weights is None:
            with named.drawing("weights"):
                self.model = build_model(settings.architecture)
        else:
            with torch.device("meta"):
                self.model = build_model(settings.architecture)
            self.model.load_state_dict(weights, assign=True)
        self.model.train()
        self.images, self.labels = data.tensor(), torch.from_numpy(data.labels)
        self.optimiser = torch.optim.AdamW(self.model.parameters(), lr=settings.peak_rate, weight_decay=1e-4)
        self.rate = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, max_lr=settings.peak_rate, total_steps=settings.steps + 1, pct_start=0.1
        )
        self.average = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.order = torch.empty(0, dtype=torch.int64)
        self.losses: list[float] = []
        self.epochs: list[Epoch] = []

    @property
    def done(self) -> int:
        """How many steps were made."""
        return len(self.losses)

    def step(self) -> float:
        """Make one step and give its loss."""
        s, before = self.settings, (dict(self.named.bits), sum(self.named.recorded.values()))
        chosen = self._batch()
        labels = self.labels[chosen]
        with self.named.drawing("timesteps"):
            timesteps = torch.randint(0, self.objective.timesteps, (s.batch,))
        with self.named.drawing("diffusion"):
            noisy, wanted = self.objective.noised(self.images[chosen], timesteps)
        with self.named.drawing("dropout"):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=s.precision == "bfloat16"):
                predicted = self.model(noisy, timesteps, class_labels=labels).sample
        loss = self.objective.loss(predicted.float(), wanted)
        self._descend(loss)
        self.losses.append(float(loss.detach()))
        self._follow()
        self._account(*before)
        return self.losses[-1]

    def _batch(self) -> torch.Tensor:
        """Take the next pictures of the epoch's order; where it ends, the batch goes on with the next epoch's."""
        chosen, taken, count = [], self.done * self.settings.batch, len(self.images)
        end = taken + self.settings.batch
        while taken < end:
            at = taken % count
            if at == 0:
                with self.named.drawing("shuffle"):
                    self.order = torch.randperm(count)
            chosen.append(self.order[at : at + end - taken])
            taken += len(chosen[-1])
        return torch.cat(chosen)

    def _descend(self, loss: torch.Tensor) -> None:
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        self.rate.step()

    def _follow(self) -> None:
        # A young average forgets faster, so that it does not keep the first random weights for long.
        keep = min(self.settings.ema, (1 + self.done) / (10 + self.done))
        for name, value in self.model.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value.detach(), 1 - keep)

    def _account(self, bits: Mapping[str, int], recorded: int) -> None:
        number = (self.done * self.settings.batch - 1) // len(self.images) + 1
        if not self.epochs or self.epochs[-1].number != number:
            self.epochs.append(Epoch(number))
        epoch = self.epochs[-1]
        epoch.steps += 1
        epoch.recorded += sum(self.named.recorded.values()) - recorded
        for name, now in self.named.bits.items():
            epoch.bits[name] = epoch.bits.get(name, 0) + now - bits[name]


def optimiser_tensors(
    optimiser: torch.optim.Optimizer,
) -> tuple[dict[str, torch.Tensor], list[dict[str, Any]]]:
    """Take an optimiser's state apart: its tensors by "parameter.key", and its groups' plain numbers."""
    state = optimiser.state_dict()
    tensors = {f"{index}.{key}": value for index, own in state["state"].items() for key, value in own.items()}
    return tensors, state["param_groups"]


def restore_optimiser(
    optimiser: torch.optim.Optimizer, tensors: Mapping[str, torch.Tensor], groups: list[dict[str, Any]]
) -> None:
    """Put an optimiser's state together again."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        index, _, key = name.partition(".")
        state.setdefault(int(index), {})[key] = value
    optimiser.load_state_dict({"state": state, "param_groups": groups})
