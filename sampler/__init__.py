"""Bits to noise to pictures: the noise hook, models, training and sampling."""

from sampler._bill import Bill, bill
from sampler._checkpoint import Checkpoint, load_checkpoint, save_checkpoint, shipped_checkpoint
from sampler._digits import Digits, load_digits
from sampler._errors import SamplerError
from sampler._model import Architecture, build_model
from sampler._noise_map import (
    NOISE_MAP,
    NORMAL_WIDTHS,
    NoiseMap,
    integers,
    normal_bits,
    normal_levels,
    normals,
    permutation,
    uniforms,
)
from sampler._pictures import load_provenance, pixels, save_picture, save_pictures, save_sheet
from sampler._replay import Replayed, replay
from sampler._sample import Picture, SampleProgress, Samples, sample
from sampler._schedulers import SCHEDULERS, build_scheduler
from sampler._settings import SampleSettings
from sampler._sources import (
    BiasedSource,
    CorrelatedSource,
    LeaseSource,
    OperatingSystemSource,
    SoftwareSource,
    Source,
    StuckSource,
)
from sampler._train import TrainProgress, TrainSettings, train, training_bill, training_scheduler
from sampler.hook import HardwareNoise, hardware_noise, picture_generator

__all__ = [
    "NOISE_MAP",
    "NORMAL_WIDTHS",
    "SCHEDULERS",
    "Architecture",
    "BiasedSource",
    "Bill",
    "Checkpoint",
    "CorrelatedSource",
    "Digits",
    "HardwareNoise",
    "LeaseSource",
    "NoiseMap",
    "OperatingSystemSource",
    "Picture",
    "Replayed",
    "SampleProgress",
    "SampleSettings",
    "SamplerError",
    "Samples",
    "SoftwareSource",
    "Source",
    "StuckSource",
    "TrainProgress",
    "TrainSettings",
    "bill",
    "build_model",
    "build_scheduler",
    "hardware_noise",
    "integers",
    "load_checkpoint",
    "load_digits",
    "load_provenance",
    "normal_bits",
    "normal_levels",
    "normals",
    "permutation",
    "picture_generator",
    "pixels",
    "replay",
    "sample",
    "save_checkpoint",
    "save_picture",
    "save_pictures",
    "save_sheet",
    "shipped_checkpoint",
    "train",
    "training_bill",
    "training_scheduler",
    "uniforms",
]
