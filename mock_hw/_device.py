"""What the array needs to know of its cells; physics (`mock_hw.physics`) and faults (`mock_hw.faults`) provide it."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]


class Device(Protocol):
    """Cells of a simulated array; every array has shape (cells,), row by row. SI units throughout."""

    @property
    def cells(self) -> int:
        """Number of cells."""
        ...

    @property
    def temperature_offset(self) -> float:
        """Kelvin by which the array is warmer than it is set to at present."""
        ...

    def switching_probability(
        self, voltage: Floats, width: Floats | float, temperature: float, field: float, antiparallel: bool
    ) -> Floats:
        """Probability that one pulse flips each cell.

        `voltage` in volts per cell, `width` in seconds, per cell or one for all, `temperature` in kelvin, `field` in
        tesla (out of plane, on top of what the cells have anyway), `antiparallel` the state the pulse starts from.
        """
        ...

    def retention_rate(
        self,
        temperature: float,
        field: float,
        antiparallel: bool,
        *,
        powered: bool = True,
        voltage: float = 0.0,
    ) -> Floats:
        """Rate in 1/s at which each cell leaves that state, at rest or under a constant (read) `voltage` in volts.

        Without power there is no applied field.
        """
        ...

    def resistances(
        self, voltage: float, temperature: float, relaxed: float, settle: float
    ) -> tuple[Floats, Floats]:
        """What each cell reads in P and in AP, in ohms.

        `relaxed` seconds after the last pulse ended and `settle` seconds after the read `voltage` came on.
        """
        ...

    def read_noise(self, resistance: Floats, voltage: float, settle: float, temperature: float) -> Floats:
        """Standard deviation of one reading in ohms, Gaussian; `settle` in seconds sets the bandwidth."""
        ...

    def compared(self, thresholds: Floats) -> Floats:
        """The ohms at which the comparators really decide, for the thresholds that are set."""
        ...

    def converted(self, readings: Floats) -> Floats:
        """Readings in ohms, of any shape, as the converter gives them."""
        ...

    def advance(self, seconds: float) -> None:
        """Let drift and slow noise go on."""
        ...

    def wear(self, pulses: int, voltage: Floats) -> None:
        """Count pulses of `voltage` volts (cells,) towards the breakdown of the barriers."""
        ...

    def save(self) -> dict[str, NDArray]:
        """What outlives a restart of the lab, as arrays."""
        ...

    def load(self, saved: Mapping[str, NDArray]) -> None:
        """Take over what `save` gave; raises ValueError (one sentence) where it is of other cells."""
        ...
