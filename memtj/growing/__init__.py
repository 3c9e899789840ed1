"""Growing pictures in an array: the network says with which probability each pixel flips, and its cell does it."""

from memtj.growing._forward import Noised, NoisedStep, noise_forward, noise_pictures
from memtj.growing._grow import Growing, Grown
from memtj.growing._placing import place
from memtj.growing._recorder import calibrated_array
from memtj.growing._replay import read_again
from memtj.growing._retention import MOST_STRAYING, Straying, refuse_forgetting

__all__ = [
    "MOST_STRAYING",
    "Growing",
    "Grown",
    "Noised",
    "NoisedStep",
    "Straying",
    "calibrated_array",
    "noise_forward",
    "noise_pictures",
    "place",
    "read_again",
    "refuse_forgetting",
]
