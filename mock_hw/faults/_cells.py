"""Cells that are broken: a wrapper around a device, so that its physics and its faults do not know each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mock_hw._device import Device, Floats

# Our own choice of what a broken cell reads, in ohms.
SHORTED = 300.0
OPEN = 1e9
# A converter that reads an open cell sits near the end of its scale; it does not wander over all of it.
_OPEN_NOISE = 0.05


@dataclass(frozen=True)
class _Broken:
    """What is wrong with which cell; replaced as a whole, because an acquisition may be reading it."""

    shorted: frozenset[int] = frozenset()
    open: frozenset[int] = frozenset()
    stuck: Mapping[int, bool] = field(default_factory=dict)

    def without(self, cell: int) -> "_Broken":
        """The same with `cell` sound."""
        stuck = {other: state for other, state in self.stuck.items() if other != cell}
        return _Broken(self.shorted - {cell}, self.open - {cell}, stuck)


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
        self._broken = _Broken()
        self._volts_per_second = 0.0
        self._offset = 0.0

    # Faults

    def short(self, cell: int) -> None:
        """Short one cell."""
        sound = self._broken.without(cell)
        self._broken = _Broken(sound.shorted | {cell}, sound.open, sound.stuck)

    def interrupt(self, cell: int) -> None:
        """Break the connection to one cell: it is open."""
        sound = self._broken.without(cell)
        self._broken = _Broken(sound.shorted, sound.open | {cell}, sound.stuck)

    def stick(self, cell: int, antiparallel: bool) -> None:
        """Have one cell read one state for ever."""
        sound = self._broken.without(cell)
        self._broken = _Broken(sound.shorted, sound.open, {**sound.stuck, cell: antiparallel})

    def drift(self, volts_per_hour: float) -> None:
        """Have the voltage of every pulse run away from now on; what it has gained so far stays."""
        self._volts_per_second = volts_per_hour / 3600

    def repair(self) -> None:
        """Make every cell sound, and pulses what they are said to be."""
        self._broken = _Broken()
        self._volts_per_second = self._offset = 0.0

    @property
    def broken(self) -> dict[int, str]:
        """What is wrong with each broken cell: "short", "open", "P" or "AP" (stuck)."""
        now = self._broken
        return {
            **dict.fromkeys(sorted(now.shorted), "short"),
            **dict.fromkeys(sorted(now.open), "open"),
            **{cell: "AP" if state else "P" for cell, state in sorted(now.stuck.items())},
        }

    @property
    def volts_per_hour(self) -> float:
        """Rate of the drift."""
        return self._volts_per_second * 3600

    # The device

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.device.cells

    def switching_probability(
        self, voltage: Floats, width: Floats | float, temperature: float, field: float, antiparallel: bool
    ) -> Floats:
        """See `Device`; at the voltage that the drift has made of it."""
        if self._offset:
            most = self._largest_pulse
            # No pulse stays no pulse: the drift is of what drives the pulse, not of its absence.
            voltage = np.where(voltage == 0, 0.0, np.clip(voltage + self._offset, -most, most))
        return self.device.switching_probability(voltage, width, temperature, field, antiparallel)

    def retention_rate(
        self,
        temperature: float,
        field: float,
        antiparallel: bool,
        *,
        powered: bool = True,
        voltage: float = 0.0,
    ) -> Floats:
        """See `Device`."""
        return self.device.retention_rate(temperature, field, antiparallel, powered=powered, voltage=voltage)

    def resistances(
        self, voltage: float, temperature: float, relaxed: float, settle: float
    ) -> tuple[Floats, Floats]:
        """See `Device`; broken cells read what their fault makes them read."""
        parallel, antiparallel = self.device.resistances(voltage, temperature, relaxed, settle)
        now = self._broken
        if not (now.shorted or now.open or now.stuck):
            return parallel, antiparallel
        parallel, antiparallel = parallel.copy(), antiparallel.copy()
        for cell, state in now.stuck.items():
            parallel[cell] = antiparallel[cell] = (antiparallel if state else parallel)[cell]
        for cells, ohms in ((now.shorted, SHORTED), (now.open, OPEN)):
            parallel[list(cells)] = antiparallel[list(cells)] = ohms
        return parallel, antiparallel

    def read_noise(self, resistance: Floats, voltage: float, settle: float, temperature: float) -> Floats:
        """See `Device`."""
        noise = self.device.read_noise(resistance, voltage, settle, temperature)
        open_cells = list(self._broken.open)
        if open_cells:
            noise = noise.copy()
            noise[open_cells] = np.minimum(noise[open_cells], _OPEN_NOISE * resistance[open_cells])
        return noise

    def compared(self, thresholds: Floats) -> Floats:
        """See `Device`."""
        return self.device.compared(thresholds)

    def converted(self, readings: Floats) -> Floats:
        """See `Device`."""
        return self.device.converted(readings)

    def advance(self, seconds: float) -> None:
        """Let the drift, and everything of the device that goes on by itself, go on."""
        self._offset += self._volts_per_second * seconds
        self.device.advance(seconds)

    def wear(self, pulses: int, voltage: Floats) -> None:
        """See `Device`."""
        self.device.wear(pulses, voltage)

    @property
    def temperature_offset(self) -> float:
        """Kelvin, the present deviation from the set temperature."""
        return self.device.temperature_offset

    def save(self) -> dict[str, NDArray]:
        """What the device keeps; faults are not part of it."""
        return self.device.save()

    def load(self, saved: Mapping[str, NDArray]) -> None:
        """See `Device`."""
        self.device.load(saved)
