"""diffusers' schedulers, by name and unmodified."""

from __future__ import annotations

import contextlib
import inspect
import json
import warnings
from collections.abc import Mapping
from typing import Any

from entropy.arguments import ANY, Real, takes
from sampler._errors import SamplerError

SCHEDULERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddpm": ("DDPMScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "edm": ("EDMEulerScheduler", {}),
    "dpm-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
}
_BROWNIAN = {"DPMSolverSDEScheduler", "CosineDPMSolverMultistepScheduler"}
_FORWARDS = {"DDIMInverseScheduler", "DPMSolverMultistepInverseScheduler"}
_STEP = ["model_output", "timestep", "sample"]
# What the many schedulers of diffusers raise where settings, network or number of steps do not suit them.
REFUSALS = (
    TypeError, ValueError, LookupError, AttributeError, RuntimeError, NotImplementedError, ImportError, AssertionError
)  # fmt: skip


@takes(steps=ANY)
def build_scheduler(
    name: str, steps: int, trained: Mapping[str, Any], options: Mapping[str, Any] | None = None
) -> Any:
    """Build diffusers' scheduler `name` for `steps` steps, for a network trained with the configuration
    `trained`.

    `name` is one of SCHEDULERS or a class of diffusers; `options` replace parts of its configuration. Raises
    SamplerError for an unknown name or option, for steps that it refuses, and by name for those that draw from a
    Brownian tree: they must see the same noise twice.
    """
    class_name, extra = SCHEDULERS.get(name, (name, {}))
    kind = _scheduler_class(name, class_name)
    known = _known_options(kind)
    for option in options or {}:
        if option not in known:
            raise SamplerError(f"{class_name} has no option {option!r}: it knows {', '.join(sorted(known))}")
    try:
        with warnings.catch_warnings():
            # Some schedulers hand a tensor to numpy in a way that numpy 2 has an opinion on.
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            scheduler = kind.from_config({**trained, **extra, **(options or {})})
            scheduler.set_timesteps(steps)
    except REFUSALS as error:
        raise SamplerError(
            f"{class_name} refuses {steps} steps with this network's settings: {error}"
        ) from error
    return scheduler


def _scheduler_class(name: str, class_name: str) -> Any:
    import diffusers

    choice = f"choose one of {', '.join(SCHEDULERS)}"
    if class_name in _BROWNIAN:
        raise SamplerError(
            f"{class_name} draws from a Brownian tree, which must see the same noise twice: its noise "
            f"cannot come from bits that are used once; {choice}"
        )
    if class_name in _FORWARDS:
        raise SamplerError(f"{class_name} turns pictures into noise, not noise into pictures: {choice}")
    kind = getattr(diffusers, class_name, None) if class_name.endswith("Scheduler") else None
    if kind is None:
        raise SamplerError(f"there is no scheduler {name!r}: {choice}, or name a class of diffusers")
    step = getattr(kind, "step", None)
    parameters = [] if step is None else list(inspect.signature(step).parameters.values())[1:]
    needed = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    if needed != _STEP:
        raise SamplerError(
            f"{class_name} does not step from a prediction, a timestep and a sample alone, as schedulers of "
            f"pictures do: {choice}"
        )
    return kind


def _known_options(kind: Any) -> dict[str, Any]:
    """The options of a scheduler's configuration with their defaults."""
    parameters = inspect.signature(kind.__init__).parameters.values()
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name: p.default for p in parameters if p.name != "self" and p.kind in named}


def scheduler_option(scheduler: str, text: str) -> tuple[str, Any]:
    """Read "key=value" for a scheduler (a name of SCHEDULERS or a class of diffusers); the default's type rules.

    Raises SamplerError where the key is unknown, naming those that are known, or the value is of another type.
    """
    class_name, _ = SCHEDULERS.get(scheduler, (scheduler, {}))
    known = _known_options(_scheduler_class(scheduler, class_name))
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise SamplerError(
            f"{text!r} is no option of a scheduler: write key=value, such as clip_sample=false"
        )
    if key not in known:
        raise SamplerError(f"{class_name} has no option {key!r}: it knows {', '.join(sorted(known))}")
    return key, _typed(class_name, key, value, known[key])


def _typed(class_name: str, key: str, value: str, default: Any) -> Any:
    parsed: Any = value
    with contextlib.suppress(ValueError):
        parsed = json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
    # bool is an int to Python: it is asked first.
    fits: bool
    match default:
        case bool():
            fits, kind = isinstance(parsed, bool), "true or false"
        case int():
            fits, kind = isinstance(parsed, int) and not isinstance(parsed, bool), "a whole number"
        case float():
            fits, kind = isinstance(parsed, int | float) and not isinstance(parsed, bool), "a number"
            parsed = float(parsed) if fits else parsed
        case str():
            fits, kind, parsed = True, "a word", value
        case _:
            fits, kind = True, "JSON"
    if not fits:
        raise SamplerError(
            f"{class_name}'s option {key} is {kind} such as {json.dumps(default)}, not {value!r}"
        )
    return parsed


@takes(eta=Real())
def step_options(scheduler: Any, eta: float) -> dict[str, Any]:
    """What `scheduler.step` is to be told besides the network's answer: η where it takes one.

    Raises SamplerError for an η that the scheduler does not know.
    """
    if "eta" in inspect.signature(scheduler.step).parameters:
        return {"eta": eta}
    if eta:
        raise SamplerError(f"{type(scheduler).__name__} takes no eta: only DDIM and its like do")
    return {}
