"""`memtj tune`: find the pulse at which each cell switches with a wanted probability."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memtj._answer import answer
from memtj._errors import CommandError
from memtj._of_cells import quarantined, quarantined_clause, rows_file, run_for_cells
from memtj._options import (
    AsJson,
    BenchPath,
    MagneticField,
    Mode,
    Period,
    ReadVoltage,
    ResetVoltage,
    ResetWidth,
    Settle,
    Voltage,
    Width,
    WireLogPath,
    given,
)
from memtj._progress import ProgressDisplay

if TYPE_CHECKING:
    from instruments import Tuning
    from instruments.procedures import Tune


def tune(
    bench_file: BenchPath,
    out: Annotated[Path, typer.Option(help="New file of the tuning (JSON).")],
    target: Annotated[float, typer.Option(help="Probability to switch, 0.02 to 0.98.")] = 0.5,
    tolerance: Annotated[float, typer.Option(help="How close to it, 0.001 to 0.1.")] = 0.01,
    mode: Annotated[
        Mode,
        typer.Option(
            help="reset (pulses from P) or toggle (pulses from P and from AP, each with its trims)."
        ),
    ] = "reset",
    voltage: Voltage = None,
    width: Width = None,
    period: Period = None,
    reset_voltage: ResetVoltage = None,
    reset_width: ResetWidth = None,
    read_voltage: ReadVoltage = None,
    settle: Settle = None,
    field: MagneticField = None,
    csv: Annotated[
        Path | None, typer.Option(help="New file for one row a cell; beside --out by default.")
    ] = None,
    wire_log: WireLogPath = None,
    as_json: AsJson = False,
) -> None:
    """Trim the pulse of every cell until it switches with the wanted probability; the output is off at every end."""
    from instruments.procedures import Tune

    point = given(
        voltage=voltage, width=width, period=period, reset_voltage=reset_voltage, reset_width=reset_width,
        read_voltage=read_voltage, settle=settle, field=field,
    )  # fmt: skip
    rows = rows_file(out, csv)
    procedure = Tune(target=target, tolerance=tolerance, mode=mode, out=str(out), **point)
    run_for_cells(procedure, bench_file, out, rows, lambda display: _follow(display, procedure), wire_log)
    if procedure.tuning is None:
        raise CommandError("the tuning was stopped before its end, so there is no file.")
    outcome = _outcome(procedure.tuning, out)
    answer(as_json, outcome, [_sentence(outcome)])


def _follow(display: ProgressDisplay, procedure: "Tune") -> Any:
    """Return what shows how far a tuning is: cells and directions done, and one line for each other stage."""
    task, before = None, ""

    def look() -> None:
        nonlocal task, before
        now = procedure.progress
        if now.stage != before:
            pulses = f" ({now.pulses:,} pulses so far)" if now.pulses else ""
            display.say(f"{now.stage}{pulses}")
            before = now.stage
        if now.columns:
            unit = "directions" if procedure.mode == "toggle" else "cells"
            task = task or display.task("tuned", now.columns, unit)
            task.advance_to(now.done)

    return look


def _outcome(tuning: "Tuning", out: Path) -> dict[str, Any]:
    """Return what a script wants to know of a tuning, JSON-able."""
    import numpy as np

    used = tuning.used
    return {
        "out": str(out),
        "target": tuning.conditions.target,
        "mode": tuning.conditions.mode,
        "simulated": tuning.conditions.simulated,
        "cells": len(used),
        "cells_used": int(used.sum()),
        "quarantined": quarantined(tuning.reason),
        "half_interval": float(np.nanmean(tuning.high - tuning.low) / 2),
        "pulses_per_cell": float(tuning.pulses[used].mean()),
        "most_pulses_of_a_cell": int(tuning.pulses.max()),
        "by_voltage": int(np.isfinite(tuning.per_volt).sum()),
        "by_width": int(np.isfinite(tuning.per_second).sum()),
    }


def _sentence(outcome: dict[str, Any]) -> str:
    return (
        f"{outcome['cells_used']:,} of {outcome['cells']:,} cells tuned to {outcome['target']:g} ± "
        f"{outcome['half_interval']:.4f} (95 %) with {outcome['pulses_per_cell']:,.0f} pulses a cell"
        f"{' (simulated)' if outcome['simulated'] else ''}; {outcome['by_voltage']:,} by their voltage, "
        f"{outcome['by_width']:,} by their width{quarantined_clause(outcome)}. See {outcome['out']}."
    )
