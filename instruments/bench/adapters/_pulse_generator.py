"""What pulse generators have in common that pulse between two levels, opened by pymeasure's own classes."""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from pymeasure.instruments import Instrument

from ..._errors import BenchError
from .._signal_path import SignalPath
from ._junction import Junction
from ._protocols import PulseSettings
from ._wire import (
    SOCKET_LINES,
    Expected,
    ask,
    ask_number,
    expect,
    expect_model,
    expect_no_error,
    expect_number,
    expect_word,
    is_on,
    off_where_it_fails,
    tell,
    tell_and_expect,
    try_all,
)

_INFINITE = 9.9e37  # ohms, what a box says for an open circuit
_VOLT = 2e-6  # resolution of settings
_LARGEST = 10.0  # V of the open circuit, a level
_REST = 2e-3  # V of the open circuit by which a level at rest may leave 0 V, the output on
_HAIR = 1 + 1e-9
_LONGEST = 1.0  # s, a burst: its end is waited for on the wire


@dataclass(frozen=True)
class TimingLines:
    """How a model's lines for times begin; `leading` is that of both edges, where they are equal."""

    period: str
    width: str
    leading: str
    trailing: str


class PulseGenerator(ABC):
    """Bursts on `*TRG`, resting at 0 V: of a negative pulse the polarity is inverted and the high level 0 V.

    A model says how its lines differ. `least_swing`, `largest_swing`: V of the open circuit from one level to the
    other; `largest_load`: ohms that can be assumed; `usual_period`: seconds, after `*RST`; `resolution`: seconds.
    """

    driver: ClassVar[str]
    models: ClassVar[tuple[str, ...]]
    fastest_edge: ClassVar[float]
    unseen: ClassVar[tuple[str, ...]] = (
        "attenuation, overshoot and resistance of the path are those of the bench file",
        "nothing but its voltage limits the current of a pulse",
    )
    terminations: ClassVar[dict[str, str]] = SOCKET_LINES
    timing: ClassVar[TimingLines]
    least_swing: ClassVar[float]
    largest_swing: ClassVar[float]
    largest_load: ClassVar[float]
    usual_period: ClassVar[float]
    resolution: ClassVar[float]

    def __init__(self, box: Instrument, path: SignalPath, junction: Junction) -> None:
        self._box, self._path, self._junction = box, path, junction
        self._settings: PulseSettings | None = None

    def check(self) -> None:
        """Refuse another box."""
        expect_model(self._box, self.models)

    def output_is_on(self) -> bool:
        """Ask whether the output is on."""
        return is_on(self._box, "OUTP?", marked=False)

    def look(self) -> str:
        """Say what the box is set to, changing nothing."""
        box, function = self._box, ask(self._box, "FUNC?", marked=False)
        high, low, load, width, period = (
            ask_number(box, question, marked=False)
            for question in (
                "VOLT:HIGH?",
                "VOLT:LOW?",
                "OUTP:LOAD?",
                f"{self.timing.width}?",
                f"{self.timing.period}?",
            )
        )
        burst = "on" if is_on(box, "BURS:STAT?", marked=False) else "off"
        shown = "an open circuit" if load >= min(_INFINITE, self.largest_load) else f"{load:g} ohms"
        return (
            f"{function} from {low:g} V to {high:g} V as shown for {shown}, pulses of {width:g} s every {period:g} s, "
            f"burst {burst}"
        )

    def prepare(self, settings: PulseSettings) -> None:
        """Set a burst with the output off, read everything back, then switch the output on.

        Raises BenchError where a limit does not allow it, before anything is sent, or where the box does not
        confirm a setting: it is off then.
        """
        self._refuse(settings)
        with off_where_it_fails(self.off):
            self.check()
            self.off()
            with self._junction.setting("pulse", self._peak(settings)):
                self._set(settings)
                tell(self._box, "OUTP 1")
                expect_word(self._box, "OUTP?", "1")
                expect_no_error(self._box)
            self._settings = settings

    def change(self, settings: PulseSettings) -> None:
        """Set another pulse with the output on, whose level at rest stays within 2 mV of 0 V, and read it back.

        A box that cannot, its levels being further apart, has its output off while the sign changes. Raises BenchError
        where a limit does not allow it, before anything is sent, or where the box does not confirm it: it is off then.
        """
        if settings != self._settings:
            self._exchange((), settings, Expected("OUTP?", "1"))

    def pulse(self, then: PulseSettings | None = None) -> None:
        """Give the burst and change to `then`, in one message; the box answers when it is over."""
        self._exchange(("*TRG",), then, Expected("*OPC?", "1"), Expected("OUTP?", "1"))

    def off(self) -> None:
        """Output off, all settings reset, read back; pymeasure's `shutdown` sends nothing."""
        self._settings, box = None, self._box
        try_all(
            box,
            lambda: tell(box, "OUTP 0"),
            lambda: tell(box, "*RST"),
            lambda: expect_word(box, "OUTP?", "0"),
        )
        self._junction.is_off("pulse")

    def _refuse(self, settings: PulseSettings) -> None:
        """Raise BenchError for what a limit or the box does not allow."""
        self._junction.check_pulse(self._peak(settings), settings.width, settings.period)
        volts = self._far(settings)
        if volts > self._most * _HAIR:
            raise BenchError(
                f"{volts:g} V are more than the {self._box.name!r} gives, {self._most:g} V: take a smaller attenuation"
            )
        volts, least = (
            abs(settings.voltage) / self._path.gain * self._rescaled,
            self.least_swing * self._shown,
        )
        if volts < least / _HAIR:
            raise BenchError(
                f"{volts:g} V are less than the {self._box.name!r} gives, {least:g} V: take a larger attenuation"
            )
        if settings.count * settings.period > _LONGEST:
            raise BenchError(
                f"a burst of {settings.count * settings.period:g} s is longer than {_LONGEST:g} s: give several"
            )

    def _exchange(self, lines: Sequence[str], after: PulseSettings | None, *expected: Expected) -> None:
        """Send lines, then what changes the pulse to `after`, and have all of it confirmed."""
        before = self._settings
        if before is None:
            raise BenchError(f"the {self._box.name!r} has no burst: call prepare first")
        after = before if after is None else after
        if after != before:
            self._refuse_change(before, after)
            lines, expected = (*lines, *self._way(before, after)), (*expected, *self._confirmed(after))
        with off_where_it_fails(self.off), self._junction.setting("pulse", self._peak(after)):
            tell_and_expect(self._box, lines, *expected)
            self._settings = after

    def _refuse_change(self, before: PulseSettings, after: PulseSettings) -> None:
        if replace(after, voltage=before.voltage, width=before.width) != before:
            raise BenchError(f"the {self._box.name!r} changes volts and width of a pulse alone: call prepare")
        if abs(after.voltage) > max(abs(before.voltage), before.largest) * _HAIR:
            raise BenchError(
                f"a pulse of {abs(after.voltage):g} V is beyond the range of the {self._box.name!r}: call prepare"
            )
        self._refuse(after)

    def _peak(self, settings: PulseSettings) -> float:
        """Volts at the device, overshoot included."""
        return abs(settings.voltage) * (1 + self._path.overshoot)

    @property
    def _load(self) -> float:
        """Ohms that the box is told to assume."""
        return min(self._path.assumed_load, self.largest_load)

    @property
    def _most(self) -> float:
        """Volts that can be set, as shown."""
        return min(_LARGEST, self.largest_swing) * self._shown

    @property
    def _shown(self) -> float:
        """Volts shown per volt of the open circuit."""
        return _shown(self._load)

    @property
    def _rescaled(self) -> float:
        """Volts shown per volt that the path means: 1, but for a box to which an open circuit is a large load."""
        return self._shown / _shown(self._path.assumed_load)

    def _far(self, settings: PulseSettings) -> float:
        """Magnitude of the largest level that is to come, as shown."""
        return max(abs(settings.voltage), settings.largest) / self._path.gain * self._rescaled

    def _levels(self, settings: PulseSettings) -> tuple[float, float]:
        """High and low as shown."""
        volts = settings.voltage / self._path.gain * self._rescaled
        return max(volts, 0.0), min(volts, 0.0)

    @abstractmethod
    def _burst(self, count: int) -> tuple[tuple[str, ...], tuple[Expected, ...]]:
        """Give the lines that have `*TRG` give so many pulses, and what confirms them."""

    @abstractmethod
    def _ranging(self, volts: float) -> tuple[str, ...]:
        """Give the lines that fix the range in which levels of these volts, as shown, are."""

    def _way(self, before: PulseSettings, after: PulseSettings) -> tuple[str, ...]:
        """Lines from one pulse to another; levels have a least distance, so the one at rest moves as far on the way."""
        high, low = self._levels(after)
        width = () if after.width == before.width else (f"{self.timing.width} {after.width:.9e}",)
        least = self.least_swing * self._shown
        if (low < 0) == (before.voltage < 0):
            turn = (f"VOLT:LOW {low:.9e}" if low < 0 else f"VOLT:HIGH {high:.9e}",)
        elif low < 0:
            turn = f"VOLT:HIGH {least:.9e}", "OUTP:POL INV", f"VOLT:LOW {low:.9e}", f"VOLT:HIGH {high:.9e}"
        else:
            turn = f"VOLT:LOW {-least:.9e}", "OUTP:POL NORM", f"VOLT:HIGH {high:.9e}", f"VOLT:LOW {low:.9e}"
        if len(turn) > 1 and self.least_swing > _REST:
            turn = ("OUTP 0", *turn, "OUTP 1")
        return (*width, *turn)

    def _confirmed(self, settings: PulseSettings) -> tuple[Expected, ...]:
        high, low = self._levels(settings)
        return (
            Expected("VOLT:HIGH?", high, _VOLT),
            Expected("VOLT:LOW?", low, _VOLT),
            Expected(f"{self.timing.width}?", settings.width, self.resolution),
            Expected("OUTP:POL?", "INV" if low < 0 else "NORM"),
        )

    def _set(self, settings: PulseSettings) -> None:
        box, load, times = self._box, self._load, self.timing
        high, low = self._levels(settings)
        # Levels and times that meet each other are moved or refused: the order is one in which they never do.
        timing = [f"{times.period} {settings.period:.9e}", f"{times.width} {settings.width:.9e}"]
        levels = [f"VOLT:HIGH {high:.9e}", f"VOLT:LOW {low:.9e}"]
        lines, confirmed = self._burst(settings.count)
        tell(
            box,
            "*CLS",
            f"OUTP:LOAD {'INF' if load == math.inf else f'{load:.9g}'}",
            "FUNC PULS",
            f"{times.leading} {self.fastest_edge:.9e}",
            *(timing if settings.period >= self.usual_period else reversed(timing)),
            f"{times.leading} {settings.edge:.9e}",
            # The range for the largest pulse, and none but it: its relays would click with the output on.
            *self._ranging(self._far(settings) * (-1 if low < 0 else 1)),
            "VOLT:RANG:AUTO 0",
            *(levels if low == 0 else reversed(levels)),
            f"OUTP:POL {'INV' if low < 0 else 'NORM'}",
            *lines,
        )
        expect_no_error(box)
        expect_number(box, "OUTP:LOAD?", _INFINITE if load == math.inf else load, 0.0)
        expect(box, *self._confirmed(settings))
        expect_number(box, f"{times.period}?", settings.period, self.resolution)
        for edge in (times.leading, times.trailing):
            expect_number(box, f"{edge}?", settings.edge, self.resolution)
        expect_word(box, "FUNC?", "PULS")
        expect_word(box, "VOLT:RANG:AUTO?", "0")
        expect(box, *confirmed)
        self._limit_the_box()

    def _limit_the_box(self) -> None:
        """Have the box itself refuse what is above the limit, whoever turns its knob."""
        volts = min(
            self._junction.limits.pulse_voltage / self._path.peak_gain * self._rescaled,
            _LARGEST * self._shown,
        )
        tell(self._box, f"VOLT:LIM:HIGH {volts:.9e}", f"VOLT:LIM:LOW {-volts:.9e}", "VOLT:LIM:STAT 1")
        expect_no_error(self._box)
        expect_number(self._box, "VOLT:LIM:HIGH?", volts, _VOLT)
        expect_number(self._box, "VOLT:LIM:LOW?", -volts, _VOLT)
        expect_word(self._box, "VOLT:LIM:STAT?", "1")


def _shown(load: float) -> float:
    return 1.0 if load == math.inf else load / (load + 50.0)
