"""The labs that `memtj lab` serves on this computer: each says in a file of its own where its boxes are."""

import contextlib
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import platformdirs
import psutil

from memtj._errors import CommandError


def own_file() -> Path:
    """Give the file in which a lab of this process says where its boxes are."""
    return _folder() / f"{os.getpid()}.json"


def read_lab(path: Path) -> dict[str, str]:
    """Give the VISA resources of a lab by box, from its file or from what `memtj lab --json` printed."""
    try:
        resources = json.loads(path.read_text("utf-8"))["resources"]
        return {str(name): str(resource) for name, resource in resources.items()}
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}.") from error
    except (ValueError, KeyError, TypeError, AttributeError):
        raise CommandError(f"{path} is not what 'memtj lab --json' prints: start the lab anew.") from None


def running_labs() -> Iterator[tuple[Path, dict[str, str]]]:
    """Give file and VISA resources of every lab that runs; files that killed labs have left are taken away."""
    for path in sorted(_folder().glob("*.json")):
        if not (path.stem.isdecimal() and psutil.pid_exists(int(path.stem))):
            with contextlib.suppress(OSError):
                path.unlink()
            continue
        with contextlib.suppress(CommandError):  # it ends at this moment
            yield path, read_lab(path)


def _folder() -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where no session has a folder for it, one below /tmp serves as well
        return Path(platformdirs.user_runtime_dir("memtj", appauthor=False)) / "labs"
