"""Program messages: a line becomes units, and a unit the arguments of a command."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mock_hw._scpi._parameters import block
from mock_hw._scpi._status import ScpiError
from mock_hw._scpi._table import Command

MAX_UNITS = 256
_UNIT = re.compile(r"(:?)(\*?[A-Za-z][A-Za-z0-9_]*(?::[A-Za-z][A-Za-z0-9_]*)*)(\??)(?:[ \t]+(.*))?", re.ASCII)


@dataclass(frozen=True)
class Unit:
    """One program message unit: full header, query or not, parameters, whether it is the last of its line."""

    header: str
    query: bool
    parameters: tuple[str | bytes, ...]
    last: bool


def units(
    line: bytes, data: bytes | None, *, strings: bool = False, lenient: bool = False
) -> Iterator[Unit | ScpiError]:
    """Split a line (its block parameter apart) into units; what is wrong with one takes its place.

    Where there are no `strings`, quotation marks are a mistake; unless it is `lenient`, a last unit that is empty.
    """
    split = _split if strings else str.split
    if any(c > 126 or (c < 32 and c != 9) for c in line):
        yield ScpiError(-101)
        return
    text = line.decode("ascii")
    if not text.strip():
        return
    parts = split(text.rstrip(" \t;") if lenient else text, ";", MAX_UNITS)
    path = ""
    for index, part in enumerate(parts[:MAX_UNITS]):
        last = index == len(parts) - 1
        match = _UNIT.fullmatch(part.strip(" \t"))
        if match is None or (not strings and ('"' in part or "'" in part)):
            yield ScpiError(-102, "empty unit" if not part.strip() else "malformed unit")
            continue
        root, header, query, rest = match.groups()
        if not header.startswith("*"):
            header = header if root or not path else f"{path}:{header}"
            path = header.rpartition(":")[0]
        elif root or ":" in header:
            yield ScpiError(-102, "malformed common command")
            continue
        if len(header) > 256:
            yield ScpiError(-113, header[:40])
            path = ""
            continue
        parameters: list[str | bytes] = [p.strip(" \t") for p in split(rest, ",", -1)] if rest else []
        if data is not None and last:
            parameters[-1:] = [data] if parameters and parameters[-1] == "#" else [*parameters[-1:], data]
        yield Unit(header, bool(query), tuple(parameters), last)
    if len(parts) > MAX_UNITS:
        yield ScpiError(-223, f"more than {MAX_UNITS} units")


def _split(text: str, at: str, most: int) -> list[str]:
    """Split as `str.split` does, but not between quotation marks."""
    parts, quote = [""], ""
    for character in text:
        if character == at and not quote and len(parts) != most + 1:
            parts.append("")
            continue
        parts[-1] += character
        if quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote = character
    return parts


def arguments(command: Command, unit: Unit) -> list[Any]:
    """The converted parameters of a unit; −104, −108, −109 when they do not fit the command."""
    if unit.query:
        if unit.parameters and command.asks is None:
            raise ScpiError(-108, "a query takes none")
        wanted = () if command.asks is None else (command.asks,) * len(unit.parameters)
    elif command.optional and not unit.parameters:
        wanted = ()
    else:
        more = len(unit.parameters) - len(command.parameters)
        wanted = command.parameters + command.parameters[-1:] * (max(more, 0) if command.many else 0)
    if len(unit.parameters) > len(wanted):
        raise ScpiError(-108)
    if len(unit.parameters) < len(wanted):
        raise ScpiError(-109)
    values = []
    for convert, text in zip(wanted, unit.parameters, strict=True):
        if isinstance(text, bytes):
            if convert is not block:
                raise ScpiError(-104, "a block is not wanted here")
            values.append(text)
        elif not text:
            raise ScpiError(-102, "empty parameter")
        else:
            values.append(convert(text))
    return values


def definite_block(payload: bytes) -> memoryview:
    """A definite-length block and the line feed after it."""
    size = str(len(payload)).encode()
    return memoryview(b"#%d%s%s\n" % (len(size), size, payload))
