"""A lock of a file that dies with its process."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold the lock of a file, which is made and removed; without `wait`, say whether it could be had."""
    from entropy import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, wait=wait)
    try:
        yield lock.held
    finally:
        lock.release(remove=True)
