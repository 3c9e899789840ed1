"""The bench: roles, limits, the array, and the procedures that pulse it and read it."""

from ._bench import Bench, Finding
from ._bench_file import BenchFile, read_bench_file
from ._errors import BenchError, Terminated
from ._roles import BoardRole, Role, SignalPath, Trims
from ._run import run, run_procedure
from ._tuning import Conditions, Tuning, refuse_unwritable

__all__ = [
    "Bench",
    "BenchError",
    "BenchFile",
    "BoardRole",
    "Conditions",
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
]
