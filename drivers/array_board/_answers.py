"""What a board may answer, by the dialect's page: everything else is refused."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_INTEGER = re.compile(r"[+-]?\d{1,20}", re.ASCII)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_BOOLEANS = {"0": 0, "1": 1, "OFF": 0, "ON": 1}


@dataclass(frozen=True)
class Answer:
    """One kind of answer: `what` it is in words, and how it is read (ValueError or KeyError: it is none).

    `twice`: asked once plainly and once with a mark, and believed where both say the same: a bit that flips on the wire
    makes "off" of "on". Goes into the `cast` of a pymeasure property.
    """

    what: str
    read: Callable[[str], Any]
    twice: bool = False

    def __call__(self, text: str) -> Any:
        """Read an answer; raises ValueError where it is none of this kind."""
        try:
            return self.read(text)
        except (KeyError, ValueError):
            raise ValueError(f"is not {self.what}") from None


def integer(low: int = 0, high: int | None = None) -> Answer:
    """Make the kind of an integer from `low` to `high`."""
    span = f"from {low} to {high}" if high is not None else f"of at least {low}"

    def read(text: str) -> int:
        return _integer(text, low, high)

    return Answer(f"an integer {span}", read)


def integers(what: str, fits: Callable[..., bool], count: int) -> Answer:
    """Make the kind of `count` integers with commas between, which `fits` accepts; read as a tuple."""

    def read(text: str) -> tuple[int, ...]:
        values = tuple(_integer(part.strip()) for part in text.split(","))
        if len(values) != count or not fits(*values):
            raise ValueError
        return values

    return Answer(what, read)


def real(low: float = -math.inf, *, twice: bool = False) -> Answer:
    """Make the kind of a finite number of at least `low`."""
    span = "" if math.isinf(low) else f" of at least {low:g}"

    def read(text: str) -> float:
        return _real(text, low)

    return Answer(f"a finite number{span}", read, twice)


def boolean(*, twice: bool = False) -> Answer:
    """Make the kind of a boolean, read as 0 or 1."""
    return Answer("0, 1, OFF or ON", lambda text: _BOOLEANS[text], twice)


def word(**values: Any) -> Answer:
    """Make the kind of one of some words in short form, read as what is given for each."""
    return Answer(" or ".join(values), lambda text: values[text])


def matching(what: str, pattern: str) -> Answer:
    """Make the kind of a text of a pattern."""

    def read(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError
        return text

    return Answer(what, read)


def _dac(text: str) -> tuple[int, float, float]:
    bits, scale, offset = text.split(",")
    volts = _real(scale.strip()), _real(offset.strip())
    if volts[0] == 0:
        raise ValueError
    return _integer(bits.strip(), 2, 16), *volts


def _two_reals(text: str) -> tuple[float, float]:
    low, high = text.split(",")
    return _real(low.strip()), _real(high.strip())


def _integer(text: str, low: int | None = None, high: int | None = None) -> int:
    if not _INTEGER.fullmatch(text):
        raise ValueError
    value = int(text)
    if (low is not None and value < low) or (high is not None and value > high):
        raise ValueError
    return value


def _real(text: str, low: float = -math.inf) -> float:
    value = float(text) if _NUMBER.fullmatch(text) else math.nan
    if not low <= value < math.inf or value == -math.inf:
        raise ValueError
    return value


def _stalls(text: str) -> tuple[int, float]:
    count, seconds = text.split(",")
    return _integer(count.strip(), 0), _real(seconds.strip(), 0)


STALLS = Answer("a number of stalls and the seconds stalled", _stalls)
IDENTITY = matching("maker, model, serial number and firmware version", r"[ -+\--~]+(,[ -+\--~]*){3}")
SIZE = integers("a number of rows and one of columns", lambda rows, columns: rows > 0 and columns > 0, 2)
SELECTION = integers(
    "first row, last row, first column and last column",
    lambda top, bottom, left, right: 0 <= top <= bottom and 0 <= left <= right,
    4,
)
FIFO = integers(
    "blocks in the FIFO and blocks that it holds", lambda blocks, room: blocks >= 0 and room > 0, 2
)
DAC = Answer("2 to 16 bits, the volts per code, not 0, and those of code 0", _dac, twice=True)
DAC_RANGE = Answer("the volts of the lowest and of the highest code", _two_reals)
WATCHDOG = Answer("0, or seconds from 0.1 to 60", lambda text: _armed(_real(text)))


def _armed(seconds: float) -> float:
    if seconds != 0 and not 0.1 <= seconds <= 60:
        raise ValueError
    return seconds
