"""A simulated array: cells with a magnetisation, the pulses that change it; knows no boxes and no wires."""

from mock_hw._array._array import SimulatedArray, forgetting
from mock_hw._array._run import Run, stream_words
from mock_hw._array._sequence import Selection, Sequence, Trims

__all__ = [
    "Run",
    "Selection",
    "Sequence",
    "SimulatedArray",
    "Trims",
    "forgetting",
    "stream_words",
]
