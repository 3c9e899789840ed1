"""Pulses of a Keysight 81160A, opened by pymeasure's own class, whose setters are not trusted."""

from typing import ClassVar

from ._pulse_generator import PulseGenerator, TimingLines
from ._wire import Expected


class Keysight81160ASource(PulseGenerator):
    """Bursts on `*TRG` by the first channel, resting at 0 V; a second one is off after the reset, too.

    Its levels are 50 mV apart at least (at 50 ohms), so pulses of the other sign take the output off and on again.
    """

    driver: ClassVar[str] = "pymeasure.instruments.keysight.Keysight81160A"
    models: ClassVar[tuple[str, ...]] = ("81160A",)
    fastest_edge: ClassVar[float] = 1e-9
    unseen: ClassVar[tuple[str, ...]] = (
        *PulseGenerator.unseen,
        "the output of a second channel is not asked for: a reset switches it off",
    )
    timing: ClassVar[TimingLines] = TimingLines("PULS:PER", "PULS:WIDT", "PULS:TRAN", "PULS:TRAN:TRA")
    least_swing: ClassVar[float] = 0.1
    largest_swing: ClassVar[float] = 10.0
    largest_load: ClassVar[float] = 1e6
    usual_period: ClassVar[float] = 1e-6
    resolution: ClassVar[float] = 2e-12

    def _burst(self, count: int) -> tuple[tuple[str, ...], tuple[Expected, ...]]:
        return (
            ("ARM:SOUR MAN", "BURS:MODE TRIG", f"TRIG:COUN {count}"),
            (
                Expected("ARM:SOUR?", "MAN"),
                Expected("BURS:MODE?", "TRIG"),
                Expected("TRIG:COUN?", count),
                Expected("BURS:STAT?", str(int(count > 1))),
            ),
        )

    def _ranging(self, volts: float) -> tuple[str, ...]:
        near, far = ("HIGH", "LOW") if volts < 0 else ("LOW", "HIGH")
        return f"VOLT:{near} 0", f"VOLT:{far} {volts:.9e}"
