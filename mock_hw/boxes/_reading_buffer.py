"""The reading buffer of Keithley's newer instruments, and the commands that ask for what is in it."""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from statistics import fmean, pstdev
from typing import Any

from mock_hw._scpi import Command, Converter, ScpiError, integer, number, word
from mock_hw.boxes._rules import Rule, RuleBroken

NAME = "defbuffer1"
_AFTER_POWER_ON, _LEAST, _LARGEST = 100_000, 10, 6_000_000  # readings
_ELEMENTS = word("READing", "SOURce", "RELative", "STATus", "SOURSTATus", "UNIT")


@dataclass(frozen=True)
class Stored:
    """A reading: its value and unit, seconds since power-on, what was sourced then and the bits of that."""

    value: float
    unit: str
    time: float
    source: float = 0.0
    source_status: int = 0

    def element(self, name: str) -> str:
        """An element as it is answered."""
        return {
            "READ": decimal(self.value),
            "SOUR": decimal(self.source),
            "REL": decimal(self.time),
            "STAT": "0",
            "SOURSTAT": str(self.source_status),
            "UNIT": self.unit,
        }[name]


class ReadingBuffer:
    """Readings, the oldest of which give way to new ones."""

    def __init__(self) -> None:
        self.readings: deque[Stored] = deque(maxlen=_AFTER_POWER_ON)

    def resize(self, readings: int) -> None:
        """Set how many it keeps; it is empty then."""
        if not _LEAST <= readings <= _LARGEST:
            raise RuleBroken(Rule.RANGE, f"{_LEAST} to {_LARGEST}")
        self.readings = deque(maxlen=readings)

    @property
    def latest(self) -> Stored:
        """The last one; raises RuleBroken where there is none."""
        if not self.readings:
            raise RuleBroken(Rule.STALE)
        return self.readings[-1]

    def statistics(self) -> tuple[float, float, float, float]:
        """Average, least, largest and standard deviation; raises RuleBroken where there is no reading."""
        if not self.readings:
            raise RuleBroken(Rule.STALE)
        values = [each.value for each in self.readings]
        return fmean(values), min(values), max(values), pstdev(values)


def decimal(value: float) -> str:
    """A number as these instruments answer it."""
    return f"{value:.6E}"


def within(least: float, most: float, convert: Converter = number) -> Converter:
    """A number within limits; −222 beyond."""

    def limited(text: str) -> Any:
        value = convert(text)
        if not least <= value <= most:
            raise ScpiError(-222, f"{least:g} to {most:g}")
        return value

    return limited


def asked(text: str) -> str:
    """A parameter of a question for readings: empty for the buffer's name, a number, or an element's short form."""
    if text[0] in "\"'":
        if text[1:-1].lower() != NAME or text[-1] != text[0]:
            raise ScpiError(-222, f"the lab has {NAME} alone")
        return ""
    return text if text[0].isdigit() else _ELEMENTS(text)


def elements_of(parameters: tuple[str, ...]) -> tuple[str, ...]:
    """The elements that a question wants, behind the buffer's name."""
    elements = tuple(each for each in parameters if each)
    if any(each[0].isdigit() for each in elements) or "" in parameters[1:]:
        raise ScpiError(-108, "a buffer, then elements")
    return elements or ("READ",)


def latest(s: Any, *parameters: str) -> str:
    """Answer elements of the last reading."""
    elements = elements_of(parameters)
    reading = s.device.memory.latest
    return ",".join(reading.element(each) for each in elements)


def buffer_commands() -> Iterator[Command]:
    """`FETCh?` and what `TRACe` has, of a device with a `memory`."""
    yield Command("FETCh", latest, asks=asked)
    yield Command("TRACe:DATA", _data, asks=asked)
    yield Command(
        "TRACe:CLEar",
        write=lambda s, *name: s.device.memory.readings.clear(),
        parameters=(asked,),
        optional=True,
    )
    yield Command(
        "TRACe:POINts",
        lambda s, *name: str(s.device.memory.readings.maxlen),
        lambda s, readings, *name: s.device.memory.resize(integer(readings)),
        (asked,),
        many=True,
        asks=asked,
    )
    yield Command("TRACe:ACTual", lambda s, *name: str(len(s.device.memory.readings)), asks=asked)
    for index, name in enumerate(("AVERage", "MINimum", "MAXimum", "STDDev")):
        yield Command(
            f"TRACe:STATistics:{name}",
            lambda s, *name, index=index: decimal(s.device.memory.statistics()[index]),
            asks=asked,
        )


def _data(s: Any, *parameters: str) -> str:
    if len(parameters) < 2:
        raise ScpiError(-109, "a first and a last index")
    first, last = (integer(each) for each in parameters[:2])
    readings = list(s.device.memory.readings)
    if not 1 <= first <= last <= len(readings):
        raise ScpiError(-222, f"1 to {len(readings)}")
    elements = elements_of(parameters[2:])
    return ",".join(reading.element(each) for reading in readings[first - 1 : last] for each in elements)
