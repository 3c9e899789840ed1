"""The current of a magnet from a Kepco BOP, opened by pymeasure's own class, whose `shutdown` sends nothing."""

import contextlib
import math
import time
from typing import ClassVar

from pymeasure.instruments import Instrument

from ..._errors import BenchError
from ._protocols import MagnetSettings
from ._wire import (
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

_LARGEST = {"CURR": 12.0, "VOLT": 36.0}
_RESOLUTION = 1e-3  # A or V, of a setting
_OF_READING, _OFFSET = (
    0.01,
    0.02,
)  # fraction and amperes by which what is measured may differ from what is set
_EVERY = 0.1  # s between the steps of a ramp
_ARRIVES = 10.0  # s that the current may take behind the last step, and to go when the output is off
_VOLTAGE, _CURRENT = "0", "1"  # answers to FUNC:MODE?


class KepcoBOPSupply:
    """Amperes that are ramped, within a voltage, in current mode; the field follows from the magnet's tesla per ampere.

    Raises BenchError where the limit of the field wants more amperes or volts than the box gives.
    """

    driver: ClassVar[str] = "pymeasure.instruments.kepco.KepcoBOP3612"
    models: ClassVar[tuple[str, ...]] = ("BIT 4886",)
    unseen: ClassVar[tuple[str, ...]] = (
        "axis and tesla per ampere of the magnet are those of the bench file",
        "off, the output puts out 0 V and has no relay: the current goes down with the magnet's own time",
    )
    terminations: ClassVar[dict[str, str]] = {}  # the class has its own

    def __init__(self, box: Instrument, magnet: MagnetSettings) -> None:
        most = magnet.largest_field / magnet.field_per_ampere
        if most > _LARGEST["CURR"] or magnet.voltage > _LARGEST["VOLT"]:
            raise BenchError(
                f"the {box.name!r} gives {_LARGEST['CURR']:g} A and {_LARGEST['VOLT']:g} V: "
                f"{magnet.largest_field:g} T are {most:g} A, and roles.field.voltage is {magnet.voltage:g} V"
            )
        self._box, self._magnet, self._ready = box, magnet, False

    def check(self) -> None:
        """Refuse another box."""
        expect_model(self._box, self.models)

    def output_is_on(self) -> bool:
        """Ask whether the output is on."""
        return is_on(self._box, "OUTP?", marked=False)

    def look(self) -> str:
        """Say what the box is set to, changing nothing."""
        mode, volts, amperes, measured = (
            ask_number(self._box, question, marked=False)
            for question in ("FUNC:MODE?", "VOLT?", "CURR?", "MEAS:CURR?")
        )
        level = (
            f"{amperes:g} A within {volts:g} V"
            if mode
            else f"{volts:g} V within {amperes:g} A: no field source"
        )
        return f"{'current' if mode else 'voltage'} mode, {level}; {measured:g} A flow"

    def prepare(self) -> None:
        """Have no current flow, in current mode, within the magnet's voltage, all read back, then the output on.

        Raises BenchError where the box does not confirm a setting: it is off then.
        """
        box, volts = self._box, self._magnet.voltage
        with off_where_it_fails(self.off):
            self.check()
            self.off()
            tell(box, "*CLS", "FUNC:MODE CURR", "CURR 0", f"VOLT {volts:.5e}")
            expect_no_error(box)
            expect_word(box, "FUNC:MODE?", _CURRENT)
            expect_number(box, "CURR?", 0.0, _RESOLUTION)
            expect_number(box, "VOLT?", volts, _RESOLUTION)
            tell(box, "OUTP 1")
            expect_word(box, "OUTP?", "1")
            expect_no_error(box)
            self._ready = True

    def set_field(self, field: float) -> float:
        """Ramp to so many tesla, and give those of the current that flows, measured.

        Raises BenchError above the limit, before anything is sent, and, ramped down and off, where the current does
        not come.
        """
        magnet = self._magnet
        if not abs(field) <= magnet.largest_field * (1 + 1e-12):
            raise BenchError(
                f"a field of {field:g} T is above limits.field = {magnet.largest_field:g} T: choose a smaller one"
            )
        if not self._ready:
            raise BenchError(f"the output of the {self._box.name!r} is off: call prepare first")
        wanted = field / magnet.field_per_ampere
        with off_where_it_fails(self.off):
            self._ramp("CURR", wanted, magnet.ramp / magnet.field_per_ampere)
            expect_word(self._box, "FUNC:MODE?", _CURRENT)
            expect_word(self._box, "OUTP?", "1")
            return self._wait_for(wanted) * magnet.field_per_ampere

    def off(self) -> None:
        """Ramp down what the box is set to, output off, all settings reset, read back, and wait until no current flows.

        Where it cannot be ramped it is switched off at once.
        """
        self._ready, box = False, self._box
        try_all(
            box,
            self._ramp_down,
            lambda: tell(box, "OUTP 0"),
            lambda: tell(box, "*RST"),
            lambda: expect_word(box, "OUTP?", "0"),
            lambda: self._wait_for(0.0),
        )

    def _ramp_down(self) -> None:
        box, magnet = self._box, self._magnet
        if not is_on(box, "OUTP?"):
            return
        seconds = magnet.largest_field / magnet.ramp
        header = "VOLT" if ask_number(box, "FUNC:MODE?") == 0 else "CURR"
        most = {"VOLT": magnet.voltage, "CURR": magnet.largest_field / magnet.field_per_ampere}[header]
        self._ramp(header, 0.0, max(most, abs(ask_number(box, f"{header}?"))) / seconds)

    def _ramp(self, header: str, goal: float, rate: float) -> None:
        """Step from where the setting is to `goal`, `rate` a second, and read back where it ends."""
        box = self._box
        start = ask_number(box, f"{header}?")
        steps = math.ceil(abs(goal - start) / (rate * _EVERY))
        for step in range(1, steps + 1):
            tell(box, f"{header} {start + (goal - start) * step / steps:.5e}")
            if step < steps:
                time.sleep(_EVERY)
        expect_no_error(box)
        expect_number(box, f"{header}?", goal, _RESOLUTION)

    def _wait_for(self, wanted: float) -> float:
        """Wait until so many amperes flow, and give how many are measured."""
        end = time.monotonic() + _ARRIVES
        while True:
            found = ask_number(self._box, "MEAS:CURR?")
            if abs(found - wanted) <= _OF_READING * abs(wanted) + _OFFSET:
                return found
            if time.monotonic() > end:
                held = ""
                with contextlib.suppress(BenchError):
                    held = f", {ask_number(self._box, 'MEAS:VOLT?'):g} V across the magnet"
                raise BenchError(
                    f"{found:g} A flow in the magnet of the {self._box.name!r} where {wanted:g} A were set{held}: "
                    "look at the cables, its resistance, and roles.field.voltage"
                )
