"""The energy that draws took, pulse by pulse, by the voltages that the cells really had."""

import numpy as np

from instruments import DrawCalibration
from instruments.array import Draw
from memtj.energy import Assumptions, Joules, Term, at_bias, terms_of


class DrawEnergy:
    """Joules of draws so far; ohms of the cells from their calibration."""

    def __init__(self, calibration: DrawCalibration, assumed: Assumptions) -> None:
        self._point, self._assumed = calibration.conditions, assumed
        self._r_p, self._r_ap = (
            np.nan_to_num(each, nan=np.inf) for each in (calibration.r_p, calibration.r_ap)
        )
        self.joules = Joules()
        self._conductance = 0.0  # 1/ohm, of all cells in their states

    def take(self, draw: Draw) -> None:
        """Add a draw."""
        a, point, joules = self._assumed, self._point, self.joules
        pulsed, volts, used = draw.volts != 0, draw.volts, draw.used
        ohms = np.where(draw.antiparallel, self._at(np.abs(volts)), self._r_p)
        write = np.where(pulsed, volts**2 * point.width / ohms, 0.0)
        joules.write_from_p += float(write[~draw.antiparallel].sum())
        joules.write_from_ap += float(write[draw.antiparallel].sum())
        reset = used & draw.before & (draw.mode == "write")
        joules.reset += float(
            (point.reset_voltage**2 * point.reset_width / self._at(point.reset_voltage))[reset].sum()
        )
        readings = 1 + (draw.mode == "write")
        seen = np.where(draw.after, 1 / self._r_ap, 1 / self._r_p)
        self._conductance = float(seen.sum())
        checked = (1 / self._r_p)[used].sum() * (readings - 1)
        joules.read += point.read_voltage**2 * point.settle * float(seen[used].sum() + checked)
        squares = (volts**2).sum() + reset.sum() * point.reset_voltage**2
        joules.line += a.line_capacitance.value * float(
            squares + readings * used.sum() * point.read_voltage**2
        )
        joules.conversions += a.conversion_energy.value * float(pulsed.sum())
        joules.comparisons += a.comparison_energy.value * float(readings * used.sum())
        joules.wire += a.wire_energy.value * draw.block.positions

    def terms(self, pictures: int, seconds: float, network_seconds: float) -> tuple[Term, ...]:
        """Give the terms of a picture: `seconds` with field and hold on, `network_seconds` of them in the network."""
        a = self._assumed
        self.joules.hold = self._point.hold**2 * seconds * self._conductance
        self.joules.magnet = a.magnet_power.value * seconds
        self.joules.host = a.host_power.value * (seconds - network_seconds)
        network = Term(
            "network", "system", a.network_power.value * network_seconds / pictures, "assumed",
            "power × its seconds in this run",
        )  # fmt: skip
        return (*terms_of(self.joules, pictures, a, True), network)

    def _at(self, volts: np.ndarray | float) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            ohms = at_bias(self._r_p, self._r_ap, self._point.read_voltage, volts, self._assumed)
        return np.nan_to_num(ohms, nan=np.inf)
