"""What a bit costs: an estimate from settings and measured resistances."""

from dataclasses import dataclass

import numpy as np

from ..array import WorkingPoint


@dataclass(frozen=True)
class EnergyPerBit:
    """Joules per usable bit, by term, as Joule heat in the junction.

    Estimated from settings and measured resistances: V²t/R of the write pulse, of the readings, and of the reset
    pulses (applied to cells that read antiparallel). The charging of leads and the board itself are not in it.
    """

    write: float
    read: float
    reset: float


def energy_per_bit(
    point: WorkingPoint,
    *,
    pulse_volts: np.ndarray,
    width: np.ndarray,
    r_p: np.ndarray,
    r_ap: np.ndarray,
    ones_fraction: float,
    usable_fraction: float,
) -> EnergyPerBit:
    """Estimate the energy per usable bit; arrays hold one value for each used cell, volts at the device.

    A toggle has one reading per pulse and starts in either state; the other sequence resets the cells that read
    antiparallel, reads twice, and starts parallel.
    """
    if not len(r_p) or not usable_fraction:
        return EnergyPerBit(float("nan"), float("nan"), float("nan"))
    parallel, antiparallel = 1 / r_p, 1 / r_ap
    either = ones_fraction * antiparallel + (1 - ones_fraction) * parallel
    start = either if point.toggle else parallel
    seen = either if point.toggle else either + parallel
    reset = point.reset_voltage**2 * point.reset_width * ones_fraction * float(antiparallel.mean())
    return EnergyPerBit(
        write=float((pulse_volts**2 * width * start).mean() / usable_fraction),
        read=float((point.read_voltage**2 * point.settle * seen).mean() / usable_fraction),
        reset=0.0 if point.toggle else float(reset / usable_fraction),
    )
