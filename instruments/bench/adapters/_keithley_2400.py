"""Resistance by a Keithley 2400, opened by pymeasure's own class, whose setters and getters are not trusted."""

from typing import ClassVar

from ._protocols import ReadSettings
from ._source_meter import SourceMeterReadout
from ._wire import Expected

_LIMITED = (
    1 << 0 | 1 << 3 | 1 << 16
)  # of the status word of a reading: overflow, compliance, range compliance
_ELEMENTS = "VOLT,CURR,RES,TIME,STAT"


class Keithley2400Readout(SourceMeterReadout):
    """Volts sourced; volts and amperes measured together."""

    driver: ClassVar[str] = "pymeasure.instruments.keithley.Keithley2400"
    models: ClassVar[tuple[str, ...]] = ("MODEL 240", "MODEL 241", "MODEL 242", "MODEL 243", "MODEL 244")
    limit: ClassVar[str] = "SENS:CURR:PROT"
    delay: ClassVar[str] = "SOUR:DEL"
    least_volts: ClassVar[float] = 0.2
    least_amperes: ClassVar[float] = 1e-6
    shown: ClassVar[float] = 1.0

    def _own(self, settings: ReadSettings) -> tuple[tuple[str, ...], tuple[Expected, ...]]:
        return (
            (
                f"FORM:ELEM {_ELEMENTS}",
                "SENS:FUNC 'VOLT','CURR'",
                f"SYST:AZER {int(settings.autozero)}",
                *(() if settings.autozero else ("SYST:AZER ONCE",)),
            ),
            (
                Expected("FORM:ELEM?", _ELEMENTS),
                Expected("SENS:FUNC?", '"VOLT:DC","CURR:DC"'),
                Expected("SOUR:CLE:AUTO?", "0"),
                Expected("SYST:AZER?", str(int(settings.autozero))),
            ),
        )

    def _measured(self) -> tuple[float, float, bool]:
        volts, amperes, _, _, status = self._fields("READ?", 5)
        return volts, amperes, bool(int(status) & _LIMITED)
