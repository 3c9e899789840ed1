"""Growing pictures in an array: the network says with which probability each pixel flips, and its cell does it."""

from memtj.growing._forward import Noised, NoisedStep, noise_forward, noise_pictures
from memtj.growing._grow import Grown, grow_pictures
from memtj.growing._growing import Growing
from memtj.growing._placing import place
from memtj.growing._recorder import calibrated_array
from memtj.growing._replay import read_again
from memtj.growing._retention import MOST_STRAYING, Straying, refuse_forgetting
from memtj.growing._suspend import reopened, resume_pictures, resumed_run, suspend_pictures
from memtj.growing._suspension import MOST_LOST, SENTINELS, RetentionLaw, SentinelLoss, Suspended

__all__ = [
    "MOST_LOST",
    "MOST_STRAYING",
    "SENTINELS",
    "Growing",
    "Grown",
    "Noised",
    "NoisedStep",
    "RetentionLaw",
    "SentinelLoss",
    "Straying",
    "Suspended",
    "calibrated_array",
    "grow_pictures",
    "noise_forward",
    "noise_pictures",
    "place",
    "read_again",
    "refuse_forgetting",
    "reopened",
    "resume_pictures",
    "resumed_run",
    "suspend_pictures",
]
