"""What an array is for a procedure: a working point, blocks of bits, losses; and the boards behind it."""

from drivers import BoardError
from entropy import DrawMode

from ..bench import Bench, DacScale, Trims
from ._array import Acquisition, Array, Stop, Stopped, blocks_of
from ._bernoulli import BernoulliArray, Draw, DrawCounts, VoltageLaw
from ._block import Block, Losses, Sums
from ._board_array import BoardArray
from ._classic_array import ClassicArray
from ._draw_drift import DrawDrift
from ._switching_law import SwitchingLaw
from ._switchings import by_state, count_switchings
from ._working_point import Mode, WorkingPoint

__all__ = [
    "Acquisition",
    "Array",
    "BernoulliArray",
    "Block",
    "BoardArray",
    "BoardError",
    "ClassicArray",
    "DacScale",
    "Draw",
    "DrawCounts",
    "DrawDrift",
    "DrawMode",
    "Losses",
    "Mode",
    "Stop",
    "Stopped",
    "Sums",
    "SwitchingLaw",
    "Trims",
    "VoltageLaw",
    "WorkingPoint",
    "array_of",
    "blocks_of",
    "by_state",
    "count_switchings",
]


def array_of(bench: Bench, point: WorkingPoint) -> Array:
    """Give the array of an open bench, nothing of it set yet; raises BenchError where the bench is not open."""
    return ClassicArray(bench, point) if bench.file.is_classic else BoardArray(bench, point)
