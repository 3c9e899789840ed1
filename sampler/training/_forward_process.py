"""The forward process that a network is trained for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

TIMESTEPS = 1000


def training_scheduler() -> DDPMScheduler:
    """The forward process that the network is trained for: 1,000 steps, linear β from 1e-4 to 0.02."""
    from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

    return DDPMScheduler(
        num_train_timesteps=TIMESTEPS, beta_start=1e-4, beta_end=0.02, beta_schedule="linear"
    )
