"""One channel of a pulse generator as a device: levels, pulses, bursts, its output; knows no SCPI.

A value that it cannot take it clips, or refuses (`PulserKind.clips`), and says so in either case.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

from mock_hw._arguments import Real, takes
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._rules import Rule, RuleBroken

IMPEDANCE = 50.0  # ohms
_STEEPNESS = 0.625  # largest edge over width
_SLACK = 1e-9  # V, and of times: what rounding makes
_RANGES = (0.1, 0.32, 1.0, 3.2, 10.0)  # V of the open circuit, of the amplifier; our own choice
_ENDLESS = ("IMM", "INT2")  # sources of triggers that come by themselves


@dataclass(frozen=True)
class PulserKind:
    """What a model can, in seconds, ohms, volts of the open circuit; `gap` and `gap_edges` are between two pulses."""

    fastest_edge: float
    slowest_edge: float
    shortest_pulse: float
    shortest_period: float
    longest: float
    largest: float
    smallest_swing: float
    largest_swing: float
    loads: tuple[float, float]
    fewest_cycles: int
    most_cycles: int
    gap: float
    gap_edges: float
    clips: bool
    single_pulses: bool  # a trigger gives one where there is no burst


@dataclass(frozen=True)
class PulserSettings:
    """What `*RST` resets; levels and limits are volts of the open circuit, whatever load they are shown for."""

    function: str = "SIN"
    high: float = 0.1
    low: float = -0.1
    period: float = 1e-3
    width: float = 1e-4
    leading: float = 10e-9
    trailing: float = 10e-9
    equal_edges: bool = False
    load: float = 50.0
    inverted: bool = False
    burst: bool = False
    burst_mode: str = "TRIG"
    cycles: float = 1
    burst_period: float = 10e-3
    trigger: str = "IMM"
    limited: bool = False
    limit_high: float = 10.0
    limit_low: float = -10.0
    range: float = 0.1
    auto_range: bool = True
    sync: bool = True
    output: bool = False


class Pulser:
    """Wired to a junction through `attenuation` decibels; `name` is that of its box.

    `relays`: times that its range has changed with the output on, for tests that watch the world.
    """

    @takes(attenuation=Real(0))
    def __init__(
        self, kind: PulserKind, default: PulserSettings, junction: Junction, *, name: str, attenuation: float
    ) -> None:
        self.junction = junction
        self._kind, self._default, self._name = kind, default, name
        self._passed = 10 ** (-attenuation / 20)
        self.settings = default
        self.relays = 0

    @property
    def shown(self) -> float:
        """Volts shown per volt of the open circuit, for the load that is assumed."""
        load = self.settings.load
        return 1.0 if load == math.inf else load / (load + IMPEDANCE)

    def power_on(self) -> None:
        """Be as after power-on or `*RST`."""
        self._apply(self._default)

    def change(self, **values: Any) -> None:
        """Change settings that no rule binds."""
        self._apply(replace(self.settings, **values))

    def set_load(self, ohms: float) -> None:
        """Have levels shown for another load: what is put out stays."""
        least, most = self._kind.loads
        self._take("load", ohms, least, most)

    def set_levels(self, *, high: float | None = None, low: float | None = None) -> None:
        """Set one level, or both, in volts as shown; the other gives way where it must."""
        s, kind, broken = self.settings, self._kind, None
        new_high = s.high if high is None else high / self.shown
        new_low = s.low if low is None else low / self.shown
        swing = min(max(new_high - new_low, kind.smallest_swing), kind.largest_swing)
        if abs(swing - (new_high - new_low)) > _SLACK:
            broken = RuleBroken(
                Rule.CONFLICT, "the other level has been adjusted" if kind.clips else "the levels"
            )
            if low is None:
                new_low = new_high - swing
            else:
                new_high = new_low + swing
        most = kind.largest if s.auto_range else s.range
        top = min(s.limit_high, most) if s.limited else most
        bottom = max(s.limit_low, -most) if s.limited else -most
        taken_high, taken_low = (min(max(each, bottom), top) for each in (new_high, new_low))
        if abs(taken_high - new_high) > _SLACK or abs(taken_low - new_low) > _SLACK:
            broken = self._beyond("limit")
        settings = replace(s, high=taken_high, low=taken_low)
        self._settle(self._ranged(settings) if s.auto_range else settings, broken)

    def set_amplitude(self, volts: float) -> None:
        """Set the volts from low to high as shown, the middle kept."""
        middle, half = (self.settings.high + self.settings.low) * self.shown / 2, volts / 2
        self.set_levels(high=middle + half, low=middle - half)

    def set_offset(self, volts: float) -> None:
        """Set the middle of the levels as shown, the amplitude kept."""
        half = (self.settings.high - self.settings.low) * self.shown / 2
        self.set_levels(high=volts + half, low=volts - half)

    def set_auto_range(self, how: bool | str) -> None:
        """Have the range follow the levels, or stay; "ONCE": stay from now on at what they need."""
        settings = replace(self.settings, auto_range=how is True)
        self._apply(self._ranged(settings) if how else settings)

    def set_limits(self, on: bool) -> None:
        """Have levels stay within the limits."""
        s = self.settings
        if on and not (s.limit_low <= s.low and s.high <= s.limit_high):
            raise RuleBroken(Rule.CONFLICT, "the present levels exceed the voltage limits")
        self.change(limited=on)

    def set_period(self, seconds: float) -> None:
        """Set the period; a pulse that does not fit is made narrower."""
        self._time(seconds, self._kind.shortest_period, self._kind.longest, "period")

    def set_frequency(self, hertz: float) -> None:
        """Set the period by its inverse."""
        self.set_period(1 / hertz if hertz > 0 else math.inf)

    def set_width(self, seconds: float) -> None:
        """Set the width at half height; edges that do not fit are made steeper."""
        self._time(seconds, self._kind.shortest_pulse, self._kind.longest, "width")

    def set_edge(self, seconds: float, *names: str) -> None:
        """Set edges (`leading`, `trailing`) from 10 to 90 %."""
        if self.settings.equal_edges and "leading" in names:
            names = ("leading", "trailing")
        self._time(seconds, self._kind.fastest_edge, self._kind.slowest_edge, *names)

    def set_cycles(self, cycles: float) -> None:
        """Set the pulses of a burst; infinity: until it is aborted."""
        most = math.inf if cycles == math.inf else self._kind.most_cycles
        self._take("cycles", cycles, self._kind.fewest_cycles, most)

    def give(self) -> None:
        """A trigger has come: give the burst that is set, or one pulse; nothing where the output is off."""
        s = self.settings
        if not s.output:
            return
        cycles = s.cycles if s.burst else 1
        if s.function != "PULS" or cycles == math.inf or s.leading != s.trailing:
            self._sweep()
            raise RuleBroken(Rule.SIMULATION, "the lab makes bursts of pulses with equal edges alone")
        top = s.low if s.inverted else s.high
        self.junction.pulse(
            self._name, top * self._passed, IMPEDANCE, width=s.width, edge=s.leading, count=round(cycles)
        )

    def _time(self, value: float, least: float, most: float, *names: str) -> None:
        """Set period, width or edges; what comes later in this order gives way."""
        taken = min(max(value, least), most)
        wanted = replace(self.settings, **dict.fromkeys(names, taken))
        fitting, broken = self._fitting(wanted), None
        if fitting != wanted:
            said = "have been adjusted" if self._kind.clips else "do not fit"
            broken = RuleBroken(Rule.CONFLICT, f"period, pulse width and edges {said}")
        if taken != value:
            broken = self._beyond("lower limit" if taken > value else "upper limit")
        self._settle(fitting, broken)

    def _fitting(self, s: PulserSettings) -> PulserSettings:
        kind = self._kind
        widest = (s.period - kind.gap - kind.gap_edges * max(s.leading, s.trailing)) * (1 + _SLACK)
        width = max(min(s.width, widest), kind.shortest_pulse)
        steepest = max(_STEEPNESS * width, kind.fastest_edge) * (1 + _SLACK)
        return replace(s, width=width, leading=min(s.leading, steepest), trailing=min(s.trailing, steepest))

    def _take(self, name: str, value: float, least: float, most: float) -> None:
        taken = min(max(value, least), most)
        broken = None if taken == value else self._beyond("lower limit" if taken > value else "upper limit")
        self._settle(replace(self.settings, **{name: taken}), broken)

    def _beyond(self, limit: str) -> RuleBroken:
        return RuleBroken(
            Rule.RANGE, f"value clipped to {limit}" if self._kind.clips else f"beyond the {limit}"
        )

    def _settle(self, settings: PulserSettings, broken: RuleBroken | None) -> None:
        """Take the nearest settings, where the model does that, and say what is wrong with the wanted ones."""
        if broken is None or self._kind.clips:
            self._apply(settings)
        if broken is not None:
            raise broken

    def _ranged(self, s: PulserSettings) -> PulserSettings:
        return replace(
            s, range=next(each for each in _RANGES if max(abs(s.high), abs(s.low)) <= each * (1 + _SLACK))
        )

    def _apply(self, settings: PulserSettings) -> None:
        """Have the output stand where it does between bursts; a wave without end takes the junction everywhere."""
        self.relays += int(self.settings.output and settings.output and settings.range != self.settings.range)
        self.settings = s = settings
        if not s.output:
            self.junction.let_go(self._name)
            return
        if s.trigger in _ENDLESS or not (s.burst or self._kind.single_pulses):
            self._sweep()
        idle = s.high if s.inverted else s.low
        self.junction.idle_at(self._name, idle * self._passed, IMPEDANCE)

    def _sweep(self) -> None:
        for level in (self.settings.low, self.settings.high):
            self.junction.idle_at(self._name, level * self._passed, IMPEDANCE)
