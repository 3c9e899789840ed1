"""Resistance by a Keithley 2450 in its own language, opened by pymeasure's own class, which is not trusted."""

from typing import ClassVar

from ..._errors import BenchError
from ._protocols import ReadSettings
from ._source_meter import SourceMeterReadout
from ._wire import Expected, ask

_READ_BACK, _LIMITED, _OUTPUT_ON = 8, 32, 128  # of the source's status at a reading


class Keithley2450Readout(SourceMeterReadout):
    """Volts sourced and read back; amperes measured."""

    driver: ClassVar[str] = "pymeasure.instruments.keithley.Keithley2450"
    models: ClassVar[tuple[str, ...]] = ("MODEL 2450",)
    limit: ClassVar[str] = "SOUR:VOLT:ILIM"
    delay: ClassVar[str] = "SOUR:VOLT:DEL"
    least_volts: ClassVar[float] = 0.02
    least_amperes: ClassVar[float] = 1e-8
    shown: ClassVar[float] = 1 / 1.05

    def check(self) -> None:
        """Refuse another box, and one that speaks another language than its own."""
        super().check()
        language = ask(self._box, "*LANG?")
        if language != "SCPI":
            raise BenchError(
                f"the {self._box.name!r} has the command set {language}: send it '*LANG SCPI' and restart it"
            )

    def _own(self, settings: ReadSettings) -> tuple[tuple[str, ...], tuple[Expected, ...]]:
        return (
            (
                "SENS:FUNC 'CURR'",
                "SENS:COUN 1",
                "SOUR:VOLT:READ:BACK 1",
                f"SENS:CURR:AZER {int(settings.autozero)}",
                *(() if settings.autozero else ("SENS:AZER:ONCE",)),
            ),
            (
                Expected("SENS:FUNC?", '"CURR:DC"'),
                Expected("SENS:COUN?", "1"),
                Expected("SENS:CURR:AVER?", "0"),
                Expected("SOUR:VOLT:READ:BACK?", "1"),
                Expected("SENS:CURR:AZER?", str(int(settings.autozero))),
            ),
        )

    def _measured(self) -> tuple[float, float, bool]:
        volts, amperes, status = self._fields('READ? "defbuffer1",SOUR,READ,SOURSTAT', 3)
        if not int(status) & _READ_BACK or not int(status) & _OUTPUT_ON:
            raise BenchError(
                f"the {self._box.name!r} says by {int(status)} that its output is off or was not read back: look at it"
            )
        return volts, amperes, bool(int(status) & _LIMITED)
