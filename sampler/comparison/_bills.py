"""What a comparison still takes from its stores, before it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sampler._bill import bill
from sampler._checkpoint import Checkpoint, load_checkpoint, untrained_checkpoint
from sampler._settings import SampleSettings
from sampler.comparison._plan import ArmPlan, Plan
from sampler.comparison._trainings import sources_of, training_settings
from sampler.sources import entropy_errors
from sampler.training import steps_done, training_bill, training_scheduler

if TYPE_CHECKING:
    from entropy import Store


def store_bills(
    plan: Plan, folder: Path, runs: Iterable[tuple[ArmPlan, int, int]], stores: Mapping[str, Store]
) -> dict[str, int]:
    """Give the recorded bits that each store must still hold for `runs`: (arm, number, pictures that are there).

    Trainings count from their last saved state. Conditionings whose rate varies count what they may need at most.
    """
    found = Counter(dict.fromkeys(plan.stores, 0))
    trainings = set()
    for arm, number, there in runs:
        if arm.source.store is not None:
            found[arm.source.store] += max(plan.pictures_of(arm) - there, 0) * _of_a_picture(plan, arm)
        trainings.add((arm.model, plan.training_of(arm, number)))
    for name, number in trainings:
        found.update(_of_a_training(plan, folder, name, number, stores))
    return dict(found)


def model_folder(folder: Path, name: str, training: int) -> Path:
    """Where a comparison keeps a network that it trains."""
    return folder / "models" / f"{name}-{training}"


def _of_a_picture(plan: Plan, arm: ArmPlan) -> int:
    from entropy import conditioning_from_name

    with entropy_errors():
        conditioning = conditioning_from_name(arm.conditioning)
    settings = SampleSettings(plan.scheduler, plan.steps, plan.eta, plan.microbatch, arm.bits_per_normal)
    return bill(_checkpoint(plan, arm), settings, 1, conditioning).recorded_each


def _checkpoint(plan: Plan, arm: ArmPlan) -> Checkpoint:
    model = plan.model_of(arm)
    if model.train is None:
        return load_checkpoint(None if model.path == "shipped" else model.path)
    architecture = training_settings(Path(), model.train, 0).architecture
    return untrained_checkpoint(architecture, training_scheduler().config)


def _of_a_training(
    plan: Plan, folder: Path, name: str, number: int, stores: Mapping[str, Store]
) -> dict[str, int]:
    train = plan.models[name].train if name in plan.models else None
    if train is None:
        return {}
    settings = training_settings(
        model_folder(folder, name, number), train, plan.seed("training", name, number)
    )
    cost = training_bill(settings, sources_of(train, 0, stores, "bill"), done=steps_done(settings))
    taken: Counter[str] = Counter()
    for line in cost.names:
        source = train.noise.get(line.name) or train.noise.get("all")
        if source is not None and source.store is not None:
            taken[source.store] += line.recorded
    return taken
