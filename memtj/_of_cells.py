"""What commands share that find something out about each cell of an array, and leave a file of it and rows beside."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memtj._errors import CommandError
from memtj._progress import ProgressDisplay

if TYPE_CHECKING:
    from instruments.procedures import CalibrateDraws, Tune


def rows_file(out: Path, csv: Path | None) -> Path:
    """Give the file for rows of the cells, beside `out` by default; raises CommandError where both would be one."""
    rows = csv or out.with_suffix(".csv")
    if rows.absolute() == out.absolute():
        raise CommandError(
            f"--out and the rows of the cells would both be {out}: name another file by --csv."
        )
    return rows


def run_for_cells(
    procedure: "Tune | CalibrateDraws",
    bench_file: Path,
    out: Path,
    rows: Path,
    follow: Callable[[ProgressDisplay], Callable[[], None]],
    wire_log: Path | None,
) -> None:
    """Run a procedure on a bench, both files refused before it opens; `follow` gives what shows the progress."""
    from instruments import Bench, refuse_unwritable, run_procedure

    bench = Bench.from_toml(bench_file, wire_log=wire_log)
    for file in (out, rows):
        refuse_unwritable(file)
    with ProgressDisplay() as display, bench:
        procedure.bench = bench
        run_procedure(procedure, rows, follow(display))


def quarantined(reasons: Iterable[str]) -> dict[str, int]:
    """Count the cells of each kind of reason; those that are used have none, ""."""
    kinds = [str(reason).split(":")[0] for reason in reasons if reason]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def quarantined_clause(outcome: dict[str, Any]) -> str:
    """Say which cells an outcome leaves out, as the end of a sentence; nothing where there are none."""
    left = ", ".join(f"{count} {reason}" for reason, count in outcome["quarantined"].items())
    return f"; quarantined: {left}" if left else ""
