"""The trainings of a comparison's own networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from sampler._checkpoint import Checkpoint, load_checkpoint
from sampler.comparison._plan import ModelPlan, TrainPlan
from sampler.sources import SourceSpec, StoreSource, Stream, entropy_errors
from sampler.training import TrainProgress, TrainSettings, architecture_of_widths, train

if TYPE_CHECKING:
    from entropy import Store


def given_network(model: ModelPlan) -> Checkpoint:
    """Load a network that is not the comparison's own: a folder's, or the shipped one."""
    return load_checkpoint(None if model.path == "shipped" else model.path)


def model_folder(folder: Path, name: str, training: int) -> Path:
    """Where a comparison keeps a network that it trains."""
    return folder / "models" / f"{name}-{training}"


def train_model(
    folder: Path,
    plan: TrainPlan,
    seed: int,
    stores: Mapping[str, Store],
    purpose: str,
    progress: Callable[[int, int], None],
) -> Checkpoint:
    """Give the network of a training, which is made, or gone on with, where it is not whole; steps done of how many."""

    def tell(state: TrainProgress) -> None:
        progress(state.step, state.steps)

    train(training_settings(folder, plan, seed), sources_of(plan, seed, stores, purpose), tell, resume=True)
    return load_checkpoint(folder)


def training_settings(folder: Path, plan: TrainPlan, seed: int) -> TrainSettings:
    """Give the settings of a training in its folder."""
    return TrainSettings(
        out=folder,
        steps=plan.steps,
        batch=plan.batch,
        seed=seed,
        architecture=architecture_of_widths(plan.widths),
        process=plan.process,
    )


def sources_of(
    plan: TrainPlan, seed: int, stores: Mapping[str, Store], purpose: str
) -> Mapping[str, Stream] | Stream:
    """Give the sources of a training, for all of its names or by name."""
    from entropy import conditioning_from_name

    with entropy_errors():
        conditioning = conditioning_from_name(plan.conditioning)

    def make(source: SourceSpec) -> Stream:
        if source.store is None:
            return source.with_seed(seed).make()
        return StoreSource(stores[source.store], conditioning, purpose=purpose)

    if "all" in plan.noise:
        return make(plan.noise["all"])
    return {name: make(source) for name, source in plan.noise.items()}
