"""`memtj store rewrite`: buffers in the form that every HDF5 reads."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from memtj._quantities import si


def rewrite(
    path: Annotated[Path, typer.Argument(help="Folder of the store.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write every closed buffer anew that an older HDF5 than ours cannot read; nothing is lost and no bit is spent.

    A new file is read back before it takes the old one's place, with the same name, blocks and accounts; pictures are
    replayed as before. It may be interrupted at any moment and called again. Buffers that are being recorded are left
    alone. Exit code 1 if one could not be written anew.
    """
    import entropy
    from memtj._progress import ProgressDisplay

    with ProgressDisplay() as display:
        task = display.task("rewriting", None, "B")
        steps = entropy.rewrite(path, progress=task.advance)
    if as_json:
        rows = [{**asdict(step), "path": str(step.path)} for step in steps]
        print(json.dumps({"store": str(path), "buffers": rows}))
    else:
        for step in steps:
            match step.outcome:
                case "rewritten":
                    print(f"rewritten: {step.path.name}, {si(step.bytes, 'B')}")
                case "left":
                    print(f"left alone: {step.path.name}: {step.why}")
                case "failed":
                    print(f"problem: {step.path.name}: {step.why}")
        counts = {name: sum(step.outcome == name for step in steps) for name in ("rewritten", "current")}
        print(f"{counts['rewritten']} of {len(steps)} buffers rewritten; {counts['current']} needed nothing.")
    if any(step.outcome == "failed" for step in steps):
        raise typer.Exit(1)
