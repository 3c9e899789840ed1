"""The bench: roles, limits, the array, and the procedures that pulse it and read it."""

from ._bench import Bench, Finding
from ._bench_file import BenchFile, read_bench_file
from ._errors import BenchError, Terminated
from ._roles import BoardRole, Role, SignalPath, Trims
from ._run import run, run_procedure

__all__ = [
    "Bench",
    "BenchError",
    "BenchFile",
    "BoardRole",
    "Finding",
    "Role",
    "SignalPath",
    "Terminated",
    "Trims",
    "read_bench_file",
    "run",
    "run_procedure",
]
