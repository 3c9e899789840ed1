"""A source-meter as a device: its source, its compliance, its ranges, readings and their buffer; knows no SCPI."""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from mock_hw._arguments import Real, takes
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._rules import Rule, RuleBroken

NOT_A_NUMBER, OVERFLOW = 9.91e37, 9.9e37
LINE = 50.0  # Hz
VOLTS = (0.21, 2.1, 21.0, 210.0)  # full scales
AMPERES = (1.05e-6, 1.05e-5, 1.05e-4, 1.05e-3, 1.05e-2, 0.105, 1.05)
LARGEST_BUFFER = 2500


@dataclass(frozen=True)
class Ranges:
    """Full scales of a model, in volts and amperes."""

    volts: tuple[float, ...]
    amperes: tuple[float, ...]


_RANGES = Ranges(VOLTS, AMPERES)
_STEP = 2.5e-5  # of the nominal range: resolution of the voltage source
_COUNT = 1e-5  # of the nominal range: of a measurement
_OVERHEAD = (
    0.4e-3  # s a reading, beside its integration; our own choice, 1.5 to 2 thousand readings a second at 0.01
)
AUTO_DELAY = 1e-3
# Bits of the status word of a reading.
OVERFLOWS, COMPLIANCE, RANGE_COMPLIANCE = 1 << 0, 1 << 3, 1 << 16
_MEASURED = {"VOLT": 1 << 11, "CURR": 1 << 12, "RES": 1 << 13}
_SOURCED = {"VOLT": 1 << 14, "CURR": 1 << 15}


@dataclass(frozen=True)
class Settings:
    """What `*RST` resets."""

    source: str = "VOLT"
    volts: float = 0.0
    volt_source_range: float = 21.0
    volt_source_auto: bool = True
    amperes: float = 0.0
    current_source_range: float = 1.05e-4
    current_source_auto: bool = True
    functions: frozenset[str] = frozenset({"CURR"})
    concurrent: bool = True
    current_range: float = 1.05e-4
    current_auto: bool = True
    volt_range: float = 21.0
    volt_auto: bool = True
    ohm_range: float = 2.1e5
    ohm_auto: bool = True
    ohm_mode: str = "MAN"
    nplc: float = 1.0
    current_protection: float = 1.05e-4
    volt_protection: float = 21.0
    autozero: bool = True
    averaging: bool = False
    average_count: int = 10
    average_kind: str = "REP"
    elements: frozenset[str] = frozenset({"VOLT", "CURR", "RES", "TIME", "STAT"})
    off_mode: str = "NORM"
    auto_off: bool = False
    delay: float = 0.0
    auto_delay: bool = True
    trigger_count: int = 1
    arm_count: int = 1
    trigger_delay: float = 0.0
    output: bool = False


@dataclass(frozen=True)
class Reading:
    """One reading: volts, amperes, ohms, seconds since power-on, status word."""

    volts: float
    amperes: float
    ohms: float
    time: float
    status: int


def range_of(value: float, ranges: tuple[float, ...]) -> float:
    """The most sensitive range that takes a value; raises RuleBroken where none does."""
    for full in ranges:
        if abs(value) <= full * (1 + 1e-9):
            return full
    raise RuleBroken(Rule.RANGE, f"{ranges[-1]:g} at most")


class SourceMeter:
    """Wired to a junction through `leads` ohms."""

    ranges = _RANGES

    @takes(leads=Real(0))
    def __init__(self, junction: Junction, *, serial_number: str = "0", leads: float = 0.0) -> None:
        self.identity = (
            f"KEITHLEY INSTRUMENTS INC.,MODEL 2400,{serial_number},SIM-C34 Sep 21 2016 15:30:00/A02  /K/J"
        )
        self._junction, self._leads = junction, leads
        self.settings = self._default()
        self.points, self.storing = 100, False
        self.buffer: list[Reading] = []
        self.latest: list[Reading] = []
        self.events = self.event_enable = 0
        self._since = 0.0
        self._limited = False

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while a command acts: that of the junction."""
        return self._junction.lock

    def power_on(self) -> None:
        """Be as after power-on."""
        self.points, self.storing = 100, False
        self.buffer, self.latest = [], []
        self.events = self.event_enable = 0
        self._since = self._junction.clock.now()
        self.reset()

    def reset(self) -> None:
        """`*RST`: the output is off; the buffer stays."""
        self.settings = self._default()
        self._drive()

    def _default(self) -> Settings:
        return Settings()

    def change(self, **values: Any) -> None:
        """Change settings that no rule binds."""
        self.settings = replace(self.settings, **values)
        self._drive()

    # The source

    def set_volts(self, volts: float) -> None:
        """Set the source's level, to its resolution."""
        s = self.settings
        full = range_of(volts, self.ranges.volts) if s.volt_source_auto else s.volt_source_range
        range_of(volts, self.ranges.volts)
        if abs(volts) > full * (1 + 1e-9):
            raise RuleBroken(Rule.CONFLICT, f"the source range is {full:g} V")
        step = full / 1.05 * _STEP
        self.change(volts=round(volts / step) * step, volt_source_range=full)

    def set_volt_source_range(self, volts: float) -> None:
        """Select the source's range by the volts that are to fit."""
        full = range_of(volts, self.ranges.volts)
        if abs(self.settings.volts) > full:
            raise RuleBroken(Rule.CONFLICT, f"the level is {self.settings.volts:g} V")
        self.change(volt_source_range=full, volt_source_auto=False)

    def set_amperes(self, amperes: float) -> None:
        """Set the level of the current source."""
        self.change(amperes=amperes, current_source_range=range_of(amperes, self.ranges.amperes))

    # What is measured

    def set_current_protection(self, amperes: float) -> None:
        """Set the compliance of the voltage source."""
        s = self.settings
        range_of(amperes, self.ranges.amperes)
        least = 1e-3 * s.current_range if not s.current_auto else 1e-3 * self.ranges.amperes[0]
        if abs(amperes) < least:
            raise RuleBroken(Rule.RANGE, "below 0.1 % of the measurement range")
        self.change(current_protection=abs(amperes))

    def set_current_range(self, amperes: float) -> None:
        """Select the range of measurement by the amperes that are to fit: never above that of the compliance."""
        full = range_of(amperes, self.ranges.amperes)
        if full > range_of(self.settings.current_protection, self.ranges.amperes):
            raise RuleBroken(Rule.COMPLIANCE)
        self.change(current_range=full, current_auto=False)

    def set_function(self, *names: str) -> None:
        """Measure these."""
        self.change(
            functions=frozenset(names) | (self.settings.functions if self.settings.concurrent else set())
        )

    def configure(self, name: str) -> None:
        """Measure one thing once, with what belongs to it as after `*RST`; the output goes on."""
        auto = {"VOLT": "volt_auto", "CURR": "current_auto", "RES": "ohm_auto"}[name]
        self.change(
            functions=frozenset({name}), nplc=1.0, trigger_count=1, arm_count=1, trigger_delay=0.0, output=True,
            **{auto: True},
        )  # fmt: skip

    def read(self) -> list[Reading]:
        """Take the readings of one run of the trigger model; raises RuleBroken where the output is off."""
        s = self.settings
        if not (s.output or s.auto_off):
            raise RuleBroken(Rule.OUTPUT_OFF)
        if s.auto_off:
            self.change(output=True)
        count = min(s.trigger_count * s.arm_count, LARGEST_BUFFER)
        self.latest = [self._measure() for _ in range(count)]
        self.events |= 64
        if self.storing:
            self.buffer += self.latest[: self.points - len(self.buffer)]
            if len(self.buffer) >= self.points:
                self.storing = False
                self.events |= 512
        if s.auto_off:
            self.change(output=False)
        return self.latest

    def store(self, on: bool) -> None:
        """Fill the buffer from the next reading on, or stop."""
        if on:
            self.buffer = []
        self.storing = on

    def set_points(self, points: int) -> None:
        """Set the size of the buffer."""
        if not 1 <= points <= LARGEST_BUFFER:
            raise RuleBroken(Rule.RANGE, f"1 to {LARGEST_BUFFER}")
        self.points = points

    @property
    def compliance(self) -> float:
        """Amperes that the voltage source gives at most: by its compliance, or by a fixed range of measurement."""
        s = self.settings
        return s.current_protection if s.current_auto else min(s.current_protection, s.current_range)

    def _drive(self) -> None:
        """Put across the junction what the output gives now."""
        s, junction = self.settings, self._junction
        self._limited = False
        if not s.output:
            junction.hold(0.0, self._leads)
        elif s.source == "VOLT":
            self._limited = junction.hold(s.volts, self._leads, self.compliance)
        else:
            wanted = s.amperes * (junction.resistance(0.0) + self._leads)
            junction.hold(math.copysign(min(abs(wanted), s.volt_protection), wanted), self._leads)

    def _seconds(self) -> float:
        """Seconds of delay and integration of a reading."""
        s = self.settings
        delay = s.trigger_delay + (AUTO_DELAY if s.auto_delay else s.delay)
        return delay + s.nplc / LINE * (2 if s.autozero else 1)

    def _measure(self) -> Reading:
        s = self.settings
        self._drive()  # the junction may have switched since
        across, amperes = self._junction.measure(self._seconds() + _OVERHEAD)
        tripped = self._limited
        status = _SOURCED[s.source] | sum(_MEASURED[name] for name in s.functions)
        status |= (
            (COMPLIANCE if self.compliance == s.current_protection else RANGE_COMPLIANCE) if tripped else 0
        )
        terminals = across + amperes * self._leads
        volts = terminals if "VOLT" in s.functions or s.source != "VOLT" else s.volts
        full = (
            next((each for each in self.ranges.amperes if abs(amperes) <= each), math.inf)
            if s.current_auto
            else s.current_range
        )
        if tripped:  # what is held is at the end of the scale, however the reading is disturbed
            amperes = max(min(amperes, full), -full)
        if abs(amperes) > full:
            amperes, status = OVERFLOW, status | OVERFLOWS
        else:
            step = full / 1.05 * _COUNT
            amperes = round(amperes / step) * step
        ohms = NOT_A_NUMBER
        if "RES" in s.functions:
            ohms = terminals / amperes if amperes not in (0.0, OVERFLOW) else OVERFLOW
        return Reading(
            volts,
            amperes if "CURR" in s.functions else NOT_A_NUMBER,
            ohms,
            self._junction.clock.now() - self._since,
            status,
        )
