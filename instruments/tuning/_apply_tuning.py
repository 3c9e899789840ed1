"""What a recording makes of a tuning that is kept in a file: whether it fits, and what is known of the cells by it."""

import logging
from dataclasses import asdict
from typing import Protocol

import numpy as np

from .._errors import BenchError
from ..array import Array, Trims
from ..holding import Response
from ._calibration import Cells
from ._tuning import Tuning

log = logging.getLogger(__name__)

_WARN_KELVIN, _MOST_KELVIN = 1.0, 5.0


class ArrayIdentity(Protocol):
    """Which array something is known of."""

    @property
    def rows(self) -> int: ...
    @property
    def columns(self) -> int: ...
    @property
    def identity(self) -> str: ...
    @property
    def device(self) -> str: ...


def apply_tuning(array: Array, tuning: Tuning) -> Cells:
    """Give what a tuning knows of the cells of an array; raises BenchError where it is of another array or point."""
    known, mode = tuning.conditions, array.point.mode
    refuse_other_array(array, known, "tuning", "tune")
    for name, value in asdict(array.point).items():
        if name != "mode" and not np.isclose(value, getattr(known, name), rtol=1e-6, atol=0):
            raise BenchError(
                f"the tuning was made with a {name.replace('_', ' ')} of {getattr(known, name):g} and {value:g} is "
                "asked for: leave that out, or tune again at this point"
            )
    if mode == "toggle" and known.mode == "reset":
        raise BenchError(
            "the tuning was made with a reset before every pulse, so pulses from AP are not tuned: record with the "
            "mode reset, or tune in the mode toggle"
        )
    refuse_other_temperature(array, known.temperature, "tuned", "tune")
    used = tuning.used
    trims = (tuning.voltage[0], tuning.width[0], tuning.voltage[1], tuning.width[1])
    return Cells(
        r_p=tuning.r_p,
        r_ap=tuning.r_ap,
        threshold=tuning.threshold,
        trim=np.where(used, tuning.voltage[0], 0.0),
        p_sw=np.full(len(used), np.nan),
        reason=tuning.reason.copy(),  # cells that fail later are added
        readings=np.zeros(0, np.float32),
        trims=Trims(*(np.where(used, each, 0.0) for each in trims)),
        response=Response.of(tuning.per_volt, tuning.low, tuning.high, known.target),
    )


def refuse_other_array(array: Array, known: ArrayIdentity, what: str, again: str) -> None:
    """Raise BenchError where `what` is known of another board, or other devices, than those of the array."""
    rows, columns = array.shape
    if (known.rows, known.columns) != (rows, columns):
        raise BenchError(
            f"the {what} is of {known.rows} × {known.columns} cells and the {array.name!r} has "
            f"{rows} × {columns}: {again} this one"
        )
    # A firmware may be newer than it was; maker, model and serial number say which board it is.
    if known.identity.split(",")[:3] != array.identity.split(",")[:3]:
        raise BenchError(
            f"the {what} is of the board {known.identity!r} and this one is {array.identity!r}: {again} this one"
        )
    if known.device and array.device and known.device != array.device:
        raise BenchError(
            f"the {what} is of the devices {known.device!r} and the bench file says {array.device!r}: {again} these"
        )


def refuse_other_temperature(array: Array, kelvin: float, what: str, again: str) -> None:
    """Raise BenchError where the array is far from the temperature that `what` was made at; logs where it is off."""
    warmer = array.temperature() - kelvin
    if abs(warmer) > _MOST_KELVIN:
        raise BenchError(
            f"the array is {abs(warmer):.1f} K {'warmer' if warmer > 0 else 'colder'} than when it was {what}: wait, "
            f"or {again} again"
        )
    if abs(warmer) > _WARN_KELVIN:
        log.warning("the array is %+.1f K from where it was %s", warmer, what)
