"""The commands of a Keithley 2450: a table of its own over `Native`, and that of a 2400 with `*LANG`."""

from collections.abc import Iterator
from typing import Any

from mock_hw._scpi import Command, Converter, ScpiError, Table, boolean, integer, number, quoted, word
from mock_hw.boxes._instrument import BenchDevice, Instrument
from mock_hw.boxes._junction import Junction
from mock_hw.boxes._reading_buffer import asked, buffer_commands, decimal, elements_of, latest, within
from mock_hw.boxes._rules import Rule, RuleBroken
from mock_hw.boxes._status_commands import status_commands
from mock_hw.boxes.keithley_2400 import TABLE as OF_2400
from mock_hw.boxes.keithley_2400._source_meter import SourceMeter
from mock_hw.boxes.keithley_2450._source_meter import (
    Emulated,
    Language,
    Native,
)

_ERRORS = 20  # in its queue; our own choice
_FUNCTIONS = quoted("VOLTage", "VOLTage:DC", "CURRent", "CURRent:DC", "RESistance")
_LONG = {"VOLT": "VOLTage", "CURR": "CURRent", "RES": "RESistance"}
_SHOWN = {"VOLT": '"VOLT:DC"', "CURR": '"CURR:DC"', "RES": '"RES"'}
_SENSE = "[SENSe[1]:]"
_LEVEL = "[:LEVel][:IMMediate][:AMPLitude]"


def _nominal(full_scale: float) -> str:
    return decimal(full_scale / 1.05)


def _flag(on: bool) -> str:
    return str(int(on))


def _setting(header: str, name: str, convert: Converter, show: Any = str, set_it: Any = None) -> Command:
    def write(s: Any, value: Any) -> None:
        if set_it is None:
            s.device.change(**{name: value})
        else:
            set_it(s.device, value)

    return Command(header, lambda s: show(getattr(s.device.settings, name)), write, (convert,))


def _read(s: Any, *parameters: str) -> str:
    elements_of(parameters)
    s.device.take(s.device.settings.count)
    return latest(s, *parameters)


def _measure(name: str) -> Any:
    def measure(s: Any, *parameters: str) -> str:
        s.device.change(sensed=name)
        return _read(s, *parameters)

    return measure


def _load(s: Any, model: str, *values: str) -> None:
    quoted("SimpleLoop")(model)
    if not 1 <= len(values) <= 2:
        raise ScpiError(-109, "a count, and a delay")
    count, delay = (
        within(1, 1_000_000, integer)(values[0]),
        within(0, 10e3)(values[1] if values[1:] else "0"),
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
        f"{header}{_LEVEL}", "volts" if volts else "amperes", number, decimal,
        SourceMeter.set_volts if volts else SourceMeter.set_amperes,
    )  # fmt: skip
    kind = "volt_source" if volts else "current_source"
    yield _setting(
        f"{header}:RANGe", f"{kind}_range", number, _nominal,
        SourceMeter.set_volt_source_range if volts else Native.set_current_source_range,
    )  # fmt: skip
    yield _setting(f"{header}:RANGe:AUTO", f"{kind}_auto", boolean, _flag)
    protection = "current_protection" if volts else "volt_protection"
    yield _setting(f"{header}:{limit}[:LEVel]", protection, number, decimal, set_limit)
    yield Command(
        f"{header}:{limit}[:LEVel]:TRIPped",
        lambda s: _flag(s.device.tripped and s.device.settings.source == name),
    )
    yield Command(
        f"{header}:DELay",
        lambda s: decimal(s.device.of("delays", name) or 0.0),
        lambda s, seconds: s.device.change_of("delays", name, seconds),
        (within(0, 10e3),),
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
    convert = within(0, 2.1e8) if name == "RES" else number
    show = decimal if name == "RES" else _nominal
    yield _setting(f"{header}:RANGe[:UPPer]", f"{kind}_range", convert, show, set_range)
    yield _setting(f"{header}:RANGe:AUTO", f"{kind}_auto", boolean, _flag)
    yield row("NPLCycles", "nplc", within(0.01, 10), decimal)
    yield row("AZERo[:STATe]", "autozero", boolean, _flag)
    yield row("AVERage[:STATe]", "averaging", boolean, _flag)
    yield row("AVERage:COUNt", "average_count", within(1, 100, integer))
    yield row("AVERage:TCONtrol", "average_kind", word("REPeat", "MOVing"))
    yield row("RSENse", "four_wires", boolean, _flag)
    yield Command(f"MEASure:{_LONG[name]}" + ("" if name == "RES" else "[:DC]"), _measure(name), asks=asked)


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
        _setting(f"{_SENSE}COUNt", "count", within(1, 300_000, integer)),
        Command("READ", _read, asks=asked),
        *buffer_commands(),
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
