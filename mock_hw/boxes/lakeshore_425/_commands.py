"""The gaussmeter's commands: a table over `Gaussmeter`, from the Model 425 Gaussmeter User's Manual."""

import math
from typing import Any

from mock_hw._scpi import Command, Converter, ScpiError, Table, boolean, integer
from mock_hw.boxes._instrument import Instrument
from mock_hw.boxes._magnet import Magnet
from mock_hw.boxes.lakeshore_425._gaussmeter import RANGES, UNITS, Gaussmeter

_PROBE = 40  # high sensitivity


def _code(least: int, most: int) -> Converter:
    def convert(text: str) -> int:
        value = integer(text)
        if not least <= value <= most:
            raise ScpiError(-222, f"{least} to {most}")
        return value

    return convert


def _engineering(value: float) -> str:
    """A number in six digits with an exponent of a multiple of three: `+012.345E-03`."""
    exponent = 3 * math.floor(math.log10(abs(value)) / 3) if value else 0
    digits = f"{value / 10.0**exponent:+08.3f}"
    if digits[1:] == "1000.000":
        digits, exponent = f"{digits[0]}001.000", exponent + 3
    return f"{digits}E{exponent:+03d}"


def _mode(s: Any) -> str:
    now = s.device.settings
    return f"{now.mode},{now.filter},{now.band}"


TABLE = Table(
    (
        Command("*IDN", lambda s: s.device.identity),
        Command("*RST", write=lambda s: s.device.power_on()),
        Command("TYPE", lambda s: str(_PROBE)),
        Command("RDGFIELD", lambda s: _engineering(s.device.read())),
        Command(
            "RDGMODE",
            _mode,
            lambda s, mode, filtered, band: s.device.change(mode=mode, filter=filtered, band=band),
            (_code(1, 2), _code(0, 1), _code(1, 2)),
        ),
        Command(
            "UNIT",
            lambda s: str(s.device.settings.unit),
            lambda s, unit: s.device.change(unit=unit),
            (_code(1, len(UNITS)),),
        ),
        Command(
            "RANGE",
            lambda s: str(s.device.settings.range),
            lambda s, code: s.device.change(range=code, auto=False),
            (_code(1, len(RANGES)),),
        ),
        Command(
            "AUTO",
            lambda s: str(int(s.device.settings.auto)),
            lambda s, on=True: s.device.change(auto=on),
            (boolean,),
            optional=True,
        ),
        Command("ZPROBE", write=lambda s: s.device.zero()),
        Command("ZCLEAR", write=lambda s: s.device.clear_zero()),
    )
)


def lakeshore_425(magnet: Magnet, *, serial_number: str = "0") -> Instrument:
    """A gaussmeter whose probe is in the field of a magnet; errors are dropped, there is no queue to ask for."""
    return Instrument(Gaussmeter(magnet, serial_number=serial_number), TABLE, errors=1)
