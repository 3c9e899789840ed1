"""The simulated array board: docs/array-board-protocol.md as firmware would implement it."""

from mock_hw.boxes._rules import RuleBroken
from mock_hw.boxes._session import Response
from mock_hw.boxes.array_board._board import ArrayBoard
from mock_hw.boxes.array_board._commands import TABLE
from mock_hw.boxes.array_board._session import NO_BLOCK, Session
from mock_hw.boxes.array_board._settings import Limits, Settings

__all__ = [
    "NO_BLOCK",
    "TABLE",
    "ArrayBoard",
    "Limits",
    "Response",
    "RuleBroken",
    "Session",
    "Settings",
]
