"""What of a plan would be refused once it is an arm's turn, refused before any picture is drawn or bit taken."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sampler._checkpoint import Checkpoint, untrained_checkpoint
from sampler._errors import SamplerError
from sampler.comparison._features import FeatureExtractor
from sampler.comparison._plan import ArmPlan, ModelPlan, Plan, TrainPlan
from sampler.comparison._trainings import given_network, training_settings
from sampler.drawing._bill import bill
from sampler.sources import entropy_errors
from sampler.training import check_settings, objective_of

if TYPE_CHECKING:
    from entropy import Store

_OF_EACH_LABEL = 3  # pictures that a kernel distance takes


def check_plan(
    plan: Plan, extractor: FeatureExtractor, stores: Mapping[str, Store], only: Sequence[str] | None = None
) -> None:
    """Raise SamplerError where an arm, of all or of those named, cannot be run: changes nothing.

    Networks are loaded, schedulers stepped on one pixel, one empty picture measured, and the stores' free bits tried
    with what they go through.
    """
    arms = plan.chosen(only)
    networks = {arm.model: network_of(plan.model_of(arm)) for arm in arms}
    for arm in arms:
        _check_arm(plan, arm, networks[arm.model], stores)
    for checkpoint in networks.values():
        kind = checkpoint.pictures
        colours = (3,) if kind.channels == 3 else ()
        extractor(np.zeros((1, kind.height, kind.width, *colours), np.uint8))
    for name in networks:
        train = plan.models[name].train if name in plan.models else None
        if train is not None:
            _check_training(train, stores)


def network_of(model: ModelPlan) -> Checkpoint:
    """Give the network of a model, an untrained one where it is yet to be trained."""
    if model.train is None:
        return given_network(model)
    settings = training_settings(Path(), model.train, 0)
    return untrained_checkpoint(settings.architecture, objective_of(settings).config, settings.process)


def _check_arm(plan: Plan, arm: ArmPlan, checkpoint: Checkpoint, stores: Mapping[str, Store]) -> None:
    from entropy import check_conditioning
    from entropy.quality.estimators import LEAST_BITS

    pictures, labels = plan.pictures_of(arm), checkpoint.pictures.labels or 1
    if pictures < _OF_EACH_LABEL * labels:
        raise SamplerError(
            f"arm {arm.name!r} has {pictures} pictures, and its network draws {labels} labels, of each of which it "
            f"takes {_OF_EACH_LABEL} to compare them: plan {_OF_EACH_LABEL * labels} or more"
        )
    cost = bill(checkpoint, plan.settings_of(arm), 1, arm.conditioner)
    if pictures * cost.recorded_each < LEAST_BITS:
        raise SamplerError(
            f"the pictures of arm {arm.name!r} take {pictures * cost.recorded_each:,} raw bits, too few to judge "
            f"these ({LEAST_BITS:,}): plan more pictures"
        )
    if arm.source.store is not None and arm.source.store in stores:
        with entropy_errors():
            check_conditioning(stores[arm.source.store], arm.conditioner)


def _check_training(train: TrainPlan, stores: Mapping[str, Store]) -> None:
    from entropy import check_conditioning, conditioning_from_name

    check_settings(training_settings(Path(), train, 0))
    with entropy_errors():
        conditioning = conditioning_from_name(train.conditioning)
        for source in train.noise.values():
            if source.store is not None and source.store in stores:
                check_conditioning(stores[source.store], conditioning)
