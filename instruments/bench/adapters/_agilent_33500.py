"""Pulses of an Agilent 33500, opened by pymeasure's own class, whose setters are not trusted."""

import math
from typing import ClassVar

from ._pulse_generator import PulseGenerator, TimingLines
from ._wire import Expected


class Agilent33500Source(PulseGenerator):
    """Bursts on `*TRG`, resting within 2 mV of 0 V: the levels of this box are that far apart at least."""

    driver: ClassVar[str] = "pymeasure.instruments.agilent.Agilent33500"
    models: ClassVar[tuple[str, ...]] = ("335", "336")
    fastest_edge: ClassVar[float] = 8.4e-9
    timing: ClassVar[TimingLines] = TimingLines(
        "FUNC:PULS:PER", "FUNC:PULS:WIDT", "FUNC:PULS:TRAN:BOTH", "FUNC:PULS:TRAN:TRA"
    )
    least_swing: ClassVar[float] = 2e-3
    largest_swing: ClassVar[float] = 20.0
    largest_load: ClassVar[float] = math.inf
    usual_period: ClassVar[float] = 1e-3
    resolution: ClassVar[float] = 1e-10

    def _burst(self, count: int) -> tuple[tuple[str, ...], tuple[Expected, ...]]:
        return (
            ("BURS:MODE TRIG", f"BURS:NCYC {count}", "TRIG:SOUR BUS", "BURS:STAT 1"),
            (
                Expected("BURS:NCYC?", count),
                Expected("BURS:STAT?", "1"),
                Expected("BURS:MODE?", "TRIG"),
                Expected("TRIG:SOUR?", "BUS"),
            ),
        )

    def _ranging(self, volts: float) -> tuple[str, ...]:
        return f"VOLT:HIGH {abs(volts):.9e}", f"VOLT:LOW {-abs(volts):.9e}"
