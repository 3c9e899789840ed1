"""A simulated array: cells with a magnetisation, pulses that change it, a clock; knows no boxes and no wires."""

from mock_hw._array._array import SimulatedArray, forgetting
from mock_hw._array._clock import Clock
from mock_hw._array._run import Run, stream_words
from mock_hw._array._sequence import Selection, Sequence, Trims

__all__ = [
    "Clock",
    "Run",
    "Selection",
    "Sequence",
    "SimulatedArray",
    "Trims",
    "forgetting",
    "stream_words",
]
