"""What Keithley's source-meters have in common as a readout, opened by pymeasure's classes, which are not trusted."""

import math
from abc import ABC, abstractmethod
from typing import ClassVar

from pymeasure.instruments import Instrument

from ..._errors import BenchError
from .._signal_path import SignalPath
from ._junction import Junction
from ._protocols import ReadSettings
from ._wire import (
    SOCKET_LINES,
    Expected,
    ask,
    ask_number,
    expect,
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

_NOT_A_NUMBER = 9.9e37
_STEP = 2.5e-5  # resolution of the source, of its nominal range
_DELAY = 1e-4  # s, resolution of the delay
_OFFSET, _GAIN = 1e-3, 1e-3  # V and fraction by which what is measured may differ from what is set


class SourceMeterReadout(ABC):
    """Volts sourced; volts and amperes measured, by the same two wires, whose ohms are the path's `source_impedance`.

    Raises BenchError for a path with an attenuator, which would make its ohms wrong, or with an assumed load. A model
    says how its lines differ: `limit` and `delay` are the beginnings of those for the compliance and the delay;
    `least_volts`, `least_amperes`: the nominal values of its smallest ranges; `shown`: a range as it is answered, over
    its full scale.
    """

    driver: ClassVar[str]
    models: ClassVar[tuple[str, ...]]
    limit: ClassVar[str]
    delay: ClassVar[str]
    least_volts: ClassVar[float]
    least_amperes: ClassVar[float]
    shown: ClassVar[float]
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
            for question in ("SOUR:VOLT?", "SOUR:CURR?", f"{self.limit}?")
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

    @abstractmethod
    def _own(self, settings: ReadSettings) -> tuple[tuple[str, ...], tuple[Expected, ...]]:
        """Give the lines of the model that select what is measured, and what confirms them."""

    @abstractmethod
    def _measured(self) -> tuple[float, float, bool]:
        """Take a reading: volts, amperes, and whether something limits it."""

    def _set(self, settings: ReadSettings) -> None:
        box, volts, fixed = self._box, settings.voltage / self._path.gain, settings.current_range
        delay = None if settings.delay is None else math.ceil(settings.delay / _DELAY * (1 - 1e-9)) * _DELAY
        lines, confirmed = self._own(settings)
        tell(
            box,
            "*CLS",
            "SOUR:FUNC VOLT",
            f"{self.limit} {settings.compliance:.9e}",
            *lines,
            "SENS:CURR:RANG:AUTO 1" if fixed is None else f"SENS:CURR:RANG {fixed:.9e}",
            f"SOUR:VOLT:RANG {abs(volts):.9e}",
            f"SOUR:VOLT {volts:.9e}",
            f"SENS:CURR:NPLC {settings.cycles:.6e}",
            f"{self.delay}:AUTO 1" if delay is None else f"{self.delay} {delay:.4f}",
        )
        expect_no_error(box)
        expect_word(box, "SOUR:FUNC?", "VOLT")
        expect_number(box, f"{self.limit}?", settings.compliance, 0.0)
        expect(box, *confirmed)
        expect_word(box, "SENS:CURR:RANG:AUTO?", "1" if fixed is None else "0")
        if fixed is not None:
            most = max(10.5 * fixed, 1.05 * self.least_amperes)
            expect_range(box, "SENS:CURR:RANG?", fixed * self.shown, most)
        expect_word(box, "SOUR:VOLT:RANG:AUTO?", "0")
        least, most = abs(volts) * self.shown, max(10.5 * abs(volts), 1.05 * self.least_volts)
        expect_range(box, "SOUR:VOLT:RANG?", least, most)
        expect_number(box, "SOUR:VOLT?", volts, _STEP * max(self.least_volts, 10 * abs(volts)))
        expect_number(box, "SENS:CURR:NPLC?", settings.cycles, 0.0)
        expect_word(box, f"{self.delay}:AUTO?", str(int(delay is None)))
        if delay is not None:
            expect_number(box, f"{self.delay}?", delay, _DELAY / 2)

    def _resistance(self, settings: ReadSettings) -> float:
        volts, amperes, limited = self._measured()
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

    def _fields(self, question: str, fields: int) -> list[float]:
        """Ask for a reading of so many numbers."""
        answer = ask(self._box, question)
        try:
            found = [float(field) for field in answer.split(",")]
            bits = found[-1] == int(found[-1])
        except (ValueError, OverflowError):
            bits, found = False, []
        if len(found) != fields or not bits:
            raise BenchError(
                f"the {self._box.name!r} answers {question} by {answer!r}, which is no reading: look at it"
            )
        return found
