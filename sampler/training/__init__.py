"""Training: real pictures, ε-prediction, every random number from a named source."""

from sampler.training._names import TRAINING_NAMES, NamedSources, training_stream
from sampler.training._settings import TrainSettings, architecture_of_widths
from sampler.training._train import TrainProgress, train, training_bill, training_scheduler

__all__ = [
    "TRAINING_NAMES",
    "NamedSources",
    "TrainProgress",
    "TrainSettings",
    "architecture_of_widths",
    "train",
    "training_bill",
    "training_scheduler",
    "training_stream",
]
