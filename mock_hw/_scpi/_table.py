"""A box's table of commands, found by every spelling of their headers."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product

from mock_hw._scpi._parameters import Converter, forms_of
from mock_hw._scpi._status import ScpiError

Answer = str | memoryview
"""A text, or a definite-length block together with the line feed that ends the response."""


@dataclass(frozen=True)
class Command:
    """One row of a box's table.

    `header` as the protocol page writes it, without the question mark; `read` answers the query, `write`
    acts on the parameters; both get the box's session first. `idle`: the command is refused while an
    acquisition runs; `anyone`: it may be sent by others than the owner; `block_answer`: the query must be
    the last unit of its line. `many`: the last parameter may be repeated; `optional`: all may be left out. `asks`: the
    query takes any number of parameters, of which `read` gets what this makes of each.
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
    many: bool = False
    optional: bool = False
    asks: Converter | None = None


class Table:
    """Commands by every accepted spelling of their headers; `strings`: their parameters may be in quotation marks.

    `lenient`: a semicolon at the end of a line is no mistake.
    """

    def __init__(self, commands: Iterable[Command], *, strings: bool = False, lenient: bool = False) -> None:
        self.commands = tuple(commands)
        self.strings, self.lenient = strings, lenient
        self._by_header = {
            spelling: command for command in self.commands for spelling in spellings(command.header)
        }

    def __contains__(self, header: str) -> bool:
        return header.upper() in self._by_header

    def find(self, header: str) -> Command:
        """The command of a complete header in any case; −113 when there is none."""
        try:
            return self._by_header[header.upper()]
        except KeyError:
            raise ScpiError(-113, header[:40]) from None


def spellings(header: str) -> list[str]:
    """Every accepted upper-case spelling of a header such as `OUTPut[:STATe]` or `[SOURce[1]:]FREQuency`."""
    nodes = re.findall(r"\[?:?([*A-Za-z]+\d?)(?:\[(\d)\])?:?(\]?)", header)
    choices = []
    for name, number, optional in nodes:
        forms = forms_of(name)
        forms += [form + number for form in forms] if number else []
        choices.append([*forms, ""] if optional else forms)
    return [":".join(filter(None, choice)) for choice in product(*choices)]
