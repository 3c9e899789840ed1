"""The generator's commands: a table over `Generator`, from the Agilent 33500 Series Operating and Service Guide."""

from mock_hw._scpi import Command, Table, boolean, word
from mock_hw.boxes._instrument import Instrument
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._pulser_commands import ChannelCommands
from mock_hw.boxes._status_commands import status_commands
from mock_hw.boxes.agilent_33500._generator import Generator

_ERRORS = 20  # in its queue
_SOURCE = "[SOURce[1]:]"
_FUNCTIONS = ("SINusoid", "SQUare", "TRIangle", "RAMP", "PULSe", "PRBS", "NOISe", "DC")
_the = ChannelCommands(lambda s: s.device, "+.14E")

TABLE = Table(
    (
        Command("*IDN", lambda s: s.device.identity),
        Command("*RST", write=lambda s: s.device.power_on()),
        Command("*TRG", write=lambda s: s.device.trigger()),
        *status_commands(),
        Command("SYSTem:VERSion", lambda s: "1999.0"),
        _the.plain(f"{_SOURCE}FUNCtion", "function", word(*_FUNCTIONS)),
        _the.frequency(f"{_SOURCE}FREQuency"),
        _the.period(f"{_SOURCE}FUNCtion:PULSe:PERiod"),
        _the.width(f"{_SOURCE}FUNCtion:PULSe:WIDTh"),
        _the.edge(f"{_SOURCE}FUNCtion:PULSe:TRANsition[:BOTH]", "leading", "trailing"),
        _the.edge(f"{_SOURCE}FUNCtion:PULSe:TRANsition:LEADing", "leading"),
        _the.edge(f"{_SOURCE}FUNCtion:PULSe:TRANsition:TRAiling", "trailing"),
        *_the.voltages(f"{_SOURCE}VOLTage"),
        _the.switch(f"{_SOURCE}BURSt:STATe", "burst"),
        _the.plain(f"{_SOURCE}BURSt:MODE", "burst_mode", word("TRIGgered", "GATed")),
        _the.cycles(f"{_SOURCE}BURSt:NCYCles"),
        _the.burst_period(f"{_SOURCE}BURSt:INTernal:PERiod"),
        _the.plain("TRIGger[1]:SOURce", "trigger", word("IMMediate", "EXTernal", "BUS")),
        _the.switch("OUTPut[1][:STATe]", "output"),
        _the.load("OUTPut[1]:LOAD"),
        _the.polarity("OUTPut[1]:POLarity"),
        _the.switch("OUTPut[1]:SYNC[:STATe]", "sync"),
        Command(
            "OUTPut:TRIGger[:STATe]",
            lambda s: str(int(s.device.trigger_out)),
            lambda s, on: setattr(s.device, "trigger_out", on),
            (boolean,),
        ),
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
