"""`memtj store rewrite`: buffers in the form that every HDF5 reads."""

from typing import TYPE_CHECKING

import typer

from memtj._answer import answer, plain
from memtj._options import AsJson, StorePath
from memtj._quantities import si

if TYPE_CHECKING:
    from entropy import RewriteStep

_WORDS = {"rewritten": "rewritten", "left": "left alone", "failed": "problem"}


def rewrite(path: StorePath, as_json: AsJson = False) -> None:
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
    lines = [
        f"{_WORDS[step.outcome]}: {step.path.name}{_detail(step)}" for step in steps if step.outcome in _WORDS
    ]
    done, current = (sum(step.outcome == name for step in steps) for name in ("rewritten", "current"))
    lines.append(f"{done} of {len(steps)} buffers rewritten; {current} needed nothing.")
    answer(as_json, {"store": path, "buffers": plain(steps)}, lines)
    if any(step.outcome == "failed" for step in steps):
        raise typer.Exit(1)


def _detail(step: "RewriteStep") -> str:
    return f", {si(step.bytes, 'B')}" if step.outcome == "rewritten" else f": {step.why}"
