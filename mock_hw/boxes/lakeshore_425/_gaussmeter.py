"""A gaussmeter as a device: the field of a magnet in its range and unit; knows no commands."""

import math
import threading
from dataclasses import dataclass, replace
from typing import Any

from mock_hw.boxes._magnet import Magnet

GAUSS = 1e-4  # T
RANGES = {
    1: 35 * GAUSS,
    2: 350 * GAUSS,
    3: 3.5e3 * GAUSS,
    4: 35e3 * GAUSS,
}  # of a high sensitivity probe, in tesla
UNITS = {1: GAUSS, 2: 1.0, 3: GAUSS, 4: 4e-7 * math.pi}  # tesla in one gauss, tesla, oersted and A/m
DC, RMS = 1, 2
_COUNTS = 35_000  # of a range
_READING_SECONDS = 1 / 30  # at most so many exchanges a second


@dataclass(frozen=True)
class Settings:
    """What `*RST` resets: codes of range, unit, mode and band as the manual has them."""

    range: int = 4
    auto: bool = True
    unit: int = 1
    mode: int = DC
    filter: int = 0
    band: int = 1


class Gaussmeter:
    """Its probe is in the field of a magnet, along it."""

    def __init__(self, magnet: Magnet, *, serial_number: str = "0") -> None:
        self.identity = f"LSCI,MODEL425,{serial_number},1.0"
        self.lock = threading.RLock()
        self.settings = Settings()
        self._zero = 0.0
        self._magnet = magnet

    def power_on(self) -> None:
        """Be as after power-on or `*RST`; the zero of the probe stays."""
        self.settings = Settings()

    def change(self, **values: Any) -> None:
        """Change settings."""
        self.settings = replace(self.settings, **values)

    def zero(self) -> None:
        """Take the field that there is for zero from now on."""
        self._zero = self._magnet.field()

    def clear_zero(self) -> None:
        """Take zero for zero."""
        self._zero = 0.0

    def read(self) -> float:
        """The field in its unit, in whole counts of the range and never beyond it; of a steady one the RMS is zero."""
        self._magnet.clock.wait(_READING_SECONDS)
        s = self.settings
        field = self._magnet.field() - self._zero
        if s.auto:
            self.change(range=next((code for code, most in RANGES.items() if abs(field) <= most), 4))
        most = RANGES[self.settings.range]
        count = most / _COUNTS
        shown = min(max(round(field / count) * count, -most), most) if s.mode == DC else 0.0
        return shown / UNITS[s.unit]
