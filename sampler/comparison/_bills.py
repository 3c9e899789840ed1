"""What a comparison still takes from its stores, before it goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sampler.comparison._check import network_of
from sampler.comparison._plan import ArmPlan, Plan
from sampler.comparison._trainings import model_folder, sources_of, training_settings
from sampler.drawing._bill import bill
from sampler.training import steps_done, training_bill

if TYPE_CHECKING:
    from entropy import Store


def store_bills(
    plan: Plan, folder: Path, runs: Iterable[tuple[ArmPlan, int, int]], stores: Mapping[str, Store]
) -> dict[str, int]:
    """Give the recorded bits that each store must still hold for `runs`: (arm, number, pictures that are there).

    Trainings count from their last saved state. Conditionings whose rate varies count what they may need at most.
    """
    found = Counter(dict.fromkeys(plan.stores, 0))
    pictures: Counter[ArmPlan] = Counter()
    trainings = set()
    for arm, number, there in runs:
        if arm.source.store is not None:
            pictures[arm] += max(plan.pictures_of(arm) - there, 0)
        trainings.add((arm.model, plan.training_of(arm, number)))
    for arm, count in pictures.items():
        found[arm.source.store or ""] += count * _of_a_picture(plan, arm)
    for name, number in trainings:
        found.update(_of_a_training(plan, folder, name, number, stores))
    return dict(found)


def _of_a_picture(plan: Plan, arm: ArmPlan) -> int:
    return bill(network_of(plan.model_of(arm)), plan.settings_of(arm), 1, arm.conditioner).recorded_each


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
