"""The supply's commands: a table over `Supply`, from the Operator Manual of Kepco's interface card BIT 4886."""

from mock_hw._scpi import Command, Table, boolean, number, word
from mock_hw.boxes._instrument import Instrument
from mock_hw.boxes._magnet import Magnet
from mock_hw.boxes._status_commands import status_commands
from mock_hw.boxes.kepco_bop._supply import Supply

_ERRORS = 15  # in its queue
_LEVEL = "[:LEVel][:IMMediate][:AMPLitude]"
_CONSTANT_VOLTAGE, _CONSTANT_CURRENT = 256, 1024  # bits of the operation condition register


def _float(value: float) -> str:
    return f"{value:.5E}"


TABLE = Table(
    (
        Command("*IDN", lambda s: s.device.identity),
        Command("*RST", write=lambda s: s.device.power_on()),
        *(command for command in status_commands() if command.header != "SYSTem:ERRor:COUNt"),
        Command("SYSTem:VERSion", lambda s: "1999.0"),
        Command("SYSTem:BEEP", write=lambda s: None),
        Command(
            "OUTPut[:STATe]",
            lambda s: str(int(s.device.settings.output)),
            lambda s, on: s.device.set_output(on),
            (boolean,),
        ),
        Command(
            "[SOURce:]FUNCtion:MODE",
            lambda s: str(int(s.device.settings.current_mode)),
            lambda s, mode: s.device.set_mode(mode == "CURR"),
            (word("VOLTage", "CURRent"),),
        ),
        Command(
            f"[SOURce:]VOLTage{_LEVEL}",
            lambda s: _float(s.device.settings.volts),
            lambda s, volts: s.device.set_volts(volts),
            (number,),
        ),
        Command(
            f"[SOURce:]CURRent{_LEVEL}",
            lambda s: _float(s.device.settings.amperes),
            lambda s, amperes: s.device.set_amperes(amperes),
            (number,),
        ),
        Command("MEASure[:SCALar]:VOLTage[:DC]", lambda s: _float(s.device.read_volts())),
        Command("MEASure[:SCALar]:CURRent[:DC]", lambda s: _float(s.device.read_amperes())),
        Command(
            "STATus:OPERation:CONDition",
            lambda s: str(_CONSTANT_CURRENT if s.device.regulates_current else _CONSTANT_VOLTAGE),
        ),
        Command("DIAGnostic:TST", lambda s: str(s.device.test())),
    )
)


def kepco_bop(magnet: Magnet, *, serial_number: str = "0") -> Instrument:
    """A supply whose output is wired to a magnet."""
    return Instrument(Supply(magnet, serial_number=serial_number), TABLE, errors=_ERRORS)
