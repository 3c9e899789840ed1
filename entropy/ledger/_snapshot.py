"""A ledger as it is at one moment, in memory: for those who only look, also where nothing can be written."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .._errors import StoreError

_TRIES = 20  # of a copy during which nobody has written the file
_MEMORY = Path("/dev/shm")  # a folder that a full disk does not touch


def ledger_snapshot(path: Path) -> sqlite3.Connection:
    """Give the committed content of a ledger as a database in memory; no file of the store is made or changed.

    Where SQLite cannot work in the folder (a read-only medium, a full disk), the ledger and the log of its last
    changes, which SQLite reads only where it may write an index beside them, are copied and read elsewhere. Raises
    StoreError where that cannot be either, and what sqlite3 raises for a file that is none.
    """
    into = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    try:
        try:
            _read(path, into)
        except sqlite3.OperationalError:
            with scratch_folder() as folder:
                _read(copy_ledger(path, folder), into)
    except BaseException:
        into.close()
        raise
    return into


def _read(path: Path, into: sqlite3.Connection) -> None:
    # Whoever closes a ledger last writes its log into it; who only reads makes an empty log, and leaves it lying.
    mode = "ro" if _state(path)[2] else "rw"
    name = f"{path.absolute().as_uri()}?mode={mode}"
    with contextlib.closing(sqlite3.connect(name, uri=True, timeout=60, isolation_level=None)) as source:
        source.backup(into)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Give a folder for copies of ledgers, away from the store, and remove it."""
    shelf = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="memtj-", dir=shelf) as folder:
        yield Path(folder)


def copy_ledger(path: Path, folder: Path) -> Path:
    """Copy a ledger and its log, as they were at one moment: another host may be writing what is read-only here.

    Raises StoreError where it cannot be copied.
    """
    log, copy = _log(path), folder / path.name
    try:
        for _ in range(_TRIES):
            before = _state(path)
            shutil.copyfile(path, copy)
            _log(copy).unlink(missing_ok=True)
            if log.exists():
                shutil.copyfile(log, _log(copy))
            if _state(path) == before:
                return copy
    except OSError as error:
        raise StoreError(
            f"{path} cannot be copied to {folder} to be read ({error.strerror or error}): make room there"
        ) from None
    raise StoreError(f"{path} changes faster than it can be copied: try again when less is recorded")


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _state(path: Path) -> tuple[int, int, bytes]:
    """Size and time of the ledger and the head of its log, which differ once it was begun anew.

    That the log grows does no harm, nor does what is written from it into the ledger: the copy has both.
    """
    told = path.stat()
    try:
        with open(_log(path), "rb") as file:
            return told.st_mtime_ns, told.st_size, file.read(32)
    except FileNotFoundError:
        return told.st_mtime_ns, told.st_size, b""
