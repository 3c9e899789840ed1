"""The bench: its file, its instruments in their roles, the limits, and the way to safety."""

from ._bench import Bench
from ._blank import blank_bench_file
from ._board_role import BoardRole
from ._classic_roles import PulseSourceRole, ReadoutRole, is_simulated
from ._dac import DacScale
from ._discovery import FoundBox, array_size, find_boxes
from ._file import ArraySection, BenchFile, LimitsSection, read_bench_file
from ._opening import Finding
from ._replay import WireLogReplay
from ._role import Role, SafeStep
from ._signal_path import SignalPath
from ._trims import Trims

__all__ = [
    "ArraySection",
    "Bench",
    "BenchFile",
    "BoardRole",
    "DacScale",
    "Finding",
    "FoundBox",
    "LimitsSection",
    "PulseSourceRole",
    "ReadoutRole",
    "Role",
    "SafeStep",
    "SignalPath",
    "Trims",
    "WireLogReplay",
    "array_size",
    "blank_bench_file",
    "find_boxes",
    "is_simulated",
    "read_bench_file",
]
