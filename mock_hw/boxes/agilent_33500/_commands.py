"""The generator's commands: a table over `Generator`, from the Agilent 33500 Series Operating and Service Guide."""

import math
from collections.abc import Callable
from typing import Any

from mock_hw._scpi import Command, Converter, Table, boolean, number, number_or, word
from mock_hw.boxes._instrument import Instrument
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._status_commands import status_commands
from mock_hw.boxes.agilent_33500._generator import Generator

_ERRORS = 20  # in its queue
_INFINITE = 9.9e37


def _numeric(
    header: str, show: Callable[[Generator], float], set_it: Callable[[Generator, float], None],
    convert: Converter = number,
) -> Command:  # fmt: skip
    def read(s: Any) -> str:
        value = show(s.device)
        return f"{_INFINITE if value == math.inf else value:+.14E}"

    return Command(header, read, lambda s, value: set_it(s.device, value), (convert,))


def _plain(header: str, name: str, convert: Converter, show: Callable[[Any], str] = str) -> Command:
    return Command(
        header,
        lambda s: show(getattr(s.device.settings, name)),
        lambda s, value: s.device.change(**{name: value}),
        (convert,),
    )


def _switch(header: str, name: str) -> Command:
    return _plain(header, name, boolean, lambda on: str(int(on)))


def _level(header: str, name: str) -> Command:
    return _numeric(
        header,
        lambda g: getattr(g.settings, name) * g.shown,
        lambda g, volts: g.set_levels(**{name: volts}),
    )


def _limit(header: str, name: str) -> Command:
    return _numeric(
        header,
        lambda g: getattr(g.settings, name) * g.shown,
        lambda g, volts: g.change(**{name: volts / g.shown}),
    )


def _edge(header: str, *names: str) -> Command:
    return _numeric(
        header, lambda g: getattr(g.settings, names[0]), lambda g, seconds: g.set_edge(seconds, *names)
    )


_SOURCE = "[SOURce[1]:]"
_FUNCTIONS = ("SINusoid", "SQUare", "TRIangle", "RAMP", "PULSe", "PRBS", "NOISe", "DC")

TABLE = Table(
    (
        Command("*IDN", lambda s: s.device.identity),
        Command("*RST", write=lambda s: s.device.power_on()),
        Command("*TRG", write=lambda s: s.device.trigger()),
        *status_commands(),
        Command("SYSTem:VERSion", lambda s: "1999.0"),
        _plain(f"{_SOURCE}FUNCtion", "function", word(*_FUNCTIONS)),
        _numeric(f"{_SOURCE}FREQuency", lambda g: 1 / g.settings.period, lambda g, f: g.set_frequency(f)),
        _numeric(f"{_SOURCE}FUNCtion:PULSe:PERiod", lambda g: g.settings.period, Generator.set_period),
        _numeric(f"{_SOURCE}FUNCtion:PULSe:WIDTh", lambda g: g.settings.width, Generator.set_width),
        _edge(f"{_SOURCE}FUNCtion:PULSe:TRANsition[:BOTH]", "leading", "trailing"),
        _edge(f"{_SOURCE}FUNCtion:PULSe:TRANsition:LEADing", "leading"),
        _edge(f"{_SOURCE}FUNCtion:PULSe:TRANsition:TRAiling", "trailing"),
        _numeric(
            f"{_SOURCE}VOLTage",
            lambda g: (g.settings.high - g.settings.low) * g.shown,
            Generator.set_amplitude,
        ),
        _numeric(
            f"{_SOURCE}VOLTage:OFFSet",
            lambda g: (g.settings.high + g.settings.low) / 2 * g.shown,
            Generator.set_offset,
        ),
        _level(f"{_SOURCE}VOLTage:HIGH", "high"),
        _level(f"{_SOURCE}VOLTage:LOW", "low"),
        Command(f"{_SOURCE}VOLTage:UNIT", lambda s: "VPP", lambda s, unit: None, (word("VPP"),)),
        _limit(f"{_SOURCE}VOLTage:LIMit:HIGH", "limit_high"),
        _limit(f"{_SOURCE}VOLTage:LIMit:LOW", "limit_low"),
        Command(
            f"{_SOURCE}VOLTage:LIMit:STATe",
            lambda s: str(int(s.device.settings.limited)),
            lambda s, on: s.device.set_limits(on),
            (boolean,),
        ),
        _switch(f"{_SOURCE}BURSt:STATe", "burst"),
        _plain(f"{_SOURCE}BURSt:MODE", "burst_mode", word("TRIGgered", "GATed")),
        _numeric(
            f"{_SOURCE}BURSt:NCYCles",
            lambda g: g.settings.cycles,
            Generator.set_cycles,
            number_or(INFinity=math.inf),
        ),
        _numeric(
            f"{_SOURCE}BURSt:INTernal:PERiod",
            lambda g: g.settings.burst_period,
            lambda g, seconds: g.change(burst_period=seconds),
        ),
        _plain("TRIGger[1]:SOURce", "trigger", word("IMMediate", "EXTernal", "BUS")),
        _switch("OUTPut[1][:STATe]", "output"),
        _numeric(
            "OUTPut[1]:LOAD", lambda g: g.settings.load, Generator.set_load, number_or(INFinity=math.inf)
        ),
        Command(
            "OUTPut[1]:POLarity",
            lambda s: "INV" if s.device.settings.inverted else "NORM",
            lambda s, which: s.device.change(inverted=which == "INV"),
            (word("NORMal", "INVerted"),),
        ),
        _switch("OUTPut[1]:SYNC[:STATe]", "sync"),
        _switch("OUTPut:TRIGger[:STATe]", "trigger_out"),
    )
)


def agilent_33500(
    junction: Junction, *, name: str, serial_number: str = "0", attenuation: float = 0.0
) -> Instrument:
    """A generator whose output is wired to a junction."""
    return Instrument(
        Generator(junction, name=name, serial_number=serial_number, attenuation=attenuation),
        TABLE,
        errors=_ERRORS,
        plus=True,
    )
