"""Processes between noise and pictures: the Gaussian one with diffusers' schedulers, and the binary one."""

from sampler.processes._binary import BERNOULLI, BINARY_STEPS, ONE_FROM, BinaryProcess, BinaryStep, grow
from sampler.processes._draws import BernoulliDraws, Bits, Probabilities, StreamDraws
from sampler.processes._gaussian import (
    TIMESTEPS,
    NormalLaw,
    denoise,
    draw,
    first_law,
    forward_law,
    training_scheduler,
)
from sampler.processes._schedulers import (
    REFUSALS,
    SCHEDULERS,
    build_scheduler,
    scheduler_option,
    step_options,
)

__all__ = [
    "BERNOULLI",
    "BINARY_STEPS",
    "ONE_FROM",
    "REFUSALS",
    "SCHEDULERS",
    "TIMESTEPS",
    "BernoulliDraws",
    "BinaryProcess",
    "BinaryStep",
    "Bits",
    "NormalLaw",
    "Probabilities",
    "StreamDraws",
    "build_scheduler",
    "denoise",
    "draw",
    "first_law",
    "forward_law",
    "grow",
    "scheduler_option",
    "step_options",
    "training_scheduler",
]
