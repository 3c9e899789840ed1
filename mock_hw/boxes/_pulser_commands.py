"""Rows of a generator's table over one of its channels, a `Pulser`."""

import math
from collections.abc import Callable
from typing import Any

from mock_hw._scpi import Command, Converter, boolean, number, number_or, word
from mock_hw.boxes._pulser import Pulser

_INFINITE = 9.9e37


class ChannelCommands:
    """Makes the commands of the channel that `of` gives of a session; numbers are answered in `form`."""

    def __init__(self, of: Callable[[Any], Pulser], form: str) -> None:
        self._of, self._form = of, form

    def numeric(
        self, header: str, show: Callable[[Pulser], float], set_it: Callable[[Pulser, float], None],
        convert: Converter = number,
    ) -> Command:  # fmt: skip
        """A number that a rule may bind."""

        def read(s: Any) -> str:
            value = show(self._of(s))
            return f"{_INFINITE if value == math.inf else value:{self._form}}"

        return Command(header, read, lambda s, value: set_it(self._of(s), value), (convert,))

    def plain(self, header: str, name: str, convert: Converter, show: Callable[[Any], str] = str) -> Command:
        """A setting that no rule binds."""
        return Command(
            header,
            lambda s: show(getattr(self._of(s).settings, name)),
            lambda s, value: self._of(s).change(**{name: value}),
            (convert,),
        )

    def switch(self, header: str, name: str) -> Command:
        """A setting that is on or off."""
        return self.plain(header, name, boolean, lambda on: str(int(on)))

    def period(self, header: str) -> Command:
        """The period of pulses."""
        return self.numeric(header, lambda p: p.settings.period, Pulser.set_period)

    def width(self, header: str) -> Command:
        """The width of pulses."""
        return self.numeric(header, lambda p: p.settings.width, Pulser.set_width)

    def edge(self, header: str, *names: str) -> Command:
        """One edge of pulses, or both."""
        return self.numeric(
            header, lambda p: getattr(p.settings, names[0]), lambda p, seconds: p.set_edge(seconds, *names)
        )

    def load(self, header: str) -> Command:
        """The load for which levels are shown."""
        convert = number_or(INFinity=math.inf)
        return self.numeric(header, lambda p: p.settings.load, lambda p, ohms: p.set_load(ohms), convert)

    def cycles(self, header: str) -> Command:
        """Pulses of a burst."""
        convert = number_or(INFinity=math.inf)
        return self.numeric(header, lambda p: p.settings.cycles, Pulser.set_cycles, convert)

    def frequency(self, header: str) -> Command:
        """The inverse of the period."""
        return self.numeric(header, lambda p: 1 / p.settings.period, Pulser.set_frequency)

    def burst_period(self, header: str) -> Command:
        """The period of bursts that come by themselves."""
        return self.numeric(
            header, lambda p: p.settings.burst_period, lambda p, seconds: p.change(burst_period=seconds)
        )

    def polarity(self, header: str) -> Command:
        """Whether the low level is the one of pulses."""
        return Command(
            header,
            lambda s: "INV" if self._of(s).settings.inverted else "NORM",
            lambda s, which: self._of(s).change(inverted=which == "INV"),
            (word("NORMal", "INVerted"),),
        )

    def voltages(self, header: str) -> tuple[Command, ...]:
        """Amplitude, offset, levels, unit and limits."""

        def level(which: str) -> Command:
            name = which.lower()
            return self.numeric(
                f"{header}:{which}",
                lambda p: getattr(p.settings, name) * p.shown,
                lambda p, volts: p.set_levels(**{name: volts}),
            )

        def limit(which: str) -> Command:
            name = f"limit_{which.lower()}"
            return self.numeric(
                f"{header}:LIMit:{which}",
                lambda p: getattr(p.settings, name) * p.shown,
                lambda p, volts: p.change(**{name: volts / p.shown}),
            )

        return (
            self.numeric(
                header, lambda p: (p.settings.high - p.settings.low) * p.shown, Pulser.set_amplitude
            ),
            self.numeric(
                f"{header}:OFFSet",
                lambda p: (p.settings.high + p.settings.low) / 2 * p.shown,
                Pulser.set_offset,
            ),
            level("HIGH"),
            level("LOW"),
            Command(
                f"{header}:RANGe:AUTO",
                lambda s: str(int(self._of(s).settings.auto_range)),
                lambda s, how: self._of(s).set_auto_range(how),
                (lambda text: "ONCE" if text.upper() == "ONCE" else boolean(text),),
            ),
            Command(f"{header}:UNIT", lambda s: "VPP", lambda s, unit: None, (word("VPP"),)),
            limit("HIGH"),
            limit("LOW"),
            Command(
                f"{header}:LIMit:STATe",
                lambda s: str(int(self._of(s).settings.limited)),
                lambda s, on: self._of(s).set_limits(on),
                (boolean,),
            ),
        )
