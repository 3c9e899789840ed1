"""A function generator as a device: levels, pulses, bursts, its output; knows no SCPI.

Like the real one it takes the nearest value that it can, and says so, where it cannot take the one that it is given.
"""

import math
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from mock_hw._arguments import Real, takes
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._rules import Rule, RuleBroken

IMPEDANCE = 50.0  # ohms
FASTEST_EDGE, SLOWEST_EDGE = 8.4e-9, 1e-6  # s, from 10 to 90 %
SHORTEST_PULSE, SHORTEST_PERIOD, LONGEST = 16e-9, 33e-9, 1e6  # s
_STEEPNESS = 0.625  # largest edge over width
_LARGEST, _SMALLEST = 10.0, 2e-3  # V of the open circuit: a level, and from one to the other
_LONG_BURST = 100_000_000


@dataclass(frozen=True)
class Settings:
    """What `*RST` resets; levels and limits are volts of the open circuit, whatever load they are shown for."""

    function: str = "SIN"
    high: float = 0.1
    low: float = -0.1
    period: float = 1e-3
    width: float = 1e-4
    leading: float = 10e-9
    trailing: float = 10e-9
    load: float = 50.0
    inverted: bool = False
    burst: bool = False
    burst_mode: str = "TRIG"
    cycles: float = 1
    burst_period: float = 10e-3
    trigger: str = "IMM"
    limited: bool = False
    limit_high: float = _LARGEST
    limit_low: float = -_LARGEST
    sync: bool = True
    trigger_out: bool = False
    output: bool = False


class Generator:
    """One channel, wired to a junction through `attenuation` decibels; `name` is that of its box."""

    @takes(attenuation=Real(0))
    def __init__(
        self, junction: Junction, *, name: str, serial_number: str = "0", attenuation: float = 0.0
    ) -> None:
        self.identity = f"Agilent Technologies,33521A,{serial_number},1.12-1.19-1.12-52-00"
        self._junction, self._name = junction, name
        self._passed = 10 ** (-attenuation / 20)
        self.settings = Settings()

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while a command acts: that of the junction."""
        return self._junction.lock

    @property
    def shown(self) -> float:
        """Volts shown per volt of the open circuit, for the load that is assumed."""
        load = self.settings.load
        return 1.0 if load == math.inf else load / (load + IMPEDANCE)

    def power_on(self) -> None:
        """Be as after power-on or `*RST`."""
        self.settings = Settings()
        self._drive()

    def change(self, **values: Any) -> None:
        """Change settings that no rule binds."""
        self.settings = replace(self.settings, **values)
        self._drive()

    def set_load(self, ohms: float) -> None:
        """Have levels shown for another load: what is put out stays."""
        if self.settings.limited:
            raise RuleBroken(Rule.CONFLICT, "the load cannot be changed while voltage limits are on")
        self._take("load", ohms, 1.0, math.inf if ohms == math.inf else 10e3)

    def set_levels(self, *, high: float | None = None, low: float | None = None) -> None:
        """Set one level, or both, in volts as shown; the other gives way where it must."""
        s = self.settings
        new_high = s.high if high is None else high / self.shown
        new_low = s.low if low is None else low / self.shown
        gave_way = new_high - new_low < _SMALLEST * (1 - 1e-9)
        if gave_way and low is None:
            new_low = new_high - _SMALLEST
        elif gave_way:
            new_high = new_low + _SMALLEST
        top = min(s.limit_high, _LARGEST) if s.limited else _LARGEST
        bottom = max(s.limit_low, -_LARGEST) if s.limited else -_LARGEST
        taken_high, taken_low = (min(max(each, bottom), top) for each in (new_high, new_low))
        self.change(high=taken_high, low=taken_low)
        slack = 1e-9
        if abs(taken_high - new_high) > slack or abs(taken_low - new_low) > slack:
            raise RuleBroken(Rule.RANGE, "value clipped to limit")
        if gave_way:
            raise RuleBroken(Rule.CONFLICT, "the other level has been adjusted")

    def set_amplitude(self, volts: float) -> None:
        """Set the volts from low to high as shown, the middle kept."""
        middle, half = (self.settings.high + self.settings.low) * self.shown / 2, volts / 2
        self.set_levels(high=middle + half, low=middle - half)

    def set_offset(self, volts: float) -> None:
        """Set the middle of the levels as shown, the amplitude kept."""
        half = (self.settings.high - self.settings.low) * self.shown / 2
        self.set_levels(high=volts + half, low=volts - half)

    def set_limits(self, on: bool) -> None:
        """Have levels stay within the limits."""
        s = self.settings
        if on and not (s.limit_low <= s.low and s.high <= s.limit_high):
            raise RuleBroken(Rule.CONFLICT, "the present levels exceed the voltage limits")
        self.change(limited=on)

    def set_period(self, seconds: float) -> None:
        """Set the period; a pulse that does not fit is made narrower."""
        self._take("period", seconds, SHORTEST_PERIOD, LONGEST)
        widest = self.settings.period - SHORTEST_PULSE
        if self.settings.width > widest:
            self.change(width=widest)
            raise RuleBroken(Rule.CONFLICT, "the pulse width has been adjusted")

    def set_frequency(self, hertz: float) -> None:
        """Set the period by its inverse."""
        self.set_period(1 / hertz if hertz > 0 else math.inf)

    def set_width(self, seconds: float) -> None:
        """Set the width at half height; edges that do not fit are made steeper."""
        self._take("width", seconds, SHORTEST_PULSE, LONGEST)
        s = self.settings
        width = min(s.width, s.period - SHORTEST_PULSE)
        steepest = max(_STEEPNESS * width, FASTEST_EDGE)
        self.change(width=width, leading=min(s.leading, steepest), trailing=min(s.trailing, steepest))
        if self.settings != s:
            raise RuleBroken(Rule.CONFLICT, "pulse width or edges have been adjusted")

    def set_edge(self, seconds: float, *names: str) -> None:
        """Set edges (`leading`, `trailing`) from 10 to 90 %."""
        most = max(_STEEPNESS * self.settings.width, FASTEST_EDGE)
        for name in names:
            self._take(name, seconds, FASTEST_EDGE, SLOWEST_EDGE)
        if seconds > most:
            self.change(**dict.fromkeys(names, most))
            raise RuleBroken(Rule.CONFLICT, "the edges have been adjusted to the pulse width")

    def set_cycles(self, cycles: float) -> None:
        """Set the pulses of a burst; infinity: until it is aborted."""
        self._take("cycles", cycles, 1, math.inf if cycles == math.inf else _LONG_BURST)

    def trigger(self) -> None:
        """A trigger has come over the wire: give the burst that is set."""
        s = self.settings
        if not (s.burst and s.trigger == "BUS"):
            raise RuleBroken(Rule.TRIGGER)
        if not s.output:
            return
        if s.function != "PULS" or s.cycles == math.inf or s.leading != s.trailing:
            self._sweep()
            raise RuleBroken(Rule.SIMULATION, "the lab makes bursts of pulses with equal edges alone")
        top = s.low if s.inverted else s.high
        self._junction.pulse(
            self._name, top * self._passed, IMPEDANCE, width=s.width, edge=s.leading, count=round(s.cycles)
        )

    def _take(self, name: str, value: float, least: float, most: float) -> None:
        taken = min(max(value, least), most)
        self.change(**{name: taken})
        if taken != value:
            raise RuleBroken(Rule.RANGE, f"value clipped to {'lower' if taken > value else 'upper'} limit")

    def _drive(self) -> None:
        """Have the output stand where it does between bursts; a wave without end takes the junction everywhere."""
        s = self.settings
        if not s.output:
            self._junction.let_go(self._name)
            return
        if not s.burst or s.trigger == "IMM":
            self._sweep()
        idle = s.high if s.inverted else s.low
        self._junction.idle_at(self._name, idle * self._passed, IMPEDANCE)

    def _sweep(self) -> None:
        for level in (self.settings.low, self.settings.high):
            self._junction.idle_at(self._name, level * self._passed, IMPEDANCE)
