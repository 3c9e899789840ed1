"""Training: real pictures, every random number from a named source."""

from sampler.training._bill import NameBill, TrainingBill, training_bill
from sampler.training._data import DataSet, load_data
from sampler.training._names import TRAINING_NAMES, NamedSources, names_of, training_stream
from sampler.training._objective import objective_of
from sampler.training._settings import TrainSettings, architecture_of_widths, check_settings
from sampler.training._train import TrainProgress, steps_done, train

__all__ = [
    "TRAINING_NAMES",
    "DataSet",
    "NameBill",
    "NamedSources",
    "TrainProgress",
    "TrainSettings",
    "TrainingBill",
    "architecture_of_widths",
    "check_settings",
    "load_data",
    "names_of",
    "objective_of",
    "steps_done",
    "train",
    "training_bill",
    "training_stream",
]
