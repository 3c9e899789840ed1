"""The simulated function generator Agilent 33521A: pulses and bursts, as its Operating and Service Guide has them."""

from mock_hw.boxes.agilent_33500._commands import TABLE
from mock_hw.boxes.agilent_33500._generator import FASTEST_EDGE

__all__ = ["FASTEST_EDGE", "TABLE"]
