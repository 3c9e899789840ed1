"""Growing pictures in an array: the network says with which probability each pixel flips, and its cell does it."""

from memtj.growing._forward import NoisedStep, noise_forward
from memtj.growing._grow import Growing, Grown, calibrated_array
from memtj.growing._placing import place
from memtj.growing._replay import read_again
from memtj.growing._retention import MOST_STRAYING, refuse_forgetting

__all__ = [
    "MOST_STRAYING",
    "Growing",
    "Grown",
    "NoisedStep",
    "calibrated_array",
    "noise_forward",
    "place",
    "read_again",
    "refuse_forgetting",
]
