"""New files of results: nothing is written over, and what cannot be written is refused before the work."""

import tempfile
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
