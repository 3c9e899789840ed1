"""The simulated array board: docs/array-board-protocol.md as firmware would implement it."""

from mock_hw.boxes.array_board._board import ArrayBoard
from mock_hw.boxes.array_board._commands import TABLE
from mock_hw.boxes.array_board._session import NO_BLOCK, Response, Session
from mock_hw.boxes.array_board._settings import Limits, RuleBroken, Settings
from mock_hw.boxes.array_board._time import PACES

__all__ = [
    "NO_BLOCK",
    "PACES",
    "TABLE",
    "ArrayBoard",
    "Limits",
    "Response",
    "RuleBroken",
    "Session",
    "Settings",
]
