"""A small SCPI engine: input assembly, headers, parameters, status and error queue of one connection.

Knows nothing of what the commands do: a box brings a table of `Command`s (see `mock_hw.boxes`). Follows
docs/array-board-protocol.md, IEEE 488.2 and SCPI-1999 as far as that page names them.
"""

import math
import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

ERRORS = {
    0: "No error",
    -101: "Invalid character",
    -102: "Syntax error",
    -104: "Data type error",
    -108: "Parameter not allowed",
    -109: "Missing parameter",
    -113: "Undefined header",
    -161: "Invalid block data",
    -203: "Command protected",
    -213: "Init ignored",
    -221: "Settings conflict",
    -222: "Data out of range",
    -223: "Too much data",
    -230: "Data corrupt or stale",
    -350: "Queue overflow",
    -440: "Query UNTERMINATED after indefinite response",
    101: "Watchdog expired",
    102: "Interlock open",
    103: "Over-temperature",
}

MAX_LINE = 64 * 1024
MAX_UNITS = 256
MAX_ERRORS = 32


class ScpiError(Exception):
    """An error for the queue: `number` from the standard's list and an explanation."""

    def __init__(self, number: int, detail: str = "") -> None:
        super().__init__(number, detail)
        self.number = number
        self.text = ERRORS[number] + (f"; {detail}" if detail else "")


class Status:
    """Error queue and IEEE 488.2 status registers of one connection."""

    def __init__(self) -> None:
        self._errors: deque[tuple[int, str]] = deque()
        self.event_status = 0
        self.event_enable = 0
        self.service_enable = 0

    def push(self, error: ScpiError) -> None:
        """Queue an error and set its bit in the event status register."""
        self._raise_bit(error.number)
        if len(self._errors) < MAX_ERRORS:
            self._errors.append((error.number, error.text))
        else:
            self._errors[-1] = (-350, ERRORS[-350])
            self._raise_bit(-350)

    def pop(self) -> str:
        """The oldest error as `SYSTem:ERRor?` answers it."""
        number, text = self._errors.popleft() if self._errors else (0, ERRORS[0])
        return f'{number},"{text}"'

    def clear(self) -> None:
        """`*CLS`."""
        self._errors.clear()
        self.event_status = 0

    @property
    def errors(self) -> int:
        """Number of errors in the queue."""
        return len(self._errors)

    def byte(self, available: bool) -> int:
        """The status byte; `available` is the message-available bit."""
        value = 4 * bool(self._errors) + 16 * available + 32 * bool(self.event_status & self.event_enable)
        return value | 64 * bool(value & self.service_enable & ~64)

    def _raise_bit(self, number: int) -> None:
        device_dependent = number > 0
        self.event_status |= 8 if device_dependent else {1: 32, 2: 16, 3: 8, 4: 4}[-number // 100]


# --- parameters --------------------------------------------------------------------------------------------

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
    forms = {form: _forms(p)[0] for p in patterns for form in _forms(p)}

    def convert(text: str) -> str:
        try:
            return forms[text.upper()]
        except KeyError:
            raise ScpiError(-104, f"{' or '.join(patterns)} is wanted") from None

    return convert


def block(text: str) -> bytes:
    """Stands for a block parameter; a parameter that is not one gives −104."""
    raise ScpiError(-104, "a block is wanted")


# --- the table of commands ---------------------------------------------------------------------------------

Answer = str | memoryview
"""A text, or a definite-length block together with the line feed that ends the response."""


@dataclass(frozen=True)
class Command:
    """One row of a box's table.

    `header` as the protocol page writes it, without the question mark; `read` answers the query, `write`
    acts on the parameters; both get the box's session first. `idle`: the command is refused while an
    acquisition runs; `anyone`: it may be sent by others than the owner; `block_answer`: the query must be
    the last unit of its line.
    """

    header: str
    read: Callable[..., Answer] | None = None
    write: Callable[..., None] | None = None
    parameters: tuple[Converter, ...] = ()
    idle: bool = False
    idle_query: bool = False
    owner_query: bool = False
    anyone: bool = False
    block_answer: bool = False


class Table:
    """Commands by every accepted spelling of their headers."""

    def __init__(self, commands: Iterable[Command]) -> None:
        self.commands = tuple(commands)
        self._by_header = {
            spelling: command for command in self.commands for spelling in spellings(command.header)
        }

    def find(self, header: str) -> Command:
        """The command of a complete header in any case; −113 when there is none."""
        try:
            return self._by_header[header.upper()]
        except KeyError:
            raise ScpiError(-113, header[:40]) from None


def spellings(header: str) -> list[str]:
    """Every accepted upper-case spelling of a header such as `OUTPut[:STATe]`."""
    nodes = re.findall(r"\[?:?([*A-Za-z]+)(\]?)", header)
    choices = [[*_forms(name), ""] if optional else _forms(name) for name, optional in nodes]
    return [":".join(filter(None, choice)) for choice in product(*choices)]


def _forms(name: str) -> list[str]:
    short = "".join(c for c in name if not c.islower())
    return list(dict.fromkeys((short, name.upper())))


# --- program messages --------------------------------------------------------------------------------------

_UNIT = re.compile(r"(:?)(\*?[A-Za-z][A-Za-z0-9_]*(?::[A-Za-z][A-Za-z0-9_]*)*)(\??)(?:[ \t]+(.*))?", re.ASCII)


@dataclass(frozen=True)
class Unit:
    """One program message unit: full header, query or not, parameters, whether it is the last of its line."""

    header: str
    query: bool
    parameters: tuple[str | bytes, ...]
    last: bool


def units(line: bytes, data: bytes | None) -> Iterator[Unit | ScpiError]:
    """Split a line (its block parameter apart) into units; what is wrong with one takes its place."""
    if any(c > 126 or (c < 32 and c != 9) for c in line):
        yield ScpiError(-101)
        return
    text = line.decode("ascii")
    if not text.strip():
        return
    parts = text.split(";", MAX_UNITS)
    path = ""
    for index, part in enumerate(parts[:MAX_UNITS]):
        last = index == len(parts) - 1
        match = _UNIT.fullmatch(part.strip(" \t"))
        if match is None or '"' in part or "'" in part:
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
        parameters: list[str | bytes] = [p.strip(" \t") for p in rest.split(",")] if rest else []
        if data is not None and last:
            parameters[-1:] = [data] if parameters and parameters[-1] == "#" else [*parameters[-1:], data]
        yield Unit(header, bool(query), tuple(parameters), last)
    if len(parts) > MAX_UNITS:
        yield ScpiError(-223, f"more than {MAX_UNITS} units")


def arguments(command: Command, unit: Unit) -> list[Any]:
    """The converted parameters of a unit; −104, −108, −109 when they do not fit the command."""
    if unit.query and unit.parameters:
        raise ScpiError(-108, "a query takes none")
    wanted = () if unit.query else command.parameters
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


@dataclass(frozen=True)
class Line:
    """A complete program message: its text, a `#` in the place of the block, and the block."""

    text: bytes
    block: bytes | None


class InputClosed(Exception):
    """The input is hopeless (endless line): close the connection."""


class Assembler:
    """Cuts a stream of bytes into `Line`s, whose blocks may hold line feeds, within bounded memory."""

    def __init__(self, max_block: int) -> None:
        self._max_block = max_block
        self._buffer = bytearray()
        self._searched = 0
        self._discarding = False
        self._discarded = 0

    def feed(self, data: bytes | memoryview) -> Iterator[Line | ScpiError]:
        """Lines and input errors in `data` and what came before; `InputClosed` when a line does not end."""
        self._buffer += data
        while self._buffer:
            if self._discarding and not self._skip():
                return
            item = self._next()
            if item is None:
                return
            yield item

    def _skip(self) -> bool:
        """Drop bytes up to the line feed; False when it is not there yet."""
        end = self._buffer.find(b"\n")
        self._discarded += len(self._buffer) if end < 0 else end
        del self._buffer[: len(self._buffer) if end < 0 else end + 1]
        if end < 0 and self._discarded > MAX_LINE:
            raise InputClosed("a line does not end")
        if end >= 0:
            self._discarding = False
        return end >= 0 and bool(self._buffer)

    def _fail(self, number: int, detail: str, consumed: int) -> ScpiError:
        del self._buffer[:consumed]
        self._searched = 0
        self._discarding, self._discarded = True, 0
        return ScpiError(number, detail)

    def _next(self) -> Line | ScpiError | None:
        buffer = self._buffer
        end = buffer.find(b"\n", self._searched)
        sharp = buffer.find(b"#", self._searched, end if end >= 0 else len(buffer))
        text_length = sharp if sharp >= 0 else end if end >= 0 else len(buffer)
        if text_length > MAX_LINE:
            return self._fail(-223, f"a line has at most {MAX_LINE} bytes", text_length)
        if sharp >= 0:
            self._searched = sharp
            return self._with_block(sharp)
        if end < 0:
            self._searched = len(buffer)
            return None
        line = bytes(buffer[:end])
        del buffer[: end + 1]
        self._searched = 0
        return Line(line.removesuffix(b"\r"), None)

    def _with_block(self, sharp: int) -> Line | ScpiError | None:
        buffer = self._buffer
        head = bytes(buffer[sharp + 1 : sharp + 11])
        if not head:
            return None
        if head[:1] not in b"123456789":
            return self._fail(-161, "malformed block header", sharp + 1)
        digits = head[1 : 1 + int(head[:1])]
        if digits and not digits.isdigit():
            return self._fail(-161, "malformed block header", sharp + 1)
        if len(digits) < int(head[:1]):
            return None
        length, start = int(digits), sharp + 2 + len(digits)
        if length > self._max_block:
            return self._fail(-161, f"a block has at most {self._max_block} bytes here", start)
        end = start + length
        if len(buffer) <= end or (buffer[end] == 13 and len(buffer) == end + 1):
            return None
        tail = 1 if buffer[end] == 10 else 2
        if tail == 2 and buffer[end : end + 2] != b"\r\n":
            return self._fail(-161, "a block is the last parameter of its line", end)
        line = Line(bytes(buffer[: sharp + 1]), bytes(buffer[start:end]))
        del buffer[: end + tail]
        self._searched = 0
        return line
