"""The Keysight 81160A as a device: one channel or two that refuse what they cannot take; knows no SCPI."""

from collections.abc import Sequence
from contextlib import AbstractContextManager

from mock_hw.boxes._junction import Junction, LockOfAll
from mock_hw.boxes._pulser import Pulser, PulserKind, PulserSettings
from mock_hw.boxes._rules import Rule, RuleBroken
from mock_hw.physics import DeviceError

FASTEST_EDGE = 1e-9  # s, from 10 to 90 %
_KIND = PulserKind(
    fastest_edge=FASTEST_EDGE, slowest_edge=1e3, shortest_pulse=1.5e-9, shortest_period=3.03e-9, longest=1e6,
    largest=10.0, smallest_swing=0.1, largest_swing=10.0, loads=(0.3, 1e6), fewest_cycles=2, most_cycles=2**31 - 1,
    gap=0.0, gap_edges=1.6, clips=False, single_pulses=True,
)  # fmt: skip
_DEFAULT = PulserSettings(
    high=1.0, low=-1.0, period=1e-6, width=100e-9, leading=FASTEST_EDGE, trailing=FASTEST_EDGE, equal_edges=True,
    cycles=2, burst_period=10e-6, range=1.0,
)  # fmt: skip


class Channel(Pulser):
    """One of them: triggers give one pulse, or a burst of two and more."""

    def count(self) -> int:
        """Pulses that a trigger gives."""
        return round(self.settings.cycles) if self.settings.burst else 1

    def set_count(self, pulses: int) -> None:
        """Have a trigger give one pulse, or a burst of so many."""
        if pulses == 1:
            self.change(burst=False)
        else:
            self.set_cycles(pulses)
            self.change(burst=True)

    def set_edge(self, seconds: float, *names: str) -> None:
        """Set one edge, and with the leading one the trailing one, unless that was set by itself."""
        super().set_edge(seconds, *names)
        if names == ("trailing",):
            self.change(equal_edges=False)

    def keep_edges_equal(self, equal: bool) -> None:
        """Have the trailing edge follow the leading one."""
        self.change(equal_edges=equal, trailing=self.settings.leading if equal else self.settings.trailing)


class Generator:
    """A channel wired to each of one or two junctions through `attenuation` decibels; `name` is that of its box."""

    def __init__(
        self, junctions: Sequence[Junction], *, name: str, serial_number: str = "0", attenuation: float = 0.0
    ) -> None:
        self.identity = f"Agilent Technologies,81160A,{serial_number},SIM-1.0"
        self.channels = [
            Channel(_KIND, _DEFAULT, each, name=name, attenuation=attenuation) for each in junctions
        ]
        self.lock: AbstractContextManager[object] = LockOfAll(junctions)

    def power_on(self) -> None:
        """Be as after power-on or `*RST`."""
        for channel in self.channels:
            channel.power_on()

    def trigger(self) -> None:
        """A trigger has come over the wire: give the pulses of every channel that waits for one."""
        waiting = [channel for channel in self.channels if channel.settings.trigger == "MAN"]
        if not waiting:
            raise RuleBroken(Rule.TRIGGER)
        troubles: list[Exception] = []
        for channel in waiting:
            try:
                channel.give()
            except (RuleBroken, DeviceError) as trouble:
                troubles.append(trouble)
        if troubles:
            raise troubles[0]
