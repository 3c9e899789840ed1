"""The working point of an array: how its cells are pulsed and read."""

from dataclasses import dataclass
from typing import Literal

from entropy.arguments import count

Mode = Literal["reset", "toggle"]


@dataclass(frozen=True)
class WorkingPoint:
    """How cells are pulsed and read: volts at the device, and seconds.

    `mode`: "reset" (reset, read, write, read) or "toggle" (write, read); `period`: from the start of a pulse to that of
    its reading; `settle`: how long the read voltage is applied before a reading.
    """

    mode: Mode
    voltage: float
    width: float
    period: float
    reset_voltage: float
    reset_width: float
    read_voltage: float
    settle: float

    @property
    def toggle(self) -> bool:
        """Whether pulses start from the state that the one before has left."""
        return self.mode == "toggle"

    def pulse_seconds(self, rows: int) -> float:
        """Seconds that a pulse of so many rows takes by the board's clock: protocol, "Sequences"."""
        rows = count(rows, "rows")
        return (1 if self.toggle else 2) * rows * (self.period + self.settle)
