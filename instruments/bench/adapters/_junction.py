"""One junction of a pulse source and a readout: what it stands, and what both put across it, counted together."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from entropy.arguments import Real, take_fields

from ..._errors import BenchError

Kind = Literal["pulse", "read"]
_HAIR = 1 + 1e-12


@dataclass(frozen=True)
class JunctionLimits:
    """Absolute maxima at the device, as `[limits]` of a bench file has them: volts, seconds, volts, amperes, fraction.

    Raises TypeError or ValueError for what is no positive, finite number.
    """

    pulse_voltage: float
    pulse_width: float
    read_voltage: float
    current: float
    duty: float = 1.0

    def __post_init__(self) -> None:
        positive = Real(above=0)
        take_fields(
            self, pulse_voltage=positive, pulse_width=positive, read_voltage=positive, current=positive,
            duty=Real(above=0, most=1),
        )  # fmt: skip


class Junction:
    """Refuses what is above a limit; one object is shared by all adapters of a junction, so each counts the others.

    Pulses come on top of a read voltage that stands: their magnitudes together are within `pulse_voltage`.
    """

    def __init__(self, limits: JunctionLimits) -> None:
        self.limits = limits
        self._peaks: dict[Kind, float] = {"pulse": 0.0, "read": 0.0}  # V at the device, overshoot included

    def check_pulse(self, peak: float, width: float, period: float, read: float | None = None) -> None:
        """Raise BenchError where a pulse (V at the device with its overshoot, seconds) is above a limit.

        `read`: volts of the read voltage beside it; None: what stands there now.
        """
        limits = self.limits
        read = self._peaks["read"] if read is None else read
        _check("a pulse", "pulse_voltage", peak, limits.pulse_voltage, "V")
        _check("pulse and read voltage together", "pulse_voltage", peak + read,
               limits.pulse_voltage, "V")  # fmt: skip
        _check("a pulse", "pulse_width", width, limits.pulse_width, "s")
        _check("width over period", "duty", width / period, limits.duty, "")

    def check_read(self, peak: float, compliance: float) -> None:
        """Raise BenchError where a read voltage (V at the device) or a compliance (A) is above a limit."""
        limits = self.limits
        _check("a read voltage", "read_voltage", peak, limits.read_voltage, "V")
        _check("pulse and read voltage together", "pulse_voltage", peak + self._peaks["pulse"],
               limits.pulse_voltage, "V")  # fmt: skip
        _check("a compliance", "current", compliance, limits.current, "A")

    @contextlib.contextmanager
    def setting(self, kind: Kind, peak: float) -> Iterator[None]:
        """Note that pulses or read voltage are so high once a box has taken that in here.

        Where it raises, nobody knows what the box has: the larger counts.
        """
        self._peaks[kind] = max(peak, self._peaks[kind])
        yield
        self._peaks[kind] = peak

    def is_off(self, kind: Kind) -> None:
        """Note that a box has confirmed that its output is off."""
        self._peaks[kind] = 0.0


def _check(what: str, key: str, value: float, limit: float, unit: str) -> None:
    if not value <= limit * _HAIR:
        raise BenchError(
            f"{what} of {value:g} {unit}".rstrip()
            + f" at the device is above limits.{key} = {limit:g} {unit}".rstrip()
            + ": choose a smaller one"
        )
