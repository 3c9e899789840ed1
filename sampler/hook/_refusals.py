"""Kernels that refuse, and kernels that refuse only where they would draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sampler._errors import SamplerError
from sampler.hook._operations import RandomOperation

Kernel = Callable[..., Any]

_MATH_ATTENTION = 0  # at::SDPBackend::math, the one whose dropout is an operation of its own


def refusal(name: str, key: str) -> Kernel:
    """A kernel that raises SamplerError with the operation's name."""
    where = "" if key == "CPU" else f" on {key}"

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise SamplerError(
            f"{name}{where} draws random numbers that hardware_noise does not serve: draw them from normal, "
            "uniform, bernoulli or integer numbers, or leave hardware_noise first"
        )

    return refuse


def has_dropout(operation: RandomOperation) -> bool:
    """Whether an operation (attention, a recurrent layer) draws only where its dropout is above 0."""
    return _dropout_argument(operation.overload) is not None


def drops(overload: torch._ops.OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call of an operation with dropout would draw: dropout above 0, and training where it says."""
    values = {}
    for place, argument in enumerate(overload._schema.arguments):
        given = args[place] if place < len(args) else kwargs.get(argument.name, argument.default_value)
        values[argument.name] = given
    return bool(values[_dropout_argument(overload)] or 0) and bool(values.get("train", True))


def undropped(operation: RandomOperation, key: str) -> Kernel:
    """A kernel, registered with its keyset, that runs torch's own without dropout and refuses with it.

    The choice of attention is not refused: with dropout plain operations are chosen, which draw it through an operation
    that is served; the fused ones have a generator of their own.
    """
    overload, refuse = operation.overload, refusal(operation.name, key)
    original = torch.library.get_kernel(operation.name, key)

    def run(keyset: Any, *args: Any, **kwargs: Any) -> Any:
        if drops(overload, args, kwargs):
            return _MATH_ATTENTION if operation.name == "aten::_fused_sdp_choice" else refuse()
        return original.call_boxed(keyset, *args, **kwargs)

    return run


def _dropout_argument(overload: torch._ops.OpOverload) -> str | None:
    names = {argument.name for argument in overload._schema.arguments}
    return next((name for name in ("dropout_p", "dropout") if name in names), None)
