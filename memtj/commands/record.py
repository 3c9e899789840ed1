"""`memtj record`: pulse the array and record its bits."""

import time
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from memtj._answer import answer
from memtj._errors import CommandError
from memtj._options import (
    POINT_UNITS,
    AsJson,
    BenchPath,
    ExitWithParent,
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
    bits_option,
    given,
)
from memtj._processes import end_with_parent
from memtj._progress import ProgressDisplay, Task
from memtj._quantities import duration, si

if TYPE_CHECKING:
    from instruments import Bench
    from instruments.procedures import RecordBits, RecordingProgress, RecordingSummary


_TELL_EVERY = 30.0  # s between lines about bias and correlations
_STAGES = {
    "preparing": "preparing",
    "thresholds": "measuring the cells: thresholds",
    "trims": "measuring the cells: trims",
    "start-up test": "testing the health of the cells",
    "reconnecting": "the connection to the board is lost; trying to have it back",
}


def record(
    bench_file: BenchPath,
    store: Annotated[Path, typer.Option(help="Folder of the store; made where it does not exist.")],
    bits: Annotated[
        int,
        typer.Option(
            parser=bits_option, help="Usable bits wanted, such as 2e8; 0 = until Ctrl-C, with --ahead."
        ),
    ],
    mode: Annotated[
        Mode | None,
        typer.Option(help="reset (reset, check, write, read; by default) or toggle (write, read)."),
    ] = None,
    voltage: Voltage = None,
    width: Width = None,
    period: Period = None,
    reset_voltage: ResetVoltage = None,
    reset_width: ResetWidth = None,
    read_voltage: ReadVoltage = None,
    settle: Settle = None,
    field: MagneticField = None,
    block_bits: Annotated[int | None, typer.Option(parser=bits_option, help="Bits of a block.")] = None,
    tuning: Annotated[
        Path | None,
        typer.Option(help="File of 'memtj tune': its pulses, trims, thresholds and quarantine are used."),
    ] = None,
    calibrate: Annotated[bool, typer.Option(help="Trim each cell to P = ½ first.")] = True,
    servo: Annotated[
        Literal["cells", "common", "off"],
        typer.Option(help="Hold P while recording: cells (each one), common (all together) or off."),
    ] = "cells",
    ahead: Annotated[
        int, typer.Option(parser=bits_option, help="Pause while this many bits are free; 0 = never pause.")
    ] = 0,
    retries: Annotated[
        int,
        typer.Option(min=0, max=1000, help="Tries in a row to have a lost connection back; 0 = end at once."),
    ] = 3,
    min_entropy: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1,
            help="Min-entropy per raw bit that is claimed: what the health tests hold it to. Left out: 0.7 "
            "(less for a tuning to another target), 0.1 for untrimmed cells.",
        ),
    ] = None,
    false_alarm: Annotated[
        float, typer.Option(min=1, max=100, help="Exponent a of the health tests' false-alarm rate, 2^-a.")
    ] = 40,
    csv: Annotated[
        Path | None, typer.Option(help="New file for the rows of the blocks; inside the store by default.")
    ] = None,
    wire_log: WireLogPath = None,
    as_json: AsJson = False,
    exit_with_parent: ExitWithParent = False,
) -> None:
    """Measure and trim the cells, then record bits into a store; the output is off at every end of it."""
    from entropy import Store
    from instruments import Bench, Tuning, refuse_unwritable
    from instruments import run as run_recording
    from instruments.procedures import RecordBits

    if exit_with_parent:
        end_with_parent()
    if bits == 0 and ahead == 0:
        raise CommandError(
            "a recording without an end fills the disk: give --ahead with --bits 0, or a number of bits."
        )
    chosen = given(
        voltage=voltage, width=width, period=period, reset_voltage=reset_voltage, reset_width=reset_width,
        read_voltage=read_voltage, settle=settle, field=field, block_bits=block_bits, min_entropy=min_entropy,
    )  # fmt: skip
    known = None if tuning is None else Tuning.load(tuning)
    if known is not None:
        chosen = {name: getattr(known.conditions, name) for name in POINT_UNITS} | chosen
    procedure = RecordBits(
        tuning=known,
        mode=mode or (known.conditions.mode if known is not None else "reset"),
        bits=bits,
        calibrate=calibrate,
        servo=servo,
        ahead=ahead,
        retries=retries,
        false_alarm=false_alarm,
        **chosen,
    )
    bench = Bench.from_toml(bench_file, wire_log=wire_log)
    if csv is not None:
        refuse_unwritable(csv)
    with bench, ProgressDisplay() as display:
        procedure.bench = bench
        procedure.rehearse()  # a wrong bench, pulse or tuning makes no store
        with Store(store) as procedure.store:
            rows = csv or store / "recordings" / f"{time.strftime('%Y%m%dT%H%M%S')}-{time.monotonic_ns()}.csv"
            summary = run_recording(procedure, rows, _follow(display, bits))
        outcome = _outcome(summary, procedure, bench)
    answer(as_json, outcome, [_sentence(summary, outcome)])


def _sentence(summary: "RecordingSummary", outcome: dict[str, Any]) -> str:
    return (
        f"{si(summary.bits, 'bit')} in {summary.blocks} blocks in {_time(summary.seconds)}: fraction of ones "
        f"{summary.ones_fraction:.5f}, {summary.cells_used:,} of {summary.cells:,} cells, "
        f"{si(summary.device_bits_per_s, 'bit/s')} by the board's clock"
        f"{' (simulated)' if summary.simulated else ''}, {si(outcome['energy_per_bit']['total'] or 0, 'J')} per bit."
        f"{_held(summary)}{_mishaps(summary)}{_health(summary)}"
    )


def _time(seconds: float) -> str:
    """Say how long the blocks took: a simulated array has them in milliseconds."""
    return si(seconds, "s") if seconds < 10 else duration(seconds)


def _held(summary: "RecordingSummary") -> str:
    """Say what the servo did, as a sentence with a space before it; nothing where there was none."""
    if summary.servo == "off":
        return ""
    lost = f", {summary.cells_not_held:,} cells are not held one by one" if summary.cells_not_held else ""
    return f" Servo: {summary.servo_actions:,} actions, {1e3 * summary.servo_shift:+.3g} mV{lost}."


def _mishaps(summary: "RecordingSummary") -> str:
    """Say what went wrong on the way, as a sentence with a space before it; nothing where nothing did."""
    counts = (
        (summary.reconnections, "lost connection came back", "lost connections came back"),
        (summary.lost_blocks, "block never arrived", "blocks never arrived"),
        (
            summary.corrupt_blocks,
            "block stayed damaged and was left out",
            "blocks stayed damaged and were left out",
        ),
    )
    said = [f"{count:,} {one if count == 1 else more}" for count, one, more in counts if count]
    return f" On the way: {', '.join(said)}." if said else ""


def _health(summary: "RecordingSummary") -> str:
    """Say what the health tests found and how far from ideal the bits are, as sentences with a space before them."""
    health, watch = summary.health, summary.watch
    said = " Health tests passed."
    if health.blocks_withheld:
        said = (
            f" Health tests failed: {health.tests_failed}; {health.cells_failed:,} cells left out, "
            f"{health.blocks_withheld:,} of {summary.blocks:,} blocks ({si(health.bits_withheld, 'bit')}) withheld."
        )
    return said if watch is None else f"{said} {watch}."


def _follow(display: ProgressDisplay, bits: int) -> Any:
    """Return what shows a recording's progress: the bits, and one line for each other stage."""
    task: Task | None = (
        None  # from the first pulse on: a rate with the measuring in it would be none of the bits'
    )
    before, told = "", time.monotonic()

    def show(progress: "RecordingProgress") -> None:
        nonlocal task, before, told
        if progress.stage != before:
            if before == "reconnecting":
                display.say("connected again")
            if progress.stage in _STAGES:
                display.say(_STAGES[progress.stage])
            before = progress.stage
        if progress.stage == "recording":
            task = task or display.task("recording", bits or None, "bit")
            if progress.bits:
                task.advance_to(min(progress.bits, bits) if bits else progress.bits)
        if progress.watch is not None and time.monotonic() - told > _TELL_EVERY:
            told = time.monotonic()
            display.say(f"{progress.watch}, {progress.blocks_withheld:,} blocks withheld")

    return show


def _outcome(summary: "RecordingSummary", procedure: "RecordBits", bench: "Bench") -> dict[str, Any]:
    """Return what a script wants to know of a recording, JSON-able."""
    plain = summary.as_dict()
    terms = [plain["energy_per_bit"][term.name] for term in fields(summary.energy_per_bit)]
    plain["energy_per_bit"]["total"] = None if None in terms else sum(terms)
    plain["quarantined_cells"] = summary.cells - summary.cells_used
    for key in ("identity", "resource"):
        plain[key] = " and ".join(each[key] for each in bench.snapshot()["instruments"].values())
    plain["settings"] = {
        name.replace("_", " "): f"{float(getattr(procedure, name)):g} {unit}"
        for name, unit in POINT_UNITS.items()
    }
    return plain
