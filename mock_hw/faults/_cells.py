"""Cells that are broken: a wrapper around a device, so that its physics and its faults do not know each other."""

from collections.abc import Mapping
from typing import Literal

import numpy as np

from mock_hw._device import Device, Floats

# Our own choice of what a broken cell reads, in ohms.
SHORTED = 300.0
OPEN = 1e9
# A converter that reads an open cell sits near the end of its scale; it does not wander over all of it.
_OPEN_NOISE = 0.05

Damage = Literal["short", "open", "P", "AP"]
"""What is wrong with a cell; a state: it is stuck in that."""


class FaultyDevice:
    """A device some of whose cells are shorted, open or stuck, and whose pulses drift; sound to begin with.

    A shorted cell reads 300 Ω and an open one 1 GΩ in both states (or as much of it as the converter can
    tell), a stuck one the resistance of the state it is stuck in. Drift adds a voltage to every pulse that
    grows with simulated time, up to `largest_pulse` volts. Everything else is the `device`'s. What changes
    takes effect where the array asks next: at the next acquisition at the latest.
    """

    def __init__(self, device: Device, *, largest_pulse: float = np.inf) -> None:
        self.device = device
        self._largest_pulse = largest_pulse
        self.broken: Mapping[int, Damage] = {}
        """What is wrong with each broken cell; replaced as a whole, because an acquisition may be reading it."""
        self.volts_per_hour = 0.0
        self._offset = 0.0
        # What no fault touches.
        self.cells = device.cells
        self.retention_rate = device.retention_rate
        self.compared, self.converted = device.compared, device.converted
        self.wear, self.save, self.load = device.wear, device.save, device.load

    # Faults

    def damage(self, cell: int, how: Damage) -> None:
        """Break one cell; whatever was wrong with it before is not any more."""
        self.broken = {**self.broken, cell: how}

    def drift(self, volts_per_hour: float) -> None:
        """Have the voltage of every pulse run away from now on; what it has gained so far stays."""
        self.volts_per_hour = volts_per_hour

    def repair(self) -> None:
        """Make every cell sound, and pulses what they are said to be."""
        self.broken = {}
        self.volts_per_hour = self._offset = 0.0

    # The device

    def switching_probability(
        self, voltage: Floats, width: Floats | float, temperature: float, field: float, antiparallel: bool
    ) -> Floats:
        """See `Device`; at the voltage that the drift has made of it."""
        if self._offset:
            most = self._largest_pulse
            # No pulse stays no pulse: the drift is of what drives the pulse, not of its absence.
            voltage = np.where(voltage == 0, 0.0, np.clip(voltage + self._offset, -most, most))
        return self.device.switching_probability(voltage, width, temperature, field, antiparallel)

    def resistances(
        self, voltage: float, temperature: float, relaxed: float, settle: float
    ) -> tuple[Floats, Floats]:
        """See `Device`; broken cells read what their fault makes them read."""
        parallel, antiparallel = self.device.resistances(voltage, temperature, relaxed, settle)
        if not self.broken:
            return parallel, antiparallel
        parallel, antiparallel = parallel.copy(), antiparallel.copy()
        for cell, how in self.broken.items():
            ohms = {"short": SHORTED, "open": OPEN, "P": parallel[cell], "AP": antiparallel[cell]}[how]
            parallel[cell] = antiparallel[cell] = ohms
        return parallel, antiparallel

    def read_noise(self, resistance: Floats, voltage: float, settle: float, temperature: float) -> Floats:
        """See `Device`."""
        noise = self.device.read_noise(resistance, voltage, settle, temperature)
        open_cells = [cell for cell, how in self.broken.items() if how == "open"]
        if open_cells:
            noise = noise.copy()
            noise[open_cells] = np.minimum(noise[open_cells], _OPEN_NOISE * resistance[open_cells])
        return noise

    def advance(self, seconds: float) -> None:
        """Let the drift, and everything of the device that goes on by itself, go on."""
        self._offset += self.volts_per_hour / 3600 * seconds
        self.device.advance(seconds)

    @property
    def temperature_offset(self) -> float:
        """Kelvin, the present deviation from the set temperature."""
        return self.device.temperature_offset
