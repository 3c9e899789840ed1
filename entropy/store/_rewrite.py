"""Writing the buffers of a store anew, in the form that every HDF5 since 1.10 reads."""

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .._errors import StoreError
from ..buffer._opening import open_buffer, readable_everywhere, unknown_names
from ..buffer._reader import BufferReader
from ..buffer._room import METADATA_ROOM
from ..ledger import DELETED
from ._anew import alone, in_the_place_of, write_anew
from ._catalogue import BufferInfo
from ._scan import Scanner, default_threads
from ._store import Store

REWRITTEN, CURRENT, LEFT, FAILED = "rewritten", "current", "left", "failed"
_TO_DO = ""


@dataclass(frozen=True)
class RewriteStep:
    """What `rewrite` did to one buffer.

    `path`: of its file, of `bytes`; `outcome`: "rewritten", "current" (older programs read it as it is), "left" (it is
    still recorded, or its recorder was killed) or "failed"; `why`: in a sentence, for the last two.
    """

    buffer: str
    path: Path
    bytes: int
    outcome: str
    why: str = ""


def rewrite(
    path: str | os.PathLike[str], *, progress: Callable[[int, int], None] | None = None
) -> list[RewriteStep]:
    """Write every closed buffer anew that an older HDF5 cannot read, archived ones too where they lie.

    The new file has the same name, uuid, datasets, CRCs and accounts, is read back before it takes the old one's place,
    and bytes that belong to no block are left out. Killed at any moment it leaves one of the two whole, and the next
    call goes on. `progress(done, total)` is called in bytes of files. Raises StoreError, before anything is changed,
    where the store cannot be opened or has no room for its largest buffer beside itself.
    """
    with Store(path, create=False) as store:
        folder = store.path
        infos = [info for info in store.buffers() if info.place != DELETED]
    with alone(folder):
        steps = [_judge(info) for info in infos]
        todo = [step for step in steps if step.outcome == _TO_DO]
        _refuse_without_room(todo)
        total, done = sum(step.bytes for step in todo), 0
        for number, step in enumerate(steps):
            if step.outcome == _TO_DO:
                steps[number] = _carry_out(step)
                done += step.bytes
                if progress is not None:
                    progress(done, total)
    return steps


def _judge(info: BufferInfo) -> RewriteStep:
    step = RewriteStep(info.uuid, info.path, 0, LEFT)
    if info.live:
        return replace(step, why="it is being recorded")
    try:
        with open_buffer(info.path) as file:
            step = replace(step, bytes=info.path.stat().st_size)
            if not file.attrs["complete"]:
                return replace(
                    step, why="its recorder was killed: 'memtj store salvage' closes it in the new form"
                )
            if readable_everywhere(file):
                return replace(step, outcome=CURRENT)
            unknown = unknown_names(file)
    except (OSError, StoreError) as error:
        return replace(step, outcome=FAILED, why=str(error))
    if unknown:
        return replace(
            step,
            outcome=FAILED,
            why=f"it holds {unknown[0]}, which would be lost: use the memtj that wrote it",
        )
    return replace(step, outcome=_TO_DO)


def _refuse_without_room(todo: list[RewriteStep]) -> None:
    for folder in {step.path.parent for step in todo}:
        wanted = max(step.bytes for step in todo if step.path.parent == folder) + METADATA_ROOM
        free = shutil.disk_usage(folder).free
        if free < wanted:
            raise StoreError(
                f"{folder} has {free:,} bytes free and its largest buffer, written anew beside the old one, takes "
                f"{wanted:,}: free some space; nothing was changed"
            )


def _carry_out(step: RewriteStep) -> RewriteStep:
    try:
        with in_the_place_of(step.path) as new:
            write_anew(step.path, new, {})
            _refuse_differences(step.path, new, step.buffer)
    except StoreError as error:
        return replace(step, outcome=FAILED, why=str(error))
    return replace(step, outcome=REWRITTEN, bytes=step.path.stat().st_size)


def _refuse_differences(path: Path, new: Path, buffer: str) -> None:
    """Raise StoreError where the new file holds anything else than the old one, or a damaged block, as that would."""
    with closing(BufferReader(path, buffer)) as one, closing(BufferReader(new, buffer)) as two:
        same = one.rows.tobytes() == two.rows.tobytes() and one.actions().tobytes() == two.actions().tobytes()
        with Scanner(default_threads()) as scanner:
            fault = next(scanner.scan(two, len(two.rows), lambda _: None), None)
        for index in range(len(two.rows)):
            two.commanded(index)
    if fault is not None or one.unsound_rows():
        raise StoreError(
            f"{path} is damaged, so it stays as it is: 'memtj store verify' says where; restore it"
        )
    if not same or _described(path) != _described(new):
        raise StoreError(
            f"{path} reads back otherwise than it was written, so it stays: do not trust this disk"
        )


def _described(path: Path) -> list[tuple[str, bytes, bytes]]:
    """Give all that a buffer says of itself, with its types, but what its block rows check."""
    with open_buffer(path) as opened:
        file: Any = opened
        found = [
            (name, file.attrs.get_id(name).dtype.str.encode(), file.attrs[name].tobytes())
            for name in file.attrs
        ]
        for name in sorted({"cells", "tuning", "resistances"} & set(file)):
            dataset = file[name]
            attributes = [(each, b"", dataset.attrs[each].tobytes()) for each in dataset.attrs]
            found += [(name, repr(dataset.dtype).encode(), dataset[:].tobytes()), *attributes]
    return sorted(found)
