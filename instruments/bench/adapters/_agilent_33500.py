"""Pulses of an Agilent 33500, opened by pymeasure's own class, whose setters are not trusted."""

import math
from typing import ClassVar

from pymeasure.instruments import Instrument

from ..._errors import BenchError
from .._signal_path import SignalPath
from ._junction import Junction
from ._protocols import PulseSettings
from ._wire import (
    SOCKET_LINES,
    ask,
    ask_number,
    expect_model,
    expect_no_error,
    expect_number,
    expect_word,
    is_on,
    off_where_it_fails,
    tell,
    try_all,
)

_INFINITE = 9.9e37  # ohms, what the box says for an open circuit
_VOLT, _SECOND = 2e-6, 1e-10  # resolution of settings
_LARGEST = 10.0  # V of the open circuit
_LONGEST = 1.0  # s, a burst: its end is waited for on the wire


class Agilent33500Source:
    """Bursts on `*TRG`, resting at 0 V: of a negative pulse the polarity is inverted and the high level 0 V."""

    driver: ClassVar[str] = "pymeasure.instruments.agilent.Agilent33500"
    models: ClassVar[tuple[str, ...]] = ("335", "336")
    unseen: ClassVar[tuple[str, ...]] = (
        "attenuation, overshoot and resistance of the path are those of the bench file",
        "nothing but its voltage limits the current of a pulse",
    )
    terminations: ClassVar[dict[str, str]] = SOCKET_LINES

    def __init__(self, box: Instrument, path: SignalPath, junction: Junction) -> None:
        self._box, self._path, self._junction = box, path, junction
        self._ready = False

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
            for question in ("VOLT:HIGH?", "VOLT:LOW?", "OUTP:LOAD?", "FUNC:PULS:WIDT?", "FUNC:PULS:PER?")
        )
        burst = "on" if is_on(box, "BURS:STAT?", marked=False) else "off"
        shown = "an open circuit" if load >= _INFINITE else f"{load:g} ohms"
        return (
            f"{function} from {low:g} V to {high:g} V as shown for {shown}, pulses of {width:g} s every {period:g} s, "
            f"burst {burst}"
        )

    def prepare(self, settings: PulseSettings) -> None:
        """Set a burst with the output off, read everything back, then switch the output on.

        Raises BenchError where a limit does not allow it, before anything is sent, or where the box does not
        confirm a setting: it is off then.
        """
        peak = abs(settings.voltage) * (1 + self._path.overshoot)
        self._junction.check_pulse(peak, settings.width, settings.period)
        volts, most = settings.voltage / self._path.gain, self._most
        if abs(volts) > most:
            raise BenchError(
                f"{abs(volts):g} V are more than the {self._box.name!r} gives, {most:g} V: take a smaller attenuation"
            )
        if settings.count * settings.period > _LONGEST:
            raise BenchError(
                f"a burst of {settings.count * settings.period:g} s is longer than {_LONGEST:g} s: give several"
            )
        with off_where_it_fails(self.off):
            self.check()
            self.off()
            with self._junction.setting("pulse", peak):
                self._set(settings, volts)
                tell(self._box, "OUTP 1")
                expect_word(self._box, "OUTP?", "1")
                expect_no_error(self._box)
            self._ready = True

    def pulse(self) -> None:
        """Give the burst; nothing else is sent before the box says that it is over."""
        if not self._ready:
            raise BenchError(f"the {self._box.name!r} has no burst: call prepare first")
        with off_where_it_fails(self.off):
            tell(self._box, "*TRG")
            expect_word(self._box, "*OPC?", "1")
            expect_no_error(self._box)

    def off(self) -> None:
        """Output off, all settings reset, read back; pymeasure's `shutdown` sends nothing."""
        self._ready, box = False, self._box
        try_all(
            box,
            lambda: tell(box, "OUTP 0"),
            lambda: tell(box, "*RST"),
            lambda: expect_word(box, "OUTP?", "0"),
        )
        self._junction.is_off("pulse")

    @property
    def _most(self) -> float:
        """Volts that can be set, as shown."""
        load = self._path.assumed_load
        return _LARGEST if load == math.inf else _LARGEST * load / (load + 50.0)

    def _set(self, settings: PulseSettings, volts: float) -> None:
        box, load = self._box, self._path.assumed_load
        high, low = max(volts, 0.0), min(volts, 0.0)
        # Levels and times that meet each other are moved by the box: the order is one in which they never do.
        timing = [f"FUNC:PULS:PER {settings.period:.9e}", f"FUNC:PULS:WIDT {settings.width:.9e}"]
        levels = [f"VOLT:HIGH {high:.9e}", f"VOLT:LOW {low:.9e}"]
        tell(
            box,
            "*CLS",
            f"OUTP:LOAD {'INF' if load == math.inf else f'{load:.9g}'}",
            "FUNC PULS",
            "FUNC:PULS:TRAN:BOTH 8.4e-9",
            *(timing if settings.period >= 1e-3 else reversed(timing)),
            f"FUNC:PULS:TRAN:BOTH {settings.edge:.9e}",
            *(levels if volts >= 0 else reversed(levels)),
            f"OUTP:POL {'NORM' if volts >= 0 else 'INV'}",
            "BURS:MODE TRIG",
            f"BURS:NCYC {settings.count}",
            "TRIG:SOUR BUS",
            "BURS:STAT 1",
        )
        expect_no_error(box)
        expect_number(box, "OUTP:LOAD?", _INFINITE if load == math.inf else load, 0.0)
        expect_number(box, "VOLT:HIGH?", high, _VOLT)
        expect_number(box, "VOLT:LOW?", low, _VOLT)
        expect_number(box, "FUNC:PULS:PER?", settings.period, _SECOND)
        expect_number(box, "FUNC:PULS:WIDT?", settings.width, _SECOND)
        for edge in ("LEAD", "TRA"):
            expect_number(box, f"FUNC:PULS:TRAN:{edge}?", settings.edge, _SECOND)
        expect_number(box, "BURS:NCYC?", settings.count, 0.0)
        for question, word in (("FUNC?", "PULS"), ("BURS:STAT?", "1"), ("BURS:MODE?", "TRIG")):
            expect_word(box, question, word)
        expect_word(box, "TRIG:SOUR?", "BUS")
        expect_word(box, "OUTP:POL?", "NORM" if volts >= 0 else "INV")
        self._limit_the_box()

    def _limit_the_box(self) -> None:
        """Have the box itself refuse what is above the limit, whoever turns its knob."""
        volts = min(self._junction.limits.pulse_voltage / self._path.peak_gain, self._most)
        tell(self._box, f"VOLT:LIM:HIGH {volts:.9e}", f"VOLT:LIM:LOW {-volts:.9e}", "VOLT:LIM:STAT 1")
        expect_no_error(self._box)
        expect_number(self._box, "VOLT:LIM:HIGH?", volts, _VOLT)
        expect_number(self._box, "VOLT:LIM:LOW?", -volts, _VOLT)
        expect_word(self._box, "VOLT:LIM:STAT?", "1")
