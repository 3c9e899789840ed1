"""New files of results: nothing is written over, and what cannot be written is refused before the work."""

import contextlib
import datetime
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ._errors import BenchError


def refuse_existing(path: Path) -> None:
    """Raise BenchError where there is such a file: results are never written over."""
    if path.exists():
        raise BenchError(f"{path} exists already: name a new file, results are never written over")


def refuse_unwritable(path: Path) -> None:
    """Raise BenchError where a new file of that name, and the folders above it, could not be made; makes nothing."""
    refuse_existing(path)
    try:
        probe(next(each for each in path.absolute().parents if each.exists()))
    except OSError as error:
        raise BenchError(f"{path} cannot be written ({error.strerror}): name another file") from error


def probe(folder: Path) -> None:
    """Raise OSError where no file can be made in a folder."""
    with tempfile.TemporaryFile(dir=folder):
        pass


def write_whole(path: Path, content: bytes) -> None:
    """Write a new file whole or not at all; raises BenchError where it exists or cannot be written."""
    refuse_existing(path)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink()
        if isinstance(error, OSError):
            raise BenchError(f"{path} cannot be written ({error.strerror}): name another file") from error
        raise


def keep(path: Path, save: Callable[[Path], None], what: str) -> None:
    """Save a result as `path`, or where that fails beside it, in the folder for temporary files, or at home.

    Raises BenchError where it had to go elsewhere, saying where it is, and where it could not be saved at all.
    """
    try:
        return save(path)
    except BenchError as error:
        failure = error
    name = f"{path.stem}-{datetime.datetime.now():%Y%m%dT%H%M%S}-{os.getpid()}{path.suffix}"
    for folder in (path.parent, Path(tempfile.gettempdir()), Path.home()):
        try:
            save(folder / name)
        except BenchError:
            continue
        raise BenchError(
            f"{failure}; the finished {what} is kept in {folder / name}, move it where you want it"
        ) from failure
    raise BenchError(f"{failure}; no other folder takes it either, so the {what} is lost") from failure
