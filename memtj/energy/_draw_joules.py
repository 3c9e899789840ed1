"""Joules of draws, pulse by pulse: as a run counts them while it draws, and as its recording has them afterwards."""

import numpy as np

from entropy import DrawMode
from instruments.array import WorkingPoint

from ._assumptions import Assumptions
from ._joules import at_bias


class DrawJoules:
    """Sums of draws at a working point; `r_p`, `r_ap`: ohms of the cells, (cells,), not finite where they are unknown.

    `sums`: joules of the junctions, V² of pulses and readings, counts; `conductance`: 1/ohm, of all cells as they are.
    """

    def __init__(self, point: WorkingPoint, r_p: np.ndarray, r_ap: np.ndarray, assumed: Assumptions) -> None:
        self._point, self._assumed = point, assumed
        self._r_p, self._r_ap = (np.nan_to_num(each, nan=np.inf) for each in (r_p, r_ap))
        # J, of each cell
        self._reset = point.reset_voltage**2 * point.reset_width / self._at(point.reset_voltage)
        self.conductance = 0.0
        self.clear()

    def clear(self) -> None:
        """Begin the sums anew."""
        self.sums = {
            "write_from_p": 0.0, "write_from_ap": 0.0, "reset": 0.0, "read": 0.0, "squares": 0.0,
            "conversions": 0.0, "comparisons": 0.0, "positions": 0.0,
        }  # fmt: skip

    def take(
        self,
        mode: DrawMode,
        used: np.ndarray,
        volts: np.ndarray,
        before: np.ndarray,
        after: np.ndarray,
        positions: int,
    ) -> None:
        """Add a draw: who was `used`, the `volts` of its pulses (0: none), states `before` and `after`; (cells,)."""
        point, sums = self._point, self.sums
        pulsed, antiparallel = volts != 0, before & (mode == "flip")
        ohms = np.where(antiparallel, self._at(np.abs(volts)), self._r_p)
        write = np.where(pulsed, volts**2 * point.width / ohms, 0.0)
        sums["write_from_p"] += float(write[~antiparallel].sum())
        sums["write_from_ap"] += float(write[antiparallel].sum())
        reset = used & before & (mode == "write")
        sums["reset"] += float(self._reset[reset].sum())
        readings = 1 + (mode == "write")
        seen = np.where(after, 1 / self._r_ap, 1 / self._r_p)
        self.conductance = float(seen.sum())
        checked = (1 / self._r_p)[used].sum() * (readings - 1)
        sums["read"] += point.read_voltage**2 * point.settle * float(seen[used].sum() + checked)
        squares = (volts**2).sum() + reset.sum() * point.reset_voltage**2
        sums["squares"] += float(squares + readings * used.sum() * point.read_voltage**2)
        sums["conversions"] += float(pulsed.sum())
        sums["comparisons"] += float(readings * used.sum())
        sums["positions"] += positions

    def _at(self, volts: np.ndarray | float) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            ohms = at_bias(self._r_p, self._r_ap, self._point.read_voltage, volts, self._assumed)
        return np.nan_to_num(ohms, nan=np.inf)
