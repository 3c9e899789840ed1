"""The simulated pulse generator Keysight 81160A: edges of 1 ns, one channel or two, as its User's Guide has them."""

from mock_hw.boxes.keysight_81160a._commands import TABLE, TABLE_OF_TWO
from mock_hw.boxes.keysight_81160a._generator import FASTEST_EDGE

__all__ = ["FASTEST_EDGE", "TABLE", "TABLE_OF_TWO"]
