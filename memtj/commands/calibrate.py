"""`memtj calibrate`: find at which voltage each cell switches with which probability."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from memtj._answer import answer
from memtj._errors import CommandError
from memtj._of_cells import quarantined, quarantined_clause, rows_file, run_for_cells
from memtj._options import (
    AsJson,
    BenchPath,
    Period,
    ReadVoltage,
    ResetVoltage,
    ResetWidth,
    Settle,
    Width,
    WireLogPath,
    given,
)
from memtj._progress import ProgressDisplay

if TYPE_CHECKING:
    from instruments import DrawCalibration
    from instruments.procedures import CalibrateDraws


def calibrate(
    bench_file: BenchPath,
    out: Annotated[Path, typer.Option(help="New file of the calibration (.npz).")],
    pulses: Annotated[
        int, typer.Option(help="Pulses of a cell, both directions together, at most.")
    ] = 60_000,
    hold: Annotated[float, typer.Option(help="Volts at which cells are held between pulses.")] = 0.0,
    voltage: Annotated[
        float | None, typer.Option(help="Write pulse by which the two states are seen first, volts.")
    ] = None,
    width: Width = None,
    period: Period = None,
    reset_voltage: ResetVoltage = None,
    reset_width: ResetWidth = None,
    read_voltage: ReadVoltage = None,
    settle: Settle = None,
    csv: Annotated[
        Path | None, typer.Option(help="New file for rows of the cells; beside --out by default.")
    ] = None,
    wire_log: WireLogPath = None,
    as_json: AsJson = False,
) -> None:
    """Find at which voltage each cell switches with which probability; the output is off at every end."""
    from instruments.procedures import CalibrateDraws

    point = given(
        voltage=voltage, width=width, period=period, reset_voltage=reset_voltage, reset_width=reset_width,
        read_voltage=read_voltage, settle=settle,
    )  # fmt: skip
    rows = rows_file(out, csv)
    procedure = CalibrateDraws(pulses=pulses, hold=hold, out=str(out), **point)
    run_for_cells(procedure, bench_file, out, rows, lambda display: _follow(display, procedure), wire_log)
    if procedure.calibration is None:
        raise CommandError("the calibration was stopped before its end, so there is no file.")
    outcome = _outcome(procedure.calibration, out)
    answer(as_json, outcome, [_sentence(outcome)])


def _follow(display: ProgressDisplay, procedure: "CalibrateDraws") -> Any:
    """Return what shows how far a calibration is: one line for each stage, and pulses of those that a cell may get."""
    task, before = None, ""

    def look() -> None:
        nonlocal task, before
        now = procedure.progress
        if now.stage != before:
            display.say(now.stage)
            before = now.stage
        if now.pulses:
            task = task or display.task("given", now.pulses, "pulses a cell")
            task.advance_to(now.given)

    return look


def _outcome(found: "DrawCalibration", out: Path) -> dict[str, Any]:
    """Return what a script wants to know of a calibration, JSON-able."""
    import numpy as np

    used, known = found.used, found.conditions
    ends = np.stack([found.law.interval(0.5, state) for state in (False, True)])
    return {
        "out": str(out),
        "sha256": found.source["sha256"],
        "bytes": out.stat().st_size,
        "simulated": known.simulated,
        "cells": len(used),
        "cells_used": int(used.sum()),
        "quarantined": quarantined(found.reason),
        "pulses_per_cell": known.pulses,
        "lowest": known.lowest,
        "highest": known.highest,
        "hold": known.hold,
        "half_interval": float((ends[:, 1] - ends[:, 0])[:, used].mean() / 2),
    }


def _sentence(outcome: dict[str, Any]) -> str:
    return (
        f"{outcome['cells_used']:,} of {outcome['cells']:,} cells calibrated from {outcome['lowest']:.3f} to "
        f"{outcome['highest']:.3f} V, at 1/2 to ± {outcome['half_interval']:.4f} (95 %), with "
        f"{outcome['pulses_per_cell']:,} pulses a cell{' (simulated)' if outcome['simulated'] else ''}"
        f"{quarantined_clause(outcome)}. See {outcome['out']}."
    )
