"""Sums of joules by term, and the ohms of antiparallel cells that they need."""

from dataclasses import dataclass, fields

import numpy as np

from ._assumptions import Assumptions


@dataclass
class Joules:
    """Joules of all bits so far; NaN once they are not known for some."""

    write_from_p: float = 0.0
    write_from_ap: float = 0.0
    reset: float = 0.0
    read: float = 0.0
    line: float = 0.0
    conversions: float = 0.0
    comparisons: float = 0.0
    hold: float = 0.0
    magnet: float = 0.0
    wire: float = 0.0
    host: float = 0.0

    def add(self, other: "Joules") -> None:
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


def at_bias(
    r_p: np.ndarray, r_ap: np.ndarray, read: float, volts: np.ndarray | float, assumed: Assumptions
) -> np.ndarray:
    """Ohms of antiparallel cells at a voltage: R_P (1 + TMR₀/(1 + (V/V_h)²)), the TMR from readings at `read` volts."""
    half = assumed.half_voltage.value
    tmr = (r_ap / r_p - 1) * (1 + (read / half) ** 2)
    return r_p * (1 + tmr / (1 + (np.abs(volts) / half) ** 2))
