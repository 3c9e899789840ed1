"""The state of an unfinished training: one safetensors file, its numbers as JSON in the header.

Nothing in it is ever unpickled or executed. It is replaced in one step, and on the disk before it replaces the last.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sampler._checkpoint import GAUSSIAN
from sampler._errors import SamplerError
from sampler._whole_files import write_whole
from sampler.training._data import DataSet
from sampler.training._names import NamedSources
from sampler.training._run import Epoch, Run, optimiser_tensors, restore_optimiser
from sampler.training._settings import TrainSettings

STATE = "state.safetensors"
_FORMAT, _VERSION = "memtj-training", 1


@dataclass(frozen=True)
class State:
    """A saved state: tensors by "part.name", and the rest as JSON values."""

    tensors: dict[str, torch.Tensor]
    numbers: dict[str, Any]
    path: Path

    @property
    def seed(self) -> int:
        """The seed of the software streams."""
        return int(self.numbers["seed"])

    @property
    def done(self) -> int:
        """How many steps were made."""
        return int(self.numbers["done"])

    @property
    def seconds(self) -> float:
        """How long they took."""
        return float(self.numbers["seconds"])


def save_state(run: Run, data: DataSet, seed: int, seconds: float) -> None:
    """Save all that the run needs to go on, as `STATE` in its folder; it is on the disk when this returns."""
    from safetensors.torch import save

    optimiser, groups = optimiser_tensors(run.optimiser)
    tensors = {
        **{f"model.{k}": v.detach() for k, v in run.model.state_dict().items()},
        **{f"average.{k}": v for k, v in run.average.items()},
        **{f"optimiser.{k}": v for k, v in optimiser.items()},
        "order": run.order,
        "losses": torch.tensor(run.losses, dtype=torch.float64),
    }
    numbers = {
        "format": _FORMAT,
        "format_version": _VERSION,
        "settings": recorded_settings(run.settings),
        "data": data.sha256,
        "seed": seed,
        "done": run.done,
        "seconds": seconds,
        "groups": groups,
        "rate": run.rate.state_dict(),
        "epochs": [asdict(epoch) for epoch in run.epochs],
        "entropy": run.named.provenance(),
    }
    raw = save({k: v.contiguous() for k, v in tensors.items()}, {_FORMAT: json.dumps(numbers)})
    write_whole(run.settings.out / STATE, raw, durable=True)


def load_state(out: Path) -> State | None:
    """Load the state in folder `out`; None where there is none. Raises SamplerError where it is damaged or foreign."""
    from safetensors import SafetensorError, safe_open

    path = out / STATE
    if not path.exists():
        return None
    try:
        with safe_open(path, "pt") as file:
            numbers = json.loads((file.metadata() or {}).get(_FORMAT, "null"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (OSError, SafetensorError, ValueError) as error:
        raise SamplerError(f"{path} cannot be read as the state of a training: {error}") from error
    if not isinstance(numbers, dict) or numbers.get("format_version") != _VERSION:
        raise SamplerError(
            f"{path} is not the state of a training by this memtj: start anew in another folder"
        )
    return State(tensors, numbers, path)


def check_state(state: State, settings: TrainSettings, data: DataSet) -> None:
    """Raise SamplerError where the state is of a training with other settings or other data."""
    before, now = state.numbers["settings"], recorded_settings(settings)
    for name in dict.fromkeys([*before, *now]):
        if before.get(name) != now.get(name):
            raise SamplerError(
                f"the training in {settings.out} was begun with {name} {before.get(name)} and cannot go on with "
                f"{now.get(name)}: give the same, or start anew in another folder"
            )
    if state.numbers["data"] != data.sha256:
        raise SamplerError(
            f"the training in {settings.out} was begun with other pictures than {data.name} holds now: their SHA-256 "
            "differs; start anew in another folder"
        )


def restored_run(state: State, settings: TrainSettings, data: DataSet, named: NamedSources) -> Run:
    """Make the run again as it was, its sources moved to where they were."""
    named.go_on(state.numbers["entropy"])
    run = Run(settings, data, named, _part(state, "model"))
    run.average = _part(state, "average")
    restore_optimiser(run.optimiser, _part(state, "optimiser"), state.numbers["groups"])
    run.rate.load_state_dict(state.numbers["rate"])
    run.order = state.tensors["order"]
    run.losses = state.tensors["losses"].tolist()
    run.epochs = [Epoch(**epoch) for epoch in state.numbers["epochs"]]
    return run


def recorded_settings(settings: TrainSettings) -> dict[str, Any]:
    """The settings that make a training what it is, as JSON values; where it is written and its seed are not."""
    told: Mapping[str, Any] = json.loads(json.dumps(asdict(settings), default=str))
    # States and cards from before there was another process name none.
    gaussian = ("process", "process_steps") if settings.process == GAUSSIAN else ()
    return {k: v for k, v in told.items() if k not in ("out", "seed", *gaussian)}


def _part(state: State, part: str) -> dict[str, torch.Tensor]:
    return {k.removeprefix(f"{part}."): v for k, v in state.tensors.items() if k.startswith(f"{part}.")}
