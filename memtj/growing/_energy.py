"""The energy that draws took, pulse by pulse, by the voltages that the cells really had."""

import time

from instruments import DrawCalibration
from instruments.array import Draw
from memtj.energy import Assumptions, DrawAccount, DrawJoules


class DrawEnergy:
    """Sums of draws since the account before; ohms of the cells from their calibration. The clock runs from here on."""

    def __init__(self, calibration: DrawCalibration, assumed: Assumptions) -> None:
        self._hold, self.assumptions = calibration.conditions.hold, assumed
        self._joules = DrawJoules(calibration.conditions, calibration.r_p, calibration.r_ap, assumed)
        self._since = time.monotonic()
        self._network_seconds = 0.0

    def take(self, draw: Draw) -> None:
        """Add a draw."""
        self._joules.take(draw.mode, draw.used, draw.volts, draw.before, draw.after, draw.block.positions)

    def account(self, pictures: int, bits: int, network_seconds: float) -> DrawAccount:
        """Give each of so many pictures its share of all since the account before.

        `bits`: drawn since; `network_seconds`: all that the network has had so far.
        """
        now = time.monotonic()
        seconds, network = now - self._since, network_seconds - self._network_seconds
        sums = {
            **self._joules.sums, "bits": bits, "seconds": seconds, "network_seconds": network,
            "hold": self._hold**2 * seconds * self._joules.conductance,
        }  # fmt: skip
        self._since, self._network_seconds = now, network_seconds
        self._joules.clear()
        shares = {name: each / pictures for name, each in sums.items()}
        return DrawAccount(**shares, half_voltage=self.assumptions.half_voltage.value)
