"""Faults of a simulated board: what is wrong with its answers, its blocks, its surroundings, its cells."""

from mock_hw.faults._board import FaultyBoard
from mock_hw.faults._kinds import Drop, FaultTable

__all__ = ["Drop", "FaultTable", "FaultyBoard"]
