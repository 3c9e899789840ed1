"""diffusers' schedulers, by name and unmodified."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

from sampler._errors import SamplerError

SCHEDULERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "dpm-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
}
_BROWNIAN = {"DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler"}


def build_scheduler(name: str, steps: int, trained: Mapping[str, Any]) -> Any:
    """Build diffusers' scheduler `name` for `steps` steps, for a network trained with the configuration
    `trained`.

    `name` is one of SCHEDULERS or a class of diffusers. Raises SamplerError for an unknown one, for steps
    that it refuses, and by name for those that draw from a Brownian tree: they must see the same noise twice.
    """
    import diffusers

    class_name, extra = SCHEDULERS.get(name, (name, {}))
    if class_name in _BROWNIAN:
        raise SamplerError(
            f"{class_name} draws from a Brownian tree, which must see the same noise twice: its noise "
            f"cannot come from "
            f"bits that are used once; choose one of {', '.join(SCHEDULERS)}"
        )
    kind = getattr(diffusers, class_name, None) if class_name.endswith("Scheduler") else None
    if kind is None:
        raise SamplerError(f"there is no scheduler {name!r}: choose one of {', '.join(SCHEDULERS)}")
    try:
        with warnings.catch_warnings():
            # Some schedulers hand a tensor to numpy in a way that numpy 2 has an opinion on.
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            scheduler = kind.from_config(dict(trained), **extra)
            scheduler.set_timesteps(steps)
    except (TypeError, ValueError, IndexError, AttributeError) as error:
        raise SamplerError(
            f"{class_name} refuses {steps} steps with this network's settings: {error}"
        ) from error
    return scheduler


def step_options(scheduler: Any, eta: float) -> dict[str, Any]:
    """What `scheduler.step` is to be told besides the network's answer: η where it takes one.

    Raises SamplerError for an η that the scheduler does not know.
    """
    if "eta" in inspect.signature(scheduler.step).parameters:
        return {"eta": eta}
    if eta:
        raise SamplerError(f"{type(scheduler).__name__} takes no eta: only DDIM does")
    return {}
