"""What a board may put out: the limits of the bench file at the device, and the board's own behind the path."""

import contextlib
import math
from collections.abc import Iterator

import numpy as np

from entropy.arguments import real

from .._errors import BenchError
from ._file import LimitsSection
from ._limits import Limits
from ._signal_path import SignalPath


class BoardLimits:
    """Refuses what is above a limit, in volts at the device, and keeps account of what the board is set to.

    The magnitudes of a pulse and of the hold voltage count together, however a board adds the two. `in_force`: once
    the role is prepared, what the board itself allows at its output.
    """

    def __init__(self, path: SignalPath, limits: LimitsSection, *, source: str, instrument: str) -> None:
        self.path, self.limits = path, limits
        self.source, self.instrument = source, instrument
        self.in_force = Limits.through(path, limits)
        self._largest: dict[str, float] = {}  # volts at the device: of each kind of pulse, and of the hold

    def forget(self) -> None:
        """Note that the board was reset: no pulse has a voltage."""
        self._largest.clear()

    @contextlib.contextmanager
    def setting(self, kind: str, magnitude: float) -> Iterator[None]:
        """Note that pulses of this kind have at most so many volts, once the board has taken the setting in here.

        Where it raises, nobody knows which setting the board has: the larger counts.
        """
        self._largest[kind] = max(magnitude, self._largest.get(kind, 0.0))
        yield
        self._largest[kind] = magnitude

    @property
    def hold(self) -> float:
        """The magnitude of the hold voltage, volts at the device."""
        return self._largest.get("hold", 0.0)

    @property
    def largest_pulse(self) -> float:
        """The largest magnitude of any pulse that the board is set to, volts at the device."""
        return max((volts for kind, volts in self._largest.items() if kind != "hold"), default=0.0)

    def check(self, what: str, key: str, value: float, unit: str) -> None:
        """Raise BenchError where a value is above the limit `key` of the file."""
        limit = getattr(self.limits, key)
        if not value <= limit * (1 + 1e-12):
            raise BenchError(
                f"a {what} of {value:g} {unit} at the device is above limits.{key} = {limit:g} {unit} in "
                f"{self.source}: choose a smaller one"
            )

    def check_pulse(self, what: str, voltage: float, width: float) -> None:
        """Raise BenchError where a pulse (volts at the device, seconds) is above a limit of the file or the board."""
        voltage, width = limited_number(voltage, "voltage"), limited_number(width, "width", 0)
        self.check(what, "pulse_voltage", abs(voltage) * (1 + self.path.overshoot), "V")
        self.check(what, "pulse_width", width, "s")
        if abs(voltage) / self.path.gain > self.in_force.voltage * (1 + 1e-9):
            raise BenchError(
                f"a {what} of {voltage:g} V needs {abs(voltage) / self.path.gain:g} V at the output of the "
                f"{self.instrument!r}, whose own limit is {self.in_force.voltage:g} V: limits only go down "
                "until the board's power is cycled"
            )

    def check_sum(self, pulse: float, hold: float | None = None) -> None:
        """Raise BenchError where magnitudes of a pulse and of the hold, by default the present one, are too much."""
        both = (pulse + (self.hold if hold is None else hold)) * (1 + self.path.overshoot)
        self.check("pulse and hold voltage together", "pulse_voltage", both, "V")

    def to_box(self, voltage: float) -> float:
        """Give the volts that the board has to be set to, not a hair above its limit."""
        limit = self.in_force.voltage
        return float(np.clip(voltage / self.path.gain, -limit, limit))


def limited_number(value: float, name: str, least: float = -math.inf) -> float:
    """Give a number from `least` on as a float; infinity for one that is not finite: its limit refuses it by name."""
    try:
        number = real(value, name)
    except ValueError:
        return math.inf
    return real(number, name, least=least)
