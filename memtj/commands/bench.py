"""`memtj bench`: which boxes there are, is everything reachable and what it should be; switch everything off."""

import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from memtj._answer import answer
from memtj._options import AsJson, BenchPath, WireLogPath

if TYPE_CHECKING:
    from instruments import Finding
    from instruments.bench import FoundBox

app = typer.Typer(
    help="Find boxes and begin a bench file, check the bench, or switch everything off.", no_args_is_help=True
)

Resources = Annotated[
    list[str] | None,
    typer.Option(
        "--resource", help="VISA resource of a box (several times for several); then no other is looked at."
    ),
]
Library = Annotated[
    str, typer.Option(help='VISA library: "@py" is pyvisa-py; left out: whatever is installed.')
]
Baud = Annotated[
    int | None,
    typer.Option(min=1, max=10**9, help="Ask serial ports too, at this rate; left out: they are not asked."),
]


def _report(findings: "Sequence[Finding]", as_json: bool) -> None:
    well = all(finding.ok for finding in findings)
    values = {"ok": well, "findings": [asdict(finding) for finding in findings]}
    lines = [
        f"{'ok   ' if finding.ok else 'WRONG'} {finding.instrument}: {finding.subject}: {finding.detail}"
        for finding in findings
    ]
    answer(as_json, values, lines)
    if not well:
        raise typer.Exit(1)


@app.command("check")
def check(file: BenchPath, wire_log: WireLogPath = None, as_json: AsJson = False) -> None:
    """Look at every instrument without switching anything on; exit code 1 unless all is well."""
    from instruments import Bench

    _report(Bench.from_toml(file, wire_log=wire_log).check(), as_json)


@app.command("off")
def off(file: BenchPath, wire_log: WireLogPath = None, as_json: AsJson = False) -> None:
    """Switch everything off, whoever switched it on, and ask the instruments whether it is."""
    from instruments import Bench, BenchError

    bench = Bench.from_toml(file)
    if wire_log is not None:
        try:
            bench = Bench.from_toml(file, wire_log=wire_log)
        except BenchError as error:  # no reason to leave anything on
            print(f"memtj: {error}", file=sys.stderr)
    _report(bench.off(), as_json)


@app.command("find")
def find(
    resource: Resources = None, visa_library: Library = "", baud_rate: Baud = None, as_json: AsJson = False
) -> None:
    """List the boxes of the VISA library and of running labs, each with its answer to *IDN?; nothing else is sent."""
    labs, boxes = _found(resource, visa_library, baud_rate)
    found = [{**asdict(box), "lab": labs.get(box.resource)} for box in boxes]
    lines = [
        f"{box.resource}{' (simulated)' if box.resource in labs else ''}: {box.identity or box.trouble}"
        + (f" -> {box.role}, {box.driver}" if box.role else " -> no role" if box.identity else "")
        for box in boxes
    ]
    answer(
        as_json, {"boxes": found}, lines or ["no box was found: name one that no library lists by --resource"]
    )


@app.command("new")
def new(
    file: Annotated[Path, typer.Argument(help="New bench file (TOML).")],
    resource: Resources = None,
    lab: Annotated[
        Path | None,
        typer.Option(help="What 'memtj lab --json' printed: the boxes of that lab, and no other."),
    ] = None,
    visa_library: Library = "",
    baud_rate: Baud = None,
    as_json: AsJson = False,
) -> None:
    """Begin a bench file for the boxes that are found or named; limits and paths are yours to fill in."""
    from instruments import refuse_unwritable, write_whole
    from instruments.bench import array_size, blank_bench_file
    from memtj._labs import read_lab

    refuse_unwritable(file)
    named = [*(resource or []), *([] if lab is None else read_lab(lab).values())]
    _, boxes = _found(named or None, visa_library, baud_rate)
    size = next(filter(None, (array_size(box, visa_library) for box in boxes)), None)
    write_whole(file, blank_bench_file(boxes, visa_library=visa_library, size=size).encode())
    playing = {box.role: box.resource for box in boxes if box.role}
    said = f"{file}: {', '.join(playing)}; fill in each \"?\", then look by 'memtj bench check {file}'"
    answer(as_json, {"file": str(file), "roles": playing}, [said])


def _found(
    resources: list[str] | None, visa_library: str, baud_rate: int | None
) -> "tuple[dict[str, str], list[FoundBox]]":
    """Give the files of running labs by the resources of their boxes, and the boxes."""
    from instruments.bench import find_boxes
    from memtj._labs import running_labs

    labs = {resource: str(path) for path, served in running_labs() for resource in served.values()}
    boxes = find_boxes(resources, visa_library=visa_library, baud_rate=baud_rate)
    if resources is None:
        boxes += find_boxes(labs, visa_library=visa_library, baud_rate=baud_rate)
    return labs, boxes


@app.command("replay")
def replay(
    file: Annotated[Path, typer.Argument(help="Wire log, of --wire-log.")],
    expected_protocol: Annotated[
        str | None,
        typer.Option(
            metavar="BOX", help="Print what was said to this box as a test for pymeasure; serve nothing."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play the boxes' side of a wire log on loopback, each piece once; exit code 1 where something else is said."""
    from instruments.bench import WireLogReplay

    replay = WireLogReplay.load(file)
    if expected_protocol is not None:
        print(replay.expected_protocol(expected_protocol), end="")
        return
    with replay:
        lines = [f"{name}: {resource}" for name, resource in replay.resources.items()]
        answer(as_json, {"resources": replay.resources, "pid": os.getpid()}, lines)
        replay.wait()
