"""Resistance by a Keithley 2400, opened by pymeasure's own class, whose setters and getters are not trusted."""

import math
from typing import ClassVar

from pymeasure.instruments import Instrument

from ..._errors import BenchError
from .._signal_path import SignalPath
from ._junction import Junction
from ._protocols import ReadSettings
from ._wire import (
    SOCKET_LINES,
    ask,
    ask_number,
    expect_model,
    expect_no_error,
    expect_number,
    expect_range,
    expect_word,
    is_on,
    off_where_it_fails,
    tell,
    try_all,
)

_LIMITED = (
    1 << 0 | 1 << 3 | 1 << 16
)  # of the status word of a reading: overflow, compliance, range compliance
_NOT_A_NUMBER = 9.9e37
_STEP, _LEAST_RANGE = 2.5e-5, 0.2  # resolution of the source, of its nominal range; the smallest of those, V
_DELAY = 1e-4  # s, resolution of the delay
_OFFSET, _GAIN = 1e-3, 1e-3  # V and fraction by which what is measured may differ from what is set
_ELEMENTS = "VOLT,CURR,RES,TIME,STAT"


class Keithley2400Readout:
    """Volts sourced; volts and amperes measured, by the same two wires, whose ohms are the path's `source_impedance`.

    Raises BenchError for a path with an attenuator, which would make its ohms wrong, or with an assumed load.
    """

    driver: ClassVar[str] = "pymeasure.instruments.keithley.Keithley2400"
    models: ClassVar[tuple[str, ...]] = ("MODEL 24",)
    unseen: ClassVar[tuple[str, ...]] = (
        "the resistance of the leads is that of the bench file",
        "which terminals, front or rear, are wired is not asked",
    )
    terminations: ClassVar[dict[str, str]] = SOCKET_LINES

    def __init__(self, box: Instrument, path: SignalPath, junction: Junction) -> None:
        if path.attenuation or path.assumed_load != math.inf:
            raise BenchError(
                f"the {box.name!r} sets the voltage of its open circuit and measures by the same wires: its path has "
                "assumed_load = inf and no attenuation"
            )
        self._box, self._path, self._junction = box, path, junction
        self._settings: ReadSettings | None = None

    def check(self) -> None:
        """Refuse another box."""
        expect_model(self._box, self.models)

    def output_is_on(self) -> bool:
        """Ask whether the output is on."""
        return is_on(self._box, "OUTP?", marked=False)

    def look(self) -> str:
        """Say what the box is set to, changing nothing but the elements of a reading, which the driver sets."""
        box = self._box
        volts, amperes, compliance = (
            ask_number(box, question, marked=False)
            for question in ("SOUR:VOLT?", "SOUR:CURR?", "SENS:CURR:PROT?")
        )
        level = f"{volts:g} V" if ask(box, "SOUR:FUNC?", marked=False) == "VOLT" else f"{amperes:g} A"
        return f"sources {level}, compliance {compliance:g} A"

    def prepare(self, settings: ReadSettings) -> None:
        """Set volts, compliance and ranges with the output off, read everything back, then switch the output on.

        Raises BenchError where a limit does not allow it, before anything is sent, or where the box does not
        confirm a setting: it is off then.
        """
        peak = abs(settings.voltage) * (1 + self._path.overshoot)
        self._junction.check_read(peak, settings.compliance)
        with off_where_it_fails(self.off):
            self.check()
            self.off()
            with self._junction.setting("read", peak):
                self._set(settings)
                tell(self._box, "OUTP 1")
                expect_word(self._box, "OUTP?", "1")
                expect_no_error(self._box)
            self._settings = settings

    def read(self) -> float:
        """Give the resistance in ohms; raises BenchError, the output off, for a reading in compliance or none."""
        if self._settings is None:
            raise BenchError(f"the {self._box.name!r} has no read voltage: call prepare first")
        with off_where_it_fails(self.off):
            return self._resistance(self._settings)

    def off(self) -> None:
        """Output off, all settings reset (0 V), read back.

        pymeasure's `shutdown` asks first, and where no answer comes it does not switch off.
        """
        self._settings, box = None, self._box
        try_all(
            box,
            lambda: tell(box, "OUTP 0"),
            lambda: tell(box, "*RST"),
            lambda: expect_word(box, "OUTP?", "0"),
            lambda: expect_number(box, "SOUR:VOLT?", 0.0, 0.0),
        )
        self._junction.is_off("read")

    def _set(self, settings: ReadSettings) -> None:
        box, volts, fixed = self._box, settings.voltage / self._path.gain, settings.current_range
        delay = None if settings.delay is None else math.ceil(settings.delay / _DELAY * (1 - 1e-9)) * _DELAY
        tell(
            box,
            "*CLS",
            f"FORM:ELEM {_ELEMENTS}",
            "SOUR:FUNC VOLT",
            f"SENS:CURR:PROT {settings.compliance:.9e}",
            "SENS:FUNC 'VOLT','CURR'",
            "SENS:CURR:RANG:AUTO 1" if fixed is None else f"SENS:CURR:RANG {fixed:.9e}",
            f"SOUR:VOLT:RANG {abs(volts):.9e}",
            f"SOUR:VOLT {volts:.9e}",
            f"SENS:CURR:NPLC {settings.cycles:.6e}",
            f"SYST:AZER {int(settings.autozero)}",
            *(() if settings.autozero else ("SYST:AZER ONCE",)),
            "SOUR:DEL:AUTO 1" if delay is None else f"SOUR:DEL {delay:.4f}",
        )
        expect_no_error(box)
        expect_word(box, "FORM:ELEM?", _ELEMENTS)
        expect_word(box, "SOUR:FUNC?", "VOLT")
        expect_number(box, "SENS:CURR:PROT?", settings.compliance, 0.0)
        expect_word(box, "SENS:FUNC?", '"VOLT:DC","CURR:DC"')
        expect_word(box, "SENS:CURR:RANG:AUTO?", "1" if fixed is None else "0")
        if fixed is not None:
            expect_range(box, "SENS:CURR:RANG?", fixed, max(10.5 * fixed, 1.05e-6))
        expect_word(box, "SOUR:VOLT:RANG:AUTO?", "0")
        expect_range(box, "SOUR:VOLT:RANG?", abs(volts), max(10.5 * abs(volts), 1.05 * _LEAST_RANGE))
        expect_number(box, "SOUR:VOLT?", volts, _STEP * max(_LEAST_RANGE, 10 * abs(volts)))
        expect_word(box, "SOUR:CLE:AUTO?", "0")
        expect_number(box, "SENS:CURR:NPLC?", settings.cycles, 0.0)
        expect_word(box, "SYST:AZER?", str(int(settings.autozero)))
        expect_word(box, "SOUR:DEL:AUTO?", str(int(delay is None)))
        if delay is not None:
            expect_number(box, "SOUR:DEL?", delay, _DELAY / 2)

    def _resistance(self, settings: ReadSettings) -> float:
        answer = ask(self._box, "READ?")
        try:
            volts, amperes, _, _, status = (float(field) for field in answer.split(","))
            limited = int(status) & _LIMITED
        except (ValueError, OverflowError):
            raise BenchError(
                f"the {self._box.name!r} answers READ? by {answer!r}, which is no reading: look at it"
            ) from None
        if limited:
            raise BenchError(
                f"the reading is in compliance at {settings.compliance:g} A or beyond the range: lower the read "
                "voltage, or look for a short"
            )
        if not (abs(volts) < _NOT_A_NUMBER and 0 < abs(amperes) < _NOT_A_NUMBER):
            raise BenchError(f"the reading is {volts:g} V and {amperes:g} A: is the device connected?")
        wanted = settings.voltage / self._path.gain
        if not abs(volts - wanted) <= _GAIN * abs(wanted) + _OFFSET:
            raise BenchError(f"the reading is at {volts:g} V where {wanted:g} V were set: look at the box")
        return volts / amperes - self._path.source_impedance
