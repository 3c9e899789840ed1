"""Boxes of the simulated laboratory: each a table of SCPI commands over something simulated."""

from mock_hw.boxes.array_board import ArrayBoard, Limits

__all__ = ["ArrayBoard", "Limits"]
