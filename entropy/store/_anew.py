"""Writing a buffer anew beside itself, and putting the new file in its place."""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from .._errors import StoreError
from ..buffer._durable import sync_folder
from ..buffer._format import create_buffer
from ..buffer._opening import open_buffer
from ..buffer._reader import BufferReader
from ..buffer._room import METADATA_ROOM, allocate, end_of_file, why
from ..buffer._rows import bytes_of
from ..ledger import FileLock

_PIECE = 8 << 20


@contextlib.contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Be the only one that puts other files in the place of a store's, or takes them away; raises StoreError else."""
    lock = FileLock(folder / "locks" / "salvage.lock", wait=False)
    if not lock.held:
        raise StoreError(f"{folder} is being salvaged, rewritten or pruned by another program: wait for it")
    try:
        yield
    finally:
        lock.release(remove=True)


@contextlib.contextmanager
def in_the_place_of(path: Path) -> Iterator[Path]:
    """Give the path for a new file, which takes the place of the one at `path` once this is left normally.

    Killed at any moment it leaves one of the two whole at `path`; the other may be left beside it, until the next time.
    Raises StoreError where the new one cannot be written; the old one stays then.
    """
    new = path.with_name(path.name + ".partial")
    try:
        new.unlink(missing_ok=True)
        yield new
        shutil.copymode(path, new)
        with open(new, "r+b") as written:
            os.fsync(written.fileno())
        os.replace(new, path)
        sync_folder(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        if isinstance(error, OSError | RuntimeError | ValueError):
            raise StoreError(f"{path} cannot be written anew: {why(error)}; it stays as it was") from error
        raise


def write_anew(path: Path, new: Path, changed: Mapping[str, Any]) -> None:
    """Copy the committed blocks of a buffer, and all that it knows of them, into a new file, with `changed` attributes.

    Raises StoreError where it cannot be read, OSError where the new one cannot be written.
    """
    with contextlib.closing(BufferReader(path)) as reader, open_buffer(path) as source:
        _copy(source, reader, new, changed)


def _copy(source: Any, reader: BufferReader, new: Path, changed: Mapping[str, Any]) -> None:
    sample = source.get("resistances")
    room = 0 if sample is None else int(sample.attrs["room"])
    file: Any = create_buffer(
        new, dict(source.attrs.items()) | dict(changed), reader.cells(), room, reader.tuning(),
        actions=reader.has_actions, commanded=reader.has_commanded,
    )  # fmt: skip
    with open(new, "r+b") as beside:
        try:
            allocate(beside.fileno(), new, os.path.getsize(reader.path) + METADATA_ROOM)
            _copy_rows(source, reader, file, sample)
        finally:
            file.close()
        beside.truncate(end_of_file(new))


def _copy_rows(source: Any, reader: BufferReader, file: Any, sample: Any) -> None:
    rows, changed = reader.rows, reader.actions()
    for name, end in zip(("bits", "valid"), bytes_of(rows).tolist(), strict=True):
        _copy_column(source[name], file[name], end)
    if reader.has_commanded:
        _copy_column(source["commanded"], file["commanded"], int(reader.commanded_ends[-1]) // 2)
    if sample is not None:
        _copy_column(sample, file["resistances"], sample.shape[0])
    if reader.has_actions:
        file["actions"].resize((len(changed),))
        file["actions"][:] = changed
    file["blocks"].resize((len(rows),))
    file["blocks"][:] = rows


def _copy_column(source: Any, target: Any, end: int) -> None:
    target.resize((end,))
    step = _PIECE // source.dtype.itemsize
    for at in range(0, end, step):
        target[at : min(at + step, end)] = source[at : min(at + step, end)]
