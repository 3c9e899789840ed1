"""The energy that draws took, pulse by pulse, by the voltages that the cells really had."""

import time

import numpy as np

from instruments import DrawCalibration
from instruments.array import Draw
from memtj.energy import Assumptions, DrawAccount, at_bias


class DrawEnergy:
    """Sums of draws since the account before; ohms of the cells from their calibration. The clock runs from here on."""

    def __init__(self, calibration: DrawCalibration, assumed: Assumptions) -> None:
        self._point, self.assumptions = calibration.conditions, assumed
        self._r_p, self._r_ap = (
            np.nan_to_num(each, nan=np.inf) for each in (calibration.r_p, calibration.r_ap)
        )
        point = self._point
        self._reset = (
            point.reset_voltage**2 * point.reset_width / self._at(point.reset_voltage)
        )  # J, of each cell
        self._conductance = 0.0  # 1/ohm, of all cells in their states
        self._since = time.monotonic()
        self._network_seconds = 0.0
        self._clear()

    def _clear(self) -> None:
        self._sums = {
            "write_from_p": 0.0, "write_from_ap": 0.0, "reset": 0.0, "read": 0.0, "squares": 0.0,
            "conversions": 0.0, "comparisons": 0.0, "positions": 0.0,
        }  # fmt: skip

    def take(self, draw: Draw) -> None:
        """Add a draw."""
        point, sums = self._point, self._sums
        pulsed, volts, used = draw.volts != 0, draw.volts, draw.used
        ohms = np.where(draw.antiparallel, self._at(np.abs(volts)), self._r_p)
        write = np.where(pulsed, volts**2 * point.width / ohms, 0.0)
        sums["write_from_p"] += float(write[~draw.antiparallel].sum())
        sums["write_from_ap"] += float(write[draw.antiparallel].sum())
        reset = used & draw.before & (draw.mode == "write")
        sums["reset"] += float(self._reset[reset].sum())
        readings = 1 + (draw.mode == "write")
        seen = np.where(draw.after, 1 / self._r_ap, 1 / self._r_p)
        self._conductance = float(seen.sum())
        checked = (1 / self._r_p)[used].sum() * (readings - 1)
        sums["read"] += point.read_voltage**2 * point.settle * float(seen[used].sum() + checked)
        squares = (volts**2).sum() + reset.sum() * point.reset_voltage**2
        sums["squares"] += float(squares + readings * used.sum() * point.read_voltage**2)
        sums["conversions"] += float(pulsed.sum())
        sums["comparisons"] += float(readings * used.sum())
        sums["positions"] += draw.block.positions

    def account(self, pictures: int, bits: int, network_seconds: float) -> DrawAccount:
        """Give each of so many pictures its share of all since the account before.

        `bits`: drawn since; `network_seconds`: all that the network has had so far.
        """
        now = time.monotonic()
        seconds, network = now - self._since, network_seconds - self._network_seconds
        sums = {
            **self._sums, "bits": bits, "seconds": seconds, "network_seconds": network,
            "hold": self._point.hold**2 * seconds * self._conductance,
        }  # fmt: skip
        self._since, self._network_seconds = now, network_seconds
        self._clear()
        shares = {name: each / pictures for name, each in sums.items()}
        return DrawAccount(**shares, half_voltage=self.assumptions.half_voltage.value)

    def _at(self, volts: np.ndarray | float) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            ohms = at_bias(self._r_p, self._r_ap, self._point.read_voltage, volts, self.assumptions)
        return np.nan_to_num(ohms, nan=np.inf)
