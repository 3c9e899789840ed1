"""The source-meter's commands: a table over `SourceMeter`, from the 2400 Series SourceMeter User's Manual."""

from collections.abc import Callable, Iterable
from typing import Any

from mock_hw._scpi import (
    Command,
    Converter,
    ScpiError,
    Table,
    boolean,
    integer,
    number,
    quoted,
    word,
)
from mock_hw.boxes._instrument import Instrument
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._status_commands import status_commands
from mock_hw.boxes.keithley_2400._source_meter import (
    AMPERES,
    Reading,
    SourceMeter,
    range_of,
)

_ERRORS = 10  # in its queue
_ELEMENTS = {"VOLT": "volts", "CURR": "amperes", "RES": "ohms", "TIME": "time", "STAT": "status"}
_FUNCTIONS = {"VOLT": ("VOLTage", "VOLTage:DC"), "CURR": ("CURRent", "CURRent:DC"), "RES": ("RESistance",)}


def _float(value: float) -> str:
    return f"{value:+.6E}"


def _setting(
    header: str, name: str, convert: Converter, show: Callable[[Any], str] = str,
    set_it: Callable[[SourceMeter, Any], None] | None = None,
) -> Command:  # fmt: skip
    def write(s: Any, value: Any) -> None:
        if set_it is None:
            s.device.change(**{name: value})
        else:
            set_it(s.device, value)

    return Command(header, lambda s: show(getattr(s.device.settings, name)), write, (convert,))


def _switch(header: str, name: str) -> Command:
    return _setting(header, name, boolean, lambda on: str(int(on)))


def _limited(least: float, most: float) -> Converter:
    def convert(text: str) -> float:
        value = number(text)
        if not least <= value <= most:
            raise ScpiError(-222, f"{least:g} to {most:g}")
        return value

    return convert


def _counted(most: int) -> Converter:
    def convert(text: str) -> int:
        value = integer(text)
        if not 1 <= value <= most:
            raise ScpiError(-222, f"1 to {most}")
        return value

    return convert


def _function(text: str) -> str:
    names = [name for names in _FUNCTIONS.values() for name in names]
    heard = quoted(*names)(text).split(":")[0]
    return heard


def _shown(s: Any, readings: Iterable[Reading]) -> str:
    """The elements that are asked for, always in the same order."""
    chosen = [attribute for name, attribute in _ELEMENTS.items() if name in s.device.settings.elements]
    return ",".join(_float(getattr(reading, name)) for reading in readings for name in chosen)


def _functions(s: Any) -> str:
    on = s.device.settings.functions
    return ",".join(f'"{name}{":DC" if name != "RES" else ""}"' for name in _FUNCTIONS if name in on)


def _measure(name: str) -> Callable[[Any], str]:
    def measure(s: Any) -> str:
        s.device.configure(name)
        return _shown(s, s.device.read())

    return measure


def _fetch(s: Any) -> str:
    if not s.device.latest:
        raise ScpiError(-230)
    return _shown(s, s.device.latest)


def _event(s: Any) -> str:
    value, s.device.events = s.device.events, 0
    return str(value)


def _feed(s: Any, mode: str) -> None:
    s.device.store(mode == "NEXT")


def _measurements() -> Iterable[Command]:
    for name, long in (("CURR", "CURRent"), ("VOLT", "VOLTage"), ("RES", "RESistance")):
        dc = "" if name == "RES" else "[:DC]"
        yield Command(f"MEASure:{long}{dc}", _measure(name))
        yield Command(f"CONFigure:{long}{dc}", write=lambda s, name=name: s.device.configure(name))
        yield _setting(f"[SENSe[1]:]{long}{dc}:NPLCycles", "nplc", _limited(0.01, 10), _float)


_SOURCE, _SENSE = "[SOURce[1]:]", "[SENSe[1]:]"
_LEVEL = "[:LEVel][:IMMediate][:AMPLitude]"

TABLE = Table(
    (
        Command("*IDN", lambda s: s.device.identity),
        Command("*RST", write=lambda s: s.device.reset()),
        *status_commands(),
        Command("SYSTem:VERSion", lambda s: "1996.0"),
        Command(
            "SYSTem:AZERo[:STATe]",
            lambda s: str(int(s.device.settings.autozero)),
            lambda s, how: None if how == "ONCE" else s.device.change(autozero=how),
            (lambda text: "ONCE" if text.upper() == "ONCE" else boolean(text),),
        ),
        _switch("OUTPut[1][:STATe]", "output"),
        _setting("OUTPut[1]:SMODe", "off_mode", word("HIMPedance", "NORMal", "ZERO", "GUARd")),
        Command(f"{_SOURCE}CLEar[:IMMediate]", write=lambda s: s.device.change(output=False)),
        _switch(f"{_SOURCE}CLEar:AUTO", "auto_off"),
        _setting(f"{_SOURCE}FUNCtion[:MODE]", "source", word("VOLTage", "CURRent")),
        _setting(f"{_SOURCE}VOLTage{_LEVEL}", "volts", number, _float, SourceMeter.set_volts),
        _setting(
            f"{_SOURCE}VOLTage:RANGe", "volt_source_range", number, _float, SourceMeter.set_volt_source_range
        ),
        _switch(f"{_SOURCE}VOLTage:RANGe:AUTO", "volt_source_auto"),
        _setting(f"{_SOURCE}CURRent{_LEVEL}", "amperes", number, _float, SourceMeter.set_amperes),
        _setting(
            f"{_SOURCE}CURRent:RANGe",
            "current_source_range",
            number,
            _float,
            lambda m, amperes: m.change(
                current_source_range=range_of(amperes, AMPERES), current_source_auto=False
            ),
        ),
        _switch(f"{_SOURCE}CURRent:RANGe:AUTO", "current_source_auto"),
        _setting(
            f"{_SOURCE}DELay",
            "delay",
            _limited(0, 999.9999),
            _float,
            lambda m, seconds: m.change(delay=seconds, auto_delay=False),
        ),
        _switch(f"{_SOURCE}DELay:AUTO", "auto_delay"),
        Command(
            f"{_SENSE}FUNCtion[:ON]",
            _functions,
            lambda s, *names: s.device.set_function(*names),
            (_function,),
            many=True,
        ),
        Command(
            f"{_SENSE}FUNCtion:OFF",
            write=lambda s, *names: s.device.change(functions=s.device.settings.functions - set(names)),
            parameters=(_function,),
            many=True,
        ),
        Command(f"{_SENSE}FUNCtion:ALL", write=lambda s: s.device.change(functions=frozenset(_FUNCTIONS))),
        _switch(f"{_SENSE}FUNCtion:CONCurrent", "concurrent"),
        *_measurements(),
        _setting(
            f"{_SENSE}CURRent[:DC]:RANGe[:UPPer]",
            "current_range",
            number,
            _float,
            SourceMeter.set_current_range,
        ),
        _switch(f"{_SENSE}CURRent[:DC]:RANGe:AUTO", "current_auto"),
        _setting(
            f"{_SENSE}CURRent[:DC]:PROTection[:LEVel]",
            "current_protection",
            number,
            _float,
            SourceMeter.set_current_protection,
        ),
        Command(
            f"{_SENSE}CURRent[:DC]:PROTection:TRIPped",
            lambda s: str(int(bool(s.device.latest and s.device.latest[-1].status & (1 << 3)))),
        ),
        _setting(
            f"{_SENSE}VOLTage[:DC]:RANGe[:UPPer]",
            "volt_range",
            _limited(-210, 210),
            _float,
            lambda m, volts: m.change(volt_range=abs(volts), volt_auto=False),
        ),
        _switch(f"{_SENSE}VOLTage[:DC]:RANGe:AUTO", "volt_auto"),
        _setting(f"{_SENSE}VOLTage[:DC]:PROTection[:LEVel]", "volt_protection", _limited(-210, 210), _float),
        _setting(
            f"{_SENSE}RESistance:RANGe[:UPPer]",
            "ohm_range",
            _limited(0, 2.1e8),
            _float,
            lambda m, ohms: m.change(ohm_range=ohms, ohm_auto=False),
        ),
        _switch(f"{_SENSE}RESistance:RANGe:AUTO", "ohm_auto"),
        _setting(f"{_SENSE}RESistance:MODE", "ohm_mode", word("MANual", "AUTO")),
        _switch(f"{_SENSE}AVERage[:STATe]", "averaging"),
        _setting(f"{_SENSE}AVERage:COUNt", "average_count", _counted(100)),
        _setting(f"{_SENSE}AVERage:TCONtrol", "average_kind", word("REPeat", "MOVing")),
        Command(
            "FORMat:ELEMents[:SENSe[1]]",
            lambda s: ",".join(name for name in _ELEMENTS if name in s.device.settings.elements),
            lambda s, *names: s.device.change(elements=frozenset(names)),
            (word("VOLTage", "CURRent", "RESistance", "TIME", "STATus"),),
            many=True,
        ),
        Command("FORMat[:DATA]", lambda s: "ASC", lambda s, kind: None, (word("ASCii"),)),
        _setting("TRIGger:COUNt", "trigger_count", _counted(2500)),
        _setting("ARM:COUNt", "arm_count", _counted(2500)),
        _setting("TRIGger:DELay", "trigger_delay", _limited(0, 999.9999), _float),
        Command("INITiate[:IMMediate]", write=lambda s: s.device.read() and None),
        Command("ABORt", write=lambda s: None),
        Command("READ", lambda s: _shown(s, s.device.read())),
        Command("FETCh", _fetch),
        Command("TRACe:DATA", lambda s: _shown(s, s.device.buffer)),
        Command("TRACe:CLEar", write=lambda s: s.device.buffer.clear()),
        Command(
            "TRACe:POINts",
            lambda s: str(s.device.points),
            lambda s, points: s.device.set_points(points),
            (integer,),
        ),
        Command("TRACe:POINts:ACTual", lambda s: str(len(s.device.buffer))),
        Command("TRACe:FEED", lambda s: "SENS1", lambda s, source: None, (word("SENSe", "SENSe1"),)),
        Command(
            "TRACe:FEED:CONTrol",
            lambda s: "NEXT" if s.device.storing else "NEV",
            _feed,
            (word("NEXT", "NEVer"),),
        ),
        Command("STATus:PRESet", write=lambda s: setattr(s.device, "event_enable", 0)),
        Command("STATus:MEASurement[:EVENt]", _event),
        Command(
            "STATus:MEASurement:ENABle",
            lambda s: str(s.device.event_enable),
            lambda s, bits: setattr(s.device, "event_enable", bits),
            (integer,),
        ),
    ),
    strings=True,
    lenient=True,
)


def keithley_2400(junction: Junction, *, serial_number: str = "0", leads: float = 0.0) -> Instrument:
    """A source-meter whose terminals are wired to a junction."""
    meter = SourceMeter(junction, serial_number=serial_number, leads=leads)
    return Instrument(
        meter, TABLE, errors=_ERRORS, summary=lambda: int(bool(meter.events & meter.event_enable))
    )
