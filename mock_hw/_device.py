"""The cells of a simulated array: how they switch and what they read.

What stands here is a smooth *stand-in* of our own choice, not device physics: it has the right shape
(switching that oscillates in pulse width, a sigmoid in voltage, a spread from cell to cell) and plausible
numbers, nothing more. Macrospin physics replaces it behind the same `Device` interface.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Floats = NDArray[np.float64]

_BOLTZMANN = 1.380649e-23
_ELECTRON = 1.602176634e-19


class Device(Protocol):
    """What the array needs to know of its cells; every array has shape (cells,), row by row."""

    @property
    def cells(self) -> int:
        """Number of cells."""
        ...

    def switching_probability(
        self, voltage: Floats, width: float, temperature: float, field: float, antiparallel: bool
    ) -> Floats:
        """Probability that one pulse flips each cell.

        `voltage` in volts per cell, `width` in seconds, `temperature` in kelvin, `field` in tesla (out of
        plane, on top of each cell's stray field), `antiparallel` the state the pulse starts from.
        """
        ...

    def resistances(self, voltage: float) -> tuple[Floats, Floats]:
        """R_P and R_AP of each cell in ohms at the read `voltage` in volts."""
        ...

    def read_noise(self, resistance: Floats, voltage: float, settle: float, temperature: float) -> Floats:
        """Standard deviation of one reading in ohms, Gaussian; `settle` in seconds sets the bandwidth."""
        ...


@dataclass(frozen=True)
class StandInParameters:
    """Numbers of the stand-in cell (our own choice) and their spread from cell to cell."""

    critical_voltage: float = 1.256
    critical_voltage_spread: float = 0.03
    half_period: float = 0.595e-9
    in_plane_field_spread: float = 0.02
    stray_field_spread: float = 0.5e-3
    # -1.75 % per mT where P = 1/2: the logit moves by 4 x 1.75 %.
    tilt: float = 0.07e3
    softness: float = 0.0625
    tail: float = 2.6
    damping_time: float = 2.5e-9
    resistance_parallel: float = 78e3
    resistance_spread: float = 0.04
    tmr: float = 1.2
    tmr_spread: float = 0.03
    half_voltage: float = 0.6
    amplifier_noise: float = 1e-12
    truncation: float = 2.5


class StandInDevice:
    """Smooth stand-in for an array of ME-MTJ cells; not physics, replaced by the macrospin model later.

    P = S(V) g(w): S a logistic in (V - V_c) with a fifth-order term that sharpens its tails, g(w) from ½ (1
    - exp(-(w/2.5 ns)⁴) cos(π w / t_half)), flattened at its maximum so that a reset pulse of the half period
    hardly ever fails. The stray field tilts P→AP against AP→P. Spreads are Gaussian, cut at 2.5 σ.
    """

    def __init__(self, cells: int, seed: int, parameters: StandInParameters | None = None) -> None:
        p = self.parameters = parameters or StandInParameters()
        self._cells = cells
        rng = np.random.default_rng([seed, 0xCE115])

        def spread(sigma: float) -> Floats:
            return sigma * _truncated_normal(rng, cells, p.truncation)

        self.critical_voltage = p.critical_voltage * (1 + spread(p.critical_voltage_spread))
        self.half_period = p.half_period / (1 + spread(p.in_plane_field_spread))
        self.stray_field = spread(p.stray_field_spread)
        self.resistance_parallel = p.resistance_parallel * (1 + spread(p.resistance_spread))
        self.tmr = p.tmr * (1 + spread(p.tmr_spread))

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self._cells

    def switching_probability(
        self, voltage: Floats, width: float, temperature: float, field: float, antiparallel: bool
    ) -> Floats:
        """Probability that one pulse flips each cell; exactly 0 without voltage (see `Device`)."""
        p = self.parameters
        x = (voltage - self.critical_voltage) / (p.softness * max(temperature, 1.0) / 300.0)
        drive = expit(x + (x / p.tail) ** 5)
        turn = 0.5 * (1 - np.exp(-((width / p.damping_time) ** 4)) * np.cos(np.pi * width / self.half_period))
        turn = turn + turn**6 * (1 - turn)
        flip = drive * turn
        sign = 1.0 if antiparallel else -1.0
        tilt = np.exp(sign * p.tilt * (self.stray_field + field))
        flip = flip * tilt / (1 - flip + flip * tilt)
        return np.where((voltage > 0) & (width > 0), np.clip(flip, 0.0, 1.0), 0.0)

    def resistances(self, voltage: float) -> tuple[Floats, Floats]:
        """R_P and R_AP in ohms: R_AP(V) = R_P [1 + TMR₀ / (1 + (V/V_h)²)]."""
        ratio = self.tmr / (1 + (voltage / self.parameters.half_voltage) ** 2)
        return self.resistance_parallel.copy(), self.resistance_parallel * (1 + ratio)

    def read_noise(self, resistance: Floats, voltage: float, settle: float, temperature: float) -> Floats:
        """Shot, Johnson and amplifier noise in a bandwidth of 1/(2 settle), as ohms."""
        current = max(abs(voltage), 1e-6) / resistance
        bandwidth = 0.5 / settle
        density = 2 * _ELECTRON * current + 4 * _BOLTZMANN * temperature / resistance
        density = density + self.parameters.amplifier_noise**2
        return resistance * np.sqrt(density * bandwidth) / current


def _truncated_normal(rng: np.random.Generator, count: int, cut: float) -> Floats:
    values = rng.standard_normal(count)
    while (outside := np.abs(values) > cut).any():
        values[outside] = rng.standard_normal(int(outside.sum()))
    return values
