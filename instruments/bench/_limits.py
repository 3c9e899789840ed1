"""Limits at the output of a box: those at the device, through the gain of the path between them."""

from dataclasses import dataclass
from typing import Self

from ._file import LimitsSection
from ._signal_path import SignalPath


@dataclass(frozen=True)
class Limits:
    """What a box may put out, pulses and read voltage: volts, seconds, volts."""

    voltage: float
    width: float
    read_voltage: float

    @classmethod
    def through(cls, path: SignalPath, device: LimitsSection) -> Self:
        """Compute them from those at the device, peaks included."""
        peak = path.peak_gain
        return cls(device.pulse_voltage / peak, device.pulse_width, device.read_voltage / peak)
