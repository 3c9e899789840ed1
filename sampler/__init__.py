"""Bits to noise to pictures: the noise hook, models, training and sampling."""

from sampler._animation import ANIMATIONS, save_animation, traced_steps
from sampler._bill import Bill, bill
from sampler._checkpoint import Checkpoint, load_checkpoint, save_checkpoint, shipped_checkpoint
from sampler._diffusers_model import PictureKind
from sampler._digits import Digits, load_digits
from sampler._errors import SamplerError
from sampler._hook import HardwareNoise, hardware_noise, picture_generator
from sampler._microbatch import fitting_microbatch
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
from sampler._pictures import (
    contact_sheet,
    load_pixels,
    load_provenance,
    picture_name,
    pixels,
    save_picture,
    save_pictures,
    save_provenance,
    save_sheet,
    write_whole,
)
from sampler._replay import PixelDifference, Replayed, replay
from sampler._sample import Picture, SampleProgress, Samples, check_labels, pixels_digest, sample, to_pixels
from sampler._schedulers import SCHEDULERS, build_scheduler, scheduler_option
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

__all__ = [
    "ANIMATIONS",
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
    "PictureKind",
    "PixelDifference",
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
    "check_labels",
    "contact_sheet",
    "fitting_microbatch",
    "hardware_noise",
    "integers",
    "load_checkpoint",
    "load_digits",
    "load_pixels",
    "load_provenance",
    "normal_bits",
    "normal_levels",
    "normals",
    "permutation",
    "picture_generator",
    "picture_name",
    "pixels",
    "pixels_digest",
    "replay",
    "sample",
    "save_animation",
    "save_checkpoint",
    "save_picture",
    "save_pictures",
    "save_provenance",
    "save_sheet",
    "scheduler_option",
    "shipped_checkpoint",
    "to_pixels",
    "traced_steps",
    "train",
    "training_bill",
    "training_scheduler",
    "uniforms",
    "write_whole",
]
