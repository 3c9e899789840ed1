"""The Agilent 33521A as a device: one channel that clips what it cannot take, and bursts; knows no SCPI."""

import math
from contextlib import AbstractContextManager

from mock_hw.boxes._junction import Junction
from mock_hw.boxes._pulser import Pulser, PulserKind, PulserSettings
from mock_hw.boxes._rules import Rule, RuleBroken

FASTEST_EDGE = 8.4e-9  # s, from 10 to 90 %
_SHORTEST_PULSE = 16e-9
_KIND = PulserKind(
    fastest_edge=FASTEST_EDGE, slowest_edge=1e-6, shortest_pulse=_SHORTEST_PULSE, shortest_period=33e-9, longest=1e6,
    largest=10.0, smallest_swing=2e-3, largest_swing=20.0, loads=(1.0, 10e3), fewest_cycles=1, most_cycles=100_000_000,
    gap=_SHORTEST_PULSE, gap_edges=0.0, clips=True, single_pulses=False,
)  # fmt: skip


class Generator(Pulser):
    """The whole box: its only channel is wired to a junction through `attenuation` decibels."""

    def __init__(
        self, junction: Junction, *, name: str, serial_number: str = "0", attenuation: float = 0.0
    ) -> None:
        super().__init__(_KIND, PulserSettings(), junction, name=name, attenuation=attenuation)
        self.identity = f"Agilent Technologies,33521A,{serial_number},SIM-1.12"
        self.trigger_out = False

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while a command acts: that of the junction."""
        return self.junction.lock

    def power_on(self) -> None:
        """Be as after power-on or `*RST`."""
        self.trigger_out = False
        super().power_on()

    def set_load(self, ohms: float) -> None:
        """Have levels shown for another load, or an open circuit: what is put out stays."""
        if self.settings.limited:
            raise RuleBroken(Rule.CONFLICT, "the load cannot be changed while voltage limits are on")
        if ohms == math.inf:
            self.change(load=ohms)
        else:
            super().set_load(ohms)

    def trigger(self) -> None:
        """A trigger has come over the wire: give the burst that is set."""
        if not (self.settings.burst and self.settings.trigger == "BUS"):
            raise RuleBroken(Rule.TRIGGER)
        self.give()
