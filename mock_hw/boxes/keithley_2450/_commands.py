"""The commands of a Keithley 2450: a table of its own over `Native`, and that of a 2400 with `*LANG`."""

from collections.abc import Iterable, Iterator
from typing import Any

from mock_hw._scpi import Command, Converter, ScpiError, Table, boolean, integer, number, quoted, word
from mock_hw.boxes._instrument import BenchDevice, Instrument
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._rules import Rule, RuleBroken
from mock_hw.boxes._status_commands import status_commands
from mock_hw.boxes.keithley_2400 import TABLE as OF_2400
from mock_hw.boxes.keithley_2400._source_meter import SourceMeter
from mock_hw.boxes.keithley_2450._source_meter import (
    MEASURED,
    UNITS,
    Emulated,
    Language,
    Native,
    NativeSettings,
    Reading,
    source_status,
    source_value,
)

_ERRORS = 20  # in its queue; our own choice
_BUFFER = "defbuffer1"
_ELEMENTS = word("READing", "SOURce", "RELative", "STATus", "SOURSTATus", "UNIT")
_FUNCTIONS = quoted("VOLTage", "VOLTage:DC", "CURRent", "CURRent:DC", "RESistance")
_LONG = {"VOLT": "VOLTage", "CURR": "CURRent", "RES": "RESistance"}
_SHOWN = {"VOLT": '"VOLT:DC"', "CURR": '"CURR:DC"', "RES": '"RES"'}
_SENSE = "[SENSe[1]:]"
_LEVEL = "[:LEVel][:IMMediate][:AMPLitude]"


def _float(value: float) -> str:
    return f"{value:.6E}"


def _nominal(full_scale: float) -> str:
    return _float(full_scale / 1.05)


def _flag(on: bool) -> str:
    return str(int(on))


def _within(least: float, most: float, convert: Converter = number) -> Converter:
    def limited(text: str) -> Any:
        value = convert(text)
        if not least <= value <= most:
            raise ScpiError(-222, f"{least:g} to {most:g}")
        return value

    return limited


def _setting(header: str, name: str, convert: Converter, show: Any = str, set_it: Any = None) -> Command:
    def write(s: Any, value: Any) -> None:
        if set_it is None:
            s.device.change(**{name: value})
        else:
            set_it(s.device, value)

    return Command(header, lambda s: show(getattr(s.device.settings, name)), write, (convert,))


def _shown(reading: Reading, settings: NativeSettings, elements: Iterable[str]) -> str:
    value = getattr(reading, MEASURED[settings.sensed])
    made = {
        "READ": lambda: _float(value),
        "SOUR": lambda: _float(source_value(reading, settings)),
        "REL": lambda: _float(reading.time),
        "STAT": lambda: "0",
        "SOURSTAT": lambda: str(source_status(reading, settings)),
        "UNIT": lambda: UNITS[settings.sensed],
    }
    return ",".join(made[each]() for each in elements)


def _asked(text: str) -> str:
    """A parameter of a query for readings: the buffer's name, a number, or an element's short form."""
    if text[0] in "\"'":
        if text[1:-1].lower() != _BUFFER or text[-1] != text[0]:
            raise ScpiError(-222, f"the lab has {_BUFFER} alone")
        return ""
    return text if text[0].isdigit() else _ELEMENTS(text)


def _elements(asked: tuple[str, ...]) -> tuple[str, ...]:
    elements = tuple(each for each in asked if each)
    if any(each[0].isdigit() for each in elements) or "" in asked[1:]:
        raise ScpiError(-108, "a buffer, then elements")
    return elements or ("READ",)


def _fetch(s: Any, *asked: str) -> str:
    elements = _elements(asked)
    reading, settings = s.device.latest_stored()
    return _shown(reading, settings, elements)


def _read(s: Any, *asked: str) -> str:
    _elements(asked)
    s.device.take(s.device.settings.count)
    return _fetch(s, *asked)


def _measure(name: str) -> Any:
    def measure(s: Any, *asked: str) -> str:
        s.device.change(sensed=name)
        return _read(s, *asked)

    return measure


def _data(s: Any, *asked: str) -> str:
    if len(asked) < 2:
        raise ScpiError(-109, "a first and a last index")
    first, last = (integer(each) for each in asked[:2])
    stored = list(s.device.stored)
    if not 1 <= first <= last <= len(stored):
        raise ScpiError(-222, f"1 to {len(stored)}")
    elements = _elements(asked[2:])
    return ",".join(_shown(reading, then, elements) for reading, then in stored[first - 1 : last])


def _load(s: Any, model: str, *values: str) -> None:
    quoted("SimpleLoop")(model)
    if not 1 <= len(values) <= 2:
        raise ScpiError(-109, "a count, and a delay")
    count, delay = (
        _within(1, 1_000_000, integer)(values[0]),
        _within(0, 10e3)(values[1] if values[1:] else "0"),
    )
    s.device.change(simple_loop=count, trigger_delay=delay)


def _initiate(s: Any) -> None:
    if s.device.settings.simple_loop is None:
        raise RuleBroken(Rule.CONFLICT, "load a trigger model")
    s.device.take(s.device.settings.simple_loop)


def _choose_language(s: Any, name: str) -> None:
    if name == "TSP":
        raise RuleBroken(Rule.SIMULATION, "the lab speaks SCPI and SCPI2400 alone")
    s.device.language.stored = name


def _of_source(name: str, limit: str, set_limit: Any) -> Iterator[Command]:
    """What volts and amperes have in common as a source."""
    header, volts = f"SOURce[1]:{_LONG[name]}", name == "VOLT"
    yield _setting(
        f"{header}{_LEVEL}", "volts" if volts else "amperes", number, _float,
        SourceMeter.set_volts if volts else SourceMeter.set_amperes,
    )  # fmt: skip
    kind = "volt_source" if volts else "current_source"
    yield _setting(
        f"{header}:RANGe", f"{kind}_range", number, _nominal,
        SourceMeter.set_volt_source_range if volts else Native.set_current_source_range,
    )  # fmt: skip
    yield _setting(f"{header}:RANGe:AUTO", f"{kind}_auto", boolean, _flag)
    protection = "current_protection" if volts else "volt_protection"
    yield _setting(f"{header}:{limit}[:LEVel]", protection, number, _float, set_limit)
    yield Command(
        f"{header}:{limit}[:LEVel]:TRIPped",
        lambda s: _flag(s.device.tripped and s.device.settings.source == name),
    )
    yield Command(
        f"{header}:DELay",
        lambda s: _float(s.device.of("delays", name) or 0.0),
        lambda s, seconds: s.device.change_of("delays", name, seconds),
        (_within(0, 10e3),),
    )
    yield Command(
        f"{header}:DELay:AUTO",
        lambda s: _flag(s.device.of("delays", name) is None),
        lambda s, on: s.device.change_of("delays", name, None if on else s.device.of("delays", name) or 0.0),
        (boolean,),
    )
    yield Command(
        f"{header}:READ:BACK",
        lambda s: _flag(s.device.of("read_back", name)),
        lambda s, on: s.device.change_of("read_back", name, on),
        (boolean,),
    )


def _of_function(name: str) -> Iterator[Command]:
    """How one of volts, amperes and ohms is measured."""
    header = f"{_SENSE}{_LONG[name]}" + ("" if name == "RES" else "[:DC]")

    def row(suffix: str, field: str, convert: Converter, show: Any = str) -> Command:
        return Command(
            f"{header}:{suffix}",
            lambda s: show(getattr(s.device.function(name), field)),
            lambda s, value: s.device.change_function(name, **{field: value}),
            (convert,),
        )

    kind = {"VOLT": "volt", "CURR": "current", "RES": "ohm"}[name]
    set_range = {
        "VOLT": Native.set_volt_range,
        "CURR": Native.set_current_range,
        "RES": lambda meter, ohms: meter.change(ohm_range=ohms, ohm_auto=False),
    }[name]
    convert = _within(0, 2.1e8) if name == "RES" else number
    show = _float if name == "RES" else _nominal
    yield _setting(f"{header}:RANGe[:UPPer]", f"{kind}_range", convert, show, set_range)
    yield _setting(f"{header}:RANGe:AUTO", f"{kind}_auto", boolean, _flag)
    yield row("NPLCycles", "nplc", _within(0.01, 10), _float)
    yield row("AZERo[:STATe]", "autozero", boolean, _flag)
    yield row("AVERage[:STATe]", "averaging", boolean, _flag)
    yield row("AVERage:COUNt", "average_count", _within(1, 100, integer))
    yield row("AVERage:TCONtrol", "average_kind", word("REPeat", "MOVing"))
    yield row("RSENse", "four_wires", boolean, _flag)
    yield Command(f"MEASure:{_LONG[name]}" + ("" if name == "RES" else "[:DC]"), _measure(name), asks=_asked)


def _statistic(header: str, index: int) -> Command:
    return Command(
        f"TRACe:STATistics:{header}",
        lambda s, *asked: _float(s.device.statistics()[index]) if _elements(asked) else "",
        asks=_asked,
    )


_LANGUAGE = Command(
    "*LANG", lambda s: s.device.language.stored, _choose_language, (word("TSP", "SCPI", "SCPI2400"),)
)
_OFF_MODES = word("HIMPedance", "NORMal", "ZERO", "GUARd")

TABLE = Table(
    (
        Command("*IDN", lambda s: s.device.identity),
        Command("*RST", write=lambda s: s.device.reset()),
        _LANGUAGE,
        *status_commands(),
        Command("SYSTem:VERSion", lambda s: "1999.0"),
        Command("SYSTem:LFRequency", lambda s: "50"),
        _setting("OUTPut[1][:STATe]", "output", boolean, _flag),
        _setting("OUTPut[1]:VOLTage:SMODe", "off_mode", _OFF_MODES),
        _setting("OUTPut[1]:CURRent:SMODe", "current_off_mode", _OFF_MODES),
        _setting("SOURce[1]:FUNCtion[:MODE]", "source", word("VOLTage", "CURRent")),
        *_of_source("VOLT", "ILIMit", Native.set_current_limit),
        *_of_source("CURR", "VLIMit", Native.set_volt_limit),
        Command(
            f"{_SENSE}FUNCtion[:ON]",
            lambda s: _SHOWN[s.device.settings.sensed],
            lambda s, name: s.device.change(sensed=name.split(":")[0]),
            (_FUNCTIONS,),
        ),
        *_of_function("VOLT"),
        *_of_function("CURR"),
        *_of_function("RES"),
        Command(f"{_SENSE}AZERo:ONCE", write=lambda s: None),
        _setting(f"{_SENSE}COUNt", "count", _within(1, 300_000, integer)),
        Command("READ", _read, asks=_asked),
        Command("FETCh", _fetch, asks=_asked),
        Command("TRACe:DATA", _data, asks=_asked),
        Command(
            "TRACe:CLEar",
            write=lambda s, *asked: s.device.stored.clear(),
            parameters=(_asked,),
            optional=True,
        ),
        Command(
            "TRACe:POINts",
            lambda s, *asked: str(s.device.stored.maxlen),
            lambda s, readings, *asked: s.device.set_capacity(integer(readings)),
            (_asked,),
            many=True,
            asks=_asked,
        ),
        Command("TRACe:ACTual", lambda s, *asked: str(len(s.device.stored)), asks=_asked),
        _statistic("AVERage", 0),
        _statistic("MINimum", 1),
        _statistic("MAXimum", 2),
        _statistic("STDDev", 3),
        Command("FORMat[:DATA]", lambda s: "ASC", lambda s, kind: None, (word("ASCii"),)),
        Command("TRIGger:LOAD", write=_load, parameters=(lambda text: text,), many=True),
        Command("INITiate[:IMMediate]", write=_initiate),
        Command("TRIGger:STATe", lambda s: "IDLE;IDLE;0"),
        Command("ABORt", write=lambda s: None),
        Command("STATus:PRESet", write=lambda s: None),
    ),
    strings=True,
    lenient=True,
)
TABLE_OF_2400 = Table((*OF_2400.commands, _LANGUAGE), strings=True, lenient=True)


def keithley_2450(
    junction: Junction, *, serial_number: str = "0", leads: float = 0.0, language: str = "SCPI"
) -> Instrument:
    """A source-meter whose terminals are wired to a junction; `language`: `SCPI`, or `SCPI2400` as a 2400."""
    chosen = Language(language, language)
    native = Native(junction, serial_number=serial_number, leads=leads, language=chosen)
    emulated = Emulated(junction, serial_number=serial_number, leads=leads, language=chosen)

    def speaking() -> tuple[BenchDevice, Table]:
        chosen.spoken = chosen.stored
        return (native, TABLE) if chosen.spoken == "SCPI" else (emulated, TABLE_OF_2400)

    def summary() -> int:
        return int(chosen.spoken != "SCPI" and bool(emulated.events & emulated.event_enable))

    device, table = speaking()
    return Instrument(device, table, errors=_ERRORS, summary=summary, wake=speaking)
