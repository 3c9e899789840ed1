"""The generator's commands: a table over `Generator` for each number of channels."""

from collections.abc import Iterator, Sequence
from typing import Any

from mock_hw._scpi import Command, ScpiError, Table, boolean, integer, number, word
from mock_hw.boxes._instrument import Instrument
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._pulser import IMPEDANCE
from mock_hw.boxes._pulser_commands import ChannelCommands
from mock_hw.boxes._status_commands import status_commands
from mock_hw.boxes.keysight_81160a._generator import Channel, Generator

_ERRORS = 20  # in its queue; our own choice
_FORM = ".9E"
_SOURCE = "[SOURce:]"
_FUNCTIONS = ("SINusoid", "SQUare", "RAMP", "PULSe", "NOISe", "DC", "USER")


def _fixed(text: str) -> float:
    if number(text) != IMPEDANCE:
        raise ScpiError(-222, f"{IMPEDANCE:g}")
    return IMPEDANCE


def _channel(index: int) -> Iterator[Command]:
    """The commands of one channel; the number of the first may be left out."""
    n = ("[1]", "2")[index]

    def of(s: Any) -> Channel:
        return s.device.channels[index]

    the = ChannelCommands(of, _FORM)
    yield the.plain(f"{_SOURCE}FUNCtion{n}", "function", word(*_FUNCTIONS))
    yield the.frequency(f"{_SOURCE}FREQuency{n}")
    yield the.period(f"{_SOURCE}PULSe:PERiod{n}")
    yield the.width(f"{_SOURCE}PULSe:WIDTh{n}")
    yield the.width(f"{_SOURCE}FUNCtion{n}:PULSe:WIDTh")
    for header in (f"{_SOURCE}PULSe:TRANsition{n}", f"{_SOURCE}FUNCtion{n}:PULSe:TRANsition"):
        yield the.edge(f"{header}[:LEADing]", "leading")
        yield the.edge(f"{header}:TRAiling", "trailing")
    yield Command(
        f"{_SOURCE}PULSe:TRANsition{n}:TRAiling:AUTO",
        lambda s: str(int(of(s).settings.equal_edges)),
        lambda s, on: of(s).keep_edges_equal(on),
        (boolean,),
    )
    yield from the.voltages(f"{_SOURCE}VOLTage{n}")
    yield the.switch(f"{_SOURCE}BURSt{n}:STATe", "burst")
    yield the.plain(f"{_SOURCE}BURSt{n}:MODE", "burst_mode", word("TRIGgered", "GATed"))
    yield the.cycles(f"{_SOURCE}BURSt{n}:NCYCles")
    yield the.burst_period(f"{_SOURCE}BURSt{n}:INTernal:PERiod")
    yield the.plain(f"ARM:SOURce{n}", "trigger", word("IMMediate", "INTernal2", "EXTernal", "MANual"))
    yield Command(
        f"TRIGger{n}:COUNt",
        lambda s: str(of(s).count()),
        lambda s, pulses: of(s).set_count(pulses),
        (integer,),
    )
    yield the.switch(f"OUTPut{n}[:STATe]", "output")
    yield the.load(f"OUTPut{n}:LOAD")
    yield the.load(f"OUTPut{n}:IMPedance:EXTernal")
    yield Command(
        f"OUTPut{n}:IMPedance[:INTernal]", lambda s: f"{IMPEDANCE:{_FORM}}", lambda s, ohms: None, (_fixed,)
    )
    yield the.polarity(f"OUTPut{n}:POLarity")


_COMMON = (
    Command("*IDN", lambda s: s.device.identity),
    Command("*RST", write=lambda s: s.device.power_on()),
    Command("*TRG", write=lambda s: s.device.trigger()),
    *(command for command in status_commands() if command.header != "SYSTem:ERRor:COUNt"),
    Command("SYSTem:VERSion", lambda s: "1999.0"),
)
TABLE = Table((*_COMMON, *_channel(0)))
TABLE_OF_TWO = Table((*_COMMON, *_channel(0), *_channel(1)))


def keysight_81160a(
    junctions: Sequence[Junction], *, name: str, serial_number: str = "0", attenuation: float = 0.0
) -> Instrument:
    """A generator with a channel wired to each of one or two junctions."""
    generator = Generator(junctions, name=name, serial_number=serial_number, attenuation=attenuation)
    return Instrument(generator, TABLE_OF_TWO if len(junctions) > 1 else TABLE, errors=_ERRORS, plus=True)
