"""The simulated array board: docs/array-board-protocol.md as firmware would implement it."""

from mock_hw.boxes.array_board._board import TABLE, ArrayBoard, Limits, Session, Settings
from mock_hw.boxes.array_board._pace import PACES

__all__ = ["PACES", "TABLE", "ArrayBoard", "Limits", "Session", "Settings"]
