"""Processes between noise and pictures: the Gaussian one, and diffusers' schedulers that run it backwards."""

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
    "REFUSALS",
    "SCHEDULERS",
    "TIMESTEPS",
    "NormalLaw",
    "build_scheduler",
    "denoise",
    "draw",
    "first_law",
    "forward_law",
    "scheduler_option",
    "step_options",
    "training_scheduler",
]
