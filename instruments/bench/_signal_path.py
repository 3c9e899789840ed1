"""The way from an instrument's output to the device: what reaches it of the volts that are set."""

import math
from dataclasses import asdict, dataclass

from entropy.arguments import Real, take_fields


@dataclass(frozen=True)
class SignalPath:
    """The way from an instrument's output to the device.

    `source_impedance` and `assumed_load` (what the instrument's settings assume) in ohms; `attenuation` in
    decibels; `overshoot`: fraction by which the peak exceeds the set value; `load`: ohms of the device. Raises
    TypeError or ValueError for what is no such number; `assumed_load` alone may be infinite.
    """

    source_impedance: float
    assumed_load: float
    attenuation: float
    overshoot: float
    load: float

    def __post_init__(self) -> None:
        take_fields(
            self, source_impedance=Real(0), attenuation=Real(0), overshoot=Real(0), load=Real(above=0)
        )
        if self.assumed_load != math.inf:
            take_fields(self, assumed_load=Real(above=0))

    @property
    def gain(self) -> float:
        """Volts at the device per volt set; a generator set for 50 Ω puts twice that across 78 kΩ."""
        open_circuit = 1 + self.source_impedance / self.assumed_load
        loaded = self.load / (self.source_impedance + self.load)
        return open_circuit * loaded * 10 ** (-self.attenuation / 20)

    @property
    def peak_gain(self) -> float:
        """Volts of the peak at the device per volt set."""
        return self.gain * (1 + self.overshoot)

    def plain(self) -> dict[str, float | str]:
        """Give it with its gain, JSON-able: an infinite load as text, since JSON has no word for it."""
        values = {**asdict(self), "gain": self.gain}
        return {key: value if math.isfinite(value) else "inf" for key, value in values.items()}
