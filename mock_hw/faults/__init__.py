"""Faults of a simulated board: what is wrong with its answers, its blocks, its surroundings, its cells."""

from mock_hw.faults._board import FaultyBoard
from mock_hw.faults._cells import FaultyDevice
from mock_hw.faults._kinds import Drop, FaultTable, Strict, fit

__all__ = ["Drop", "FaultTable", "FaultyBoard", "FaultyDevice", "Strict", "fit"]
