"""The commands with which anybody may break a simulated board: docs/simulated-lab.md.

No firmware has them, and no driver sends them: they are not part of the board's dialect.
"""

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mock_hw._scpi import ERRORS, Command, Converter, ScpiError, Table, boolean, integer, number, word
from mock_hw.faults._board import (
    FASTEST_DRIFT,
    FEWEST_FIFO_BLOCKS,
    HOTTEST,
    LATEST_ANSWER,
    LONGEST_REFUSAL,
    MODEL,
    MOST_BLOCKS,
    SLOWEST_WIRE,
)

if TYPE_CHECKING:
    from mock_hw.boxes.array_board import Session


def _between(convert: Callable[[str], Any], low: float, high: float) -> Converter:
    def checked(text: str) -> Any:
        value = convert(text)
        if not low <= value <= high:
            raise ScpiError(-222, f"from {low:g} to {high:g}")
        return value

    return checked


def _model(text: str) -> str:
    if not re.fullmatch(MODEL, text):
        raise ScpiError(-104, "letters, digits, '.', '_' and '-' are wanted")
    return text


def _known_error(text: str) -> int:
    value = integer(text)
    if not value or value not in ERRORS:
        raise ScpiError(-222, "a number of the page's list is wanted")
    return value


def _cell(s: "Session", row: int, column: int) -> int:
    array = s.board.array
    if not (0 <= row < array.rows and 0 <= column < array.columns):
        raise ScpiError(-222, f"the array has {array.rows} rows and {array.columns} columns")
    return row * array.columns + column


def _fault(header: str, write: Callable[..., None], *parameters: Converter) -> Command:
    return Command(f"SIMulator:FAULt:{header}", write=write, parameters=parameters, anyone=True)


def _identify(s: "Session", model: str) -> None:
    s.board.faults.model = model


_blocks = _between(integer, 0, MOST_BLOCKS)
_count = _between(integer, 1, MOST_BLOCKS)

TABLE = Table(
    (
        Command("SIMulator:FAULt", lambda s: s.board.faults.listing()),
        _fault("SHORt", lambda s, *at: s.board.faults.cells.short(_cell(s, *at)), integer, integer),
        _fault("OPEN", lambda s, *at: s.board.faults.cells.interrupt(_cell(s, *at)), integer, integer),
        _fault(
            "STUCk",
            lambda s, row, column, state: s.board.faults.cells.stick(_cell(s, row, column), state == "AP"),
            *(integer, integer, word("P", "AP")),
        ),
        _fault(
            "DRIFt",
            lambda s, rate: s.board.faults.cells.drift(rate),
            _between(number, -FASTEST_DRIFT, FASTEST_DRIFT),
        ),
        _fault("DROP", lambda s, after: s.board.faults.drop(after), _blocks),
        _fault("CORRupt", lambda s, *when: s.board.faults.corrupt(*when), _blocks, _count),
        _fault("DUPLicate", lambda s, after: s.board.faults.repeat(after), _blocks),
        _fault("SKIP", lambda s, *when: s.board.faults.skip(*when), _blocks, _count),
        _fault(
            "REFuse", lambda s, seconds: s.board.faults.refuse(seconds), _between(number, 0, LONGEST_REFUSAL)
        ),
        _fault(
            "FIFO",
            lambda s, blocks: s.board.faults.limit_fifo(blocks),
            _between(integer, FEWEST_FIFO_BLOCKS, MOST_BLOCKS),
        ),
        _fault("RATE", lambda s, rate: s.board.faults.slow_down(rate), _between(number, SLOWEST_WIRE, 1e12)),
        _fault("ERRor", lambda s, which: s.board.faults.error(which), _known_error),
        _fault("TEMPerature", lambda s, kelvin: s.board.faults.heat(kelvin), _between(number, 0, HOTTEST)),
        _fault("INTerlock", lambda s, closed: s.board.faults.interlock(closed), boolean),
        _fault("DELay", lambda s, seconds: s.board.faults.delay(seconds), _between(number, 0, LATEST_ANSWER)),
        _fault("MUTE", lambda s, answers: s.board.faults.hang(answers), _between(integer, 0, MOST_BLOCKS)),
        _fault("IDENtity", _identify, _model),
        _fault("CLEar", lambda s: s.board.faults.clear()),
    )
)
