"""A Keithley 2450 as a device, in each of its languages: one thing measured at a time, a buffer that goes round."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mock_hw.boxes._junction import Junction
from mock_hw.boxes._reading_buffer import ReadingBuffer, Stored
from mock_hw.boxes._rules import Rule, RuleBroken
from mock_hw.boxes.keithley_2400._source_meter import (
    AUTO_DELAY,
    COMPLIANCE,
    LINE,
    OVERFLOW,
    RANGE_COMPLIANCE,
    Ranges,
    Reading,
    Settings,
    SourceMeter,
    range_of,
)

FULL_BUFFER, LEAST_BUFFER, LARGEST_BUFFER = (
    100_000,
    10,
    6_875_000,
)  # readings: after power-on, and as may be set
_LARGEST_CURRENT, _LEAST_CURRENT, _LARGEST_VOLTAGE = 1.05, 1e-9, 210.0
# Bits of the status of the source at a reading.
READ_BACK, LIMITED, FOUR_WIRES, OUTPUT_ON = 8, 32, 64, 128
MEASURED = {"VOLT": "volts", "CURR": "amperes", "RES": "ohms"}
UNITS = {"VOLT": "Volt DC", "CURR": "Amp DC", "RES": "Ohm"}


@dataclass
class Language:
    """The command set that is spoken, and the one that is stored: it is spoken after the next power-on."""

    spoken: str
    stored: str


@dataclass(frozen=True)
class Function:
    """How one of volts, amperes and ohms is measured."""

    nplc: float = 1.0
    autozero: bool = True
    averaging: bool = False
    average_count: int = 10
    average_kind: str = "REP"
    four_wires: bool = False


@dataclass(frozen=True)
class NativeSettings(Settings):
    """What `*RST` resets, beyond what a 2400 has; `measured`: by functions, `source_delay`: by what is sourced."""

    sensed: str = "CURR"
    measured: tuple[tuple[str, Function], ...] = tuple((name, Function()) for name in MEASURED)
    delays: tuple[tuple[str, float | None], ...] = (("VOLT", None), ("CURR", None))
    read_back: tuple[tuple[str, bool], ...] = (("VOLT", True), ("CURR", True))
    current_off_mode: str = "NORM"
    count: int = 1
    simple_loop: int | None = None


class Emulated(SourceMeter):
    """As a 2400, for programs written for one."""

    def __init__(self, junction: Junction, *, serial_number: str, leads: float, language: Language) -> None:
        super().__init__(junction, serial_number=serial_number, leads=leads)
        self.identity, self.language = identity(serial_number), language


class Native(SourceMeter):
    """As itself."""

    ranges = Ranges(
        (0.021, 0.21, 2.1, 21.0, 210.0),
        (1.05e-8, 1.05e-7, 1.05e-6, 1.05e-5, 1.05e-4, 1.05e-3, 1.05e-2, 0.105, 1.05),
    )

    def __init__(self, junction: Junction, *, serial_number: str, leads: float, language: Language) -> None:
        super().__init__(junction, serial_number=serial_number, leads=leads)
        self.identity, self.language = identity(serial_number), language
        self.memory = ReadingBuffer()

    def power_on(self) -> None:
        """Be as after power-on."""
        self.memory = ReadingBuffer()
        super().power_on()

    def reset(self) -> None:
        """`*RST`: the output is off, and the buffer empty."""
        self.memory.readings.clear()
        super().reset()

    def _default(self) -> NativeSettings:
        return NativeSettings(
            volt_source_range=0.021, current_source_range=1.05e-8, volt_range=0.021, current_range=1.05e-8,
            functions=frozenset(MEASURED),
        )  # fmt: skip

    @property
    def own(self) -> NativeSettings:
        """Its settings."""
        assert isinstance(self.settings, NativeSettings)
        return self.settings

    def function(self, name: str) -> Function:
        """How volts, amperes or ohms are measured."""
        return dict(self.own.measured)[name]

    def change_function(self, name: str, **values: Any) -> None:
        """Change how one of them is measured."""
        changed = replace(self.function(name), **values)
        self.change(measured=_with(self.own.measured, name, changed))

    def of(self, field: str, name: str) -> Any:
        """A setting that volts and amperes each have one of."""
        return dict(getattr(self.settings, field))[name]

    def change_of(self, field: str, name: str, value: object) -> None:
        """Change it."""
        self.change(**{field: _with(getattr(self.settings, field), name, value)})

    def set_current_limit(self, amperes: float) -> None:
        """Limit the current of the voltage source."""
        if not _LEAST_CURRENT <= abs(amperes) <= _LARGEST_CURRENT:
            raise RuleBroken(Rule.RANGE, f"{_LEAST_CURRENT:g} to {_LARGEST_CURRENT:g} A")
        self.change(current_protection=abs(amperes))

    def set_volt_limit(self, volts: float) -> None:
        """Limit the voltage of the current source."""
        if not 0.02 <= abs(volts) <= _LARGEST_VOLTAGE:
            raise RuleBroken(Rule.RANGE, f"0.02 to {_LARGEST_VOLTAGE:g} V")
        self.change(volt_protection=abs(volts))

    def set_current_range(self, amperes: float) -> None:
        """Select the range of measurement by the amperes that are to fit."""
        self.change(current_range=range_of(amperes, self.ranges.amperes), current_auto=False)

    def set_volt_range(self, volts: float) -> None:
        """Select the range of measurement by the volts that are to fit."""
        self.change(volt_range=range_of(volts, self.ranges.volts), volt_auto=False)

    def set_current_source_range(self, amperes: float) -> None:
        """Select the source's range by the amperes that are to fit."""
        full = range_of(amperes, self.ranges.amperes)
        if abs(self.settings.amperes) > full:
            raise RuleBroken(Rule.CONFLICT, f"the level is {self.settings.amperes:g} A")
        self.change(current_source_range=full, current_source_auto=False)

    @property
    def tripped(self) -> bool:
        """Whether the source is limited now."""
        s = self.settings
        if not s.output:
            return False
        across = self._junction.standing
        if s.source == "CURR":
            return abs(s.amperes) * (self._junction.resistance(across) + self._leads) > s.volt_protection
        return abs(across / self._junction.resistance(across)) >= self.compliance * 0.999

    def take(self, count: int) -> None:
        """Take readings into the buffer, the oldest of which give way; off, they are of 0 V, as the output gives."""
        for _ in range(count):
            self.memory.readings.append(self._stored(self._measure()))

    def _stored(self, reading: Reading) -> Stored:
        s = self.own
        back = dict(s.read_back)[s.source]
        limited = bool(reading.status & (COMPLIANCE | RANGE_COMPLIANCE))
        bits = READ_BACK * back | LIMITED * limited | FOUR_WIRES * self.function(s.sensed).four_wires
        if s.source == "VOLT":
            source = reading.volts if back else s.volts
        else:
            source = reading.amperes if back and reading.amperes != OVERFLOW else s.amperes
        value = getattr(reading, MEASURED[s.sensed])
        return Stored(value, UNITS[s.sensed], reading.time, source, bits | OUTPUT_ON * s.output)

    def _measure(self) -> Reading:
        s, reading = self.own, super()._measure()
        if not s.volt_auto and abs(reading.volts) > s.volt_range:
            reading = replace(reading, volts=OVERFLOW)
        if not s.ohm_auto and reading.ohms > 1.2 * s.ohm_range:
            reading = replace(reading, ohms=OVERFLOW)
        return reading

    def _seconds(self) -> float:
        s, function = self.own, self.function(self.own.sensed)
        delay = self.of("delays", s.source)
        once = function.nplc / LINE * (2 if function.autozero else 1)
        times = function.average_count if function.averaging and function.average_kind == "REP" else 1
        return s.trigger_delay + (AUTO_DELAY if delay is None else delay) + once * times


def identity(serial_number: str) -> str:
    """What `*IDN?` answers in either language."""
    return f"KEITHLEY INSTRUMENTS INC.,MODEL 2450,{serial_number},SIM-1.7"


def _with(pairs: Sequence[tuple[str, Any]], name: str, value: object) -> tuple[tuple[str, Any], ...]:
    return tuple({**dict(pairs), name: value}.items())
