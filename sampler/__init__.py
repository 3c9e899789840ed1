"""Bits to noise to pictures: the noise hook, models, training and sampling."""

from sampler._checkpoint import Checkpoint, load_checkpoint, save_checkpoint, shipped_checkpoint
from sampler._diffusers_model import PictureKind
from sampler._digits import Digits, load_digits
from sampler._errors import DataSetWarning, SamplerError
from sampler._model import Architecture, build_model
from sampler._noise_map import integers, normal_bits, normals, permutation, uniforms
from sampler._noise_sampler import noise_sampler
from sampler._normal_levels import NOISE_MAP, NORMAL_WIDTHS, NoiseMap, normal_levels, normal_levels_sha256
from sampler._numpy_generator import SourceGenerator, numpy_generator
from sampler._whole_files import write_whole
from sampler.drawing._animation import ANIMATIONS, save_animation, traced_steps
from sampler.drawing._bill import Bill, bill
from sampler.drawing._frames import Frames
from sampler.drawing._microbatch import fitting_microbatch
from sampler.drawing._part import Part, Picture, Samples, Step, check_labels, parts_of, to_pixels
from sampler.drawing._pictures import (
    contact_sheet,
    load_pixels,
    load_provenance,
    picture_name,
    pixels,
    save_picture,
    save_pictures,
    save_provenance,
    save_sheet,
)
from sampler.drawing._replay import PixelDifference, Replayed, replay
from sampler.drawing._run_folder import RunFolder
from sampler.drawing._sample import draw_parts, picture_digest, picture_versions, pixels_digest, sample
from sampler.drawing._settings import SampleSettings
from sampler.drawing._supply import LeasedBits, NamedLeases, made_bits
from sampler.hook import HardwareNoise, hardware_noise, picture_generator
from sampler.processes import SCHEDULERS, build_scheduler, scheduler_option, training_scheduler
from sampler.sources import (
    BiasedSource,
    ConditionedSource,
    ConstantSource,
    CorrelatedSource,
    LeaseSource,
    OperatingSystemSource,
    RepeatedSource,
    SoftwareSource,
    Source,
    SourceSpec,
    StoreSource,
    Stream,
    Streams,
    StuckSource,
)
from sampler.training import (
    TRAINING_NAMES,
    DataSet,
    TrainingBill,
    TrainProgress,
    TrainSettings,
    architecture_of_widths,
    load_data,
    train,
    training_bill,
    training_stream,
)

__all__ = [
    "ANIMATIONS",
    "NOISE_MAP",
    "NORMAL_WIDTHS",
    "SCHEDULERS",
    "TRAINING_NAMES",
    "Architecture",
    "BiasedSource",
    "Bill",
    "Checkpoint",
    "ConditionedSource",
    "ConstantSource",
    "CorrelatedSource",
    "DataSet",
    "DataSetWarning",
    "Digits",
    "Frames",
    "HardwareNoise",
    "LeaseSource",
    "LeasedBits",
    "NamedLeases",
    "NoiseMap",
    "OperatingSystemSource",
    "Part",
    "Picture",
    "PictureKind",
    "PixelDifference",
    "RepeatedSource",
    "Replayed",
    "RunFolder",
    "SampleSettings",
    "SamplerError",
    "Samples",
    "SoftwareSource",
    "Source",
    "SourceGenerator",
    "SourceSpec",
    "Step",
    "StoreSource",
    "Stream",
    "Streams",
    "StuckSource",
    "TrainProgress",
    "TrainSettings",
    "TrainingBill",
    "architecture_of_widths",
    "bill",
    "build_model",
    "build_scheduler",
    "check_labels",
    "contact_sheet",
    "draw_parts",
    "fitting_microbatch",
    "hardware_noise",
    "integers",
    "load_checkpoint",
    "load_data",
    "load_digits",
    "load_pixels",
    "load_provenance",
    "made_bits",
    "noise_sampler",
    "normal_bits",
    "normal_levels",
    "normal_levels_sha256",
    "normals",
    "numpy_generator",
    "parts_of",
    "permutation",
    "picture_digest",
    "picture_generator",
    "picture_name",
    "picture_versions",
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
    "training_stream",
    "uniforms",
    "write_whole",
]
