"""The bench: roles, limits, the array, and the procedures that pulse it and read it."""

from typing import TYPE_CHECKING

from entropy.lazy import later

from ._errors import BenchError, Terminated
from ._new_file import refuse_unwritable, write_whole
from .bench import Bench, BenchFile, BoardRole, Finding, Role, SignalPath, Trims, read_bench_file

if TYPE_CHECKING:
    from ._run import run, run_procedure
    from .tuning import Conditions, DrawCalibration, DrawConditions, Tuning

# What brings pymeasure's procedures and the store is imported when it is first named: `memtj bench off` does without.
_LATER = {
    "._run": "run run_procedure",
    ".tuning": "Conditions DrawCalibration DrawConditions Tuning",
    ".procedures": "",
}

__all__ = [
    "Bench",
    "BenchError",
    "BenchFile",
    "BoardRole",
    "Conditions",
    "DrawCalibration",
    "DrawConditions",
    "Finding",
    "Role",
    "SignalPath",
    "Terminated",
    "Trims",
    "Tuning",
    "read_bench_file",
    "refuse_unwritable",
    "run",
    "run_procedure",
    "write_whole",
]

__getattr__, __dir__ = later(__name__, _LATER)
