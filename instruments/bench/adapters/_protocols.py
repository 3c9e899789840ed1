"""What the bench wants of a pulse source and of a readout, whatever boxes they are."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from entropy.arguments import Count, Real, take_fields


@dataclass(frozen=True)
class PulseSettings:
    """A burst: `voltage` at the device (V), `width`, `edge` (10 to 90 %) and `period` in seconds, `count` pulses.

    `largest`: volts at the device up to which the pulse may be changed with the output on; 0: those of `voltage`.
    Raises TypeError or ValueError for what is not finite or out of range.
    """

    voltage: float
    width: float
    edge: float
    period: float
    count: int = 1
    largest: float = 0.0

    def __post_init__(self) -> None:
        positive = Real(above=0)
        take_fields(
            self, voltage=Real(), width=positive, edge=positive, period=positive, count=Count(least=1),
            largest=Real(0),
        )  # fmt: skip


@dataclass(frozen=True)
class ReadSettings:
    """A reading: `voltage` at the device (V), `compliance` (A), `current_range` (A) and `delay` before it (s).

    None: the box chooses it. `cycles` of the mains over which it is averaged; `autozero`: the box measures its own
    zero at each one. Raises TypeError or ValueError for what is not finite or out of range.
    """

    voltage: float
    compliance: float
    current_range: float | None = None
    delay: float | None = None
    cycles: float = 1.0
    autozero: bool = True

    def __post_init__(self) -> None:
        positive = Real(above=0)
        take_fields(
            self, voltage=Real(), compliance=positive, current_range=positive, delay=Real(0), cycles=positive
        )


@dataclass(frozen=True)
class MagnetSettings:
    """A magnet: `field_per_ampere` (T/A), `ramp` (T/s), `largest_field` (T, of either sign), `voltage` (V, the most).

    Raises TypeError or ValueError for what is no positive, finite number.
    """

    field_per_ampere: float
    ramp: float
    largest_field: float
    voltage: float

    def __post_init__(self) -> None:
        positive = Real(above=0)
        take_fields(self, field_per_ampere=positive, ramp=positive, largest_field=positive, voltage=positive)


class Adapter(Protocol):
    """What the bench wants of every box; every method raises BenchError where the box does not do as it is told.

    `driver`: path of the class that opens the box, as in a bench file; `models`: how the second field of its `*IDN?`
    begins; `unseen`: what no question to the box can confirm; `terminations`: keyword arguments that the class wants on
    a raw socket.
    """

    driver: ClassVar[str]
    models: ClassVar[tuple[str, ...]]
    unseen: ClassVar[tuple[str, ...]]
    terminations: ClassVar[dict[str, str]]

    def check(self) -> None:
        """Refuse another box than the expected one."""
        ...

    def output_is_on(self) -> bool:
        """Ask whether the output is on."""
        ...

    def look(self) -> str:
        """Say what the box is set to, changing nothing."""
        ...

    def off(self) -> None:
        """Send the safe state and read it back: all of it is tried, whatever fails."""
        ...


class PulseSource(Adapter, Protocol):
    """A box that gives bursts of pulses; `fastest_edge`: seconds from 10 to 90 %."""

    fastest_edge: ClassVar[float]

    def prepare(self, settings: PulseSettings) -> None:
        """Set a burst with the output off, read everything back, then switch the output on."""
        ...

    def change(self, settings: PulseSettings) -> None:
        """Set another pulse with the output on, whose level at rest stays within 2 mV of 0 V, and read it back.

        Voltage and width alone may differ from what was prepared.
        """
        ...

    def pulse(self, then: PulseSettings | None = None) -> None:
        """Give the burst, and come back when it is over, changed to `then`."""
        ...


class Readout(Adapter, Protocol):
    """A box that reads the resistance."""

    def prepare(self, settings: ReadSettings) -> None:
        """Set volts and compliance with the output off, read everything back, then switch the output on."""
        ...

    def read(self) -> float:
        """Give the resistance of the device in ohms, that of the path taken off."""
        ...


class FieldSource(Adapter, Protocol):
    """A supply of a magnet."""

    def prepare(self) -> None:
        """Have the output on with no current, everything read back."""
        ...

    def set_field(self, field: float) -> float:
        """Ramp to so many tesla and give those that are measured, by whatever the box measures."""
        ...


class Gaussmeter(Adapter, Protocol):
    """A box that reads the field."""

    def prepare(self) -> None:
        """Have it read steady fields in tesla, read back."""
        ...

    def field(self) -> float:
        """Read the field, T."""
        ...
