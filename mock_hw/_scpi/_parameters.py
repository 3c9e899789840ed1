"""Parameters of program messages: texts become numbers, words and strings, or an error of the standard."""

import math
import re
from collections.abc import Callable
from typing import Any

from mock_hw._scpi._status import ScpiError

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)

Converter = Callable[[str], Any]


def number(text: str) -> float:
    """Decimal numeric data; −104 for anything else, −222 for what no float holds."""
    if not _NUMBER.fullmatch(text):
        raise ScpiError(-104, "a decimal number is wanted")
    value = float(text)
    if math.isinf(value):
        raise ScpiError(-222, "the number is too large")
    return value


def number_or(**words: float) -> Converter:
    """Decimal numeric data, or one of some words that stand for a number."""
    convert = word(*words)
    values = {forms_of(name)[0]: value for name, value in words.items()}

    def numeric(text: str) -> float:
        return values[convert(text)] if text[:1].isalpha() else number(text)

    return numeric


def integer(text: str) -> int:
    """Decimal numeric data, rounded to an integer as IEEE 488.2 says."""
    return round(number(text))


def boolean(text: str) -> bool:
    """`0`, `1`, `OFF` or `ON`."""
    try:
        return {"0": False, "1": True, "OFF": False, "ON": True}[text.upper()]
    except KeyError:
        raise ScpiError(-104, "0, 1, OFF or ON is wanted") from None


def word(*patterns: str) -> Converter:
    """One of some words, in short or long form; the value is the short form."""
    forms = {form: forms_of(p)[0] for p in patterns for form in forms_of(p)}

    def convert(text: str) -> str:
        try:
            return forms[text.upper()]
        except KeyError:
            raise ScpiError(-104, f"{' or '.join(patterns)} is wanted") from None

    return convert


def quoted(*patterns: str) -> Converter:
    """One of some words in quotation marks of either kind."""
    convert = word(*patterns)

    def unquoted(text: str) -> str:
        if text[0] not in "\"'":
            raise ScpiError(-104, "a string is wanted")
        if len(text) < 2 or text[-1] != text[0]:
            raise ScpiError(-151, "a string ends with the mark that it begins with")
        return convert(text[1:-1])

    return unquoted


def block(text: str) -> bytes:
    """Stands for a block parameter; a parameter that is not one gives −104."""
    raise ScpiError(-104, "a block is wanted")


def forms_of(name: str) -> list[str]:
    """The short and the long form of a word, in capitals."""
    short = "".join(c for c in name if not c.islower())
    return list(dict.fromkeys((short, name.upper())))
