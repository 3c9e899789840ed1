"""File locks that die with their owner, so that a dead owner can be told from a slow one.

POSIX `flock` and Windows byte locks belong to an open file, not to a process, so a probe from the owner's own
process sees the lock too, and closing the probe does not free it (as `fcntl` record locks would).
"""

import contextlib
import errno
import importlib
import os
import time
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ._liveness import Owner

_LOOK = 0.005  # s between looks for a lock that another has, where the system does not wait itself

try:
    import fcntl
except ImportError:  # Windows
    _msvcrt: Any = importlib.import_module("msvcrt")

    def _take(descriptor: int, wait: bool) -> bool:
        while True:
            try:
                _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)  # LK_LOCK looks once a second
                return True
            except OSError as error:
                if error.errno not in (errno.EACCES, errno.EDEADLK):
                    raise
            if not wait:
                return False
            time.sleep(_LOOK)

else:

    def _take(descriptor: int, wait: bool) -> bool:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


class FileLock:
    """Holds the lock of a file until `release`, until it is collected, or until the process ends."""

    def __init__(self, path: Path, *, wait: bool = True) -> None:
        self.path = path
        self._pid = os.getpid()
        self._descriptor, self.held = -1, False
        while not self.held:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            self.held = _take(descriptor, wait)
            if self.held and _is_at(descriptor, path):
                self._descriptor = descriptor
                _HELD.add(self)
                return
            os.close(descriptor)
            if not self.held:
                return
            self.held = False  # somebody removed the file between the two steps: take the lock of a new one

    def release(self, *, remove: bool = False) -> None:
        """Free the lock; `remove` deletes the file as well."""
        if self._descriptor < 0:
            return
        if remove:
            with contextlib.suppress(OSError):  # Windows keeps an open file; whoever cleans up next takes it
                self.path.unlink(missing_ok=True)
        self.forget()

    def forget(self) -> None:
        """Close this process's handle on the lock."""
        descriptor, self._descriptor, self.held = self._descriptor, -1, False
        if descriptor >= 0:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def __del__(self) -> None:
        self.forget()


def _is_at(descriptor: int, path: Path) -> bool:
    """Say whether the open file is the one that the path leads to."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def remove_if_free(path: Path) -> None:
    """Remove a lock file that nobody alive holds; who is about to take it makes another."""
    lock = FileLock(path, wait=False)
    if lock.held:
        lock.release(remove=True)


def is_free(path: Path) -> bool:
    """Say whether nobody alive holds the lock of this file (a missing file is held by nobody)."""
    try:
        # what is only read can be locked, too: on a read-only medium everything is
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except FileNotFoundError:
        return True
    try:
        return _take(descriptor, wait=False)
    finally:
        os.close(descriptor)


@dataclass(frozen=True)
class FileLocks:
    """Whether the owners of one computer are alive (see `Liveness`): each holds the lock of a file in this folder.

    With `read_only` it only looks, and no file is removed.
    """

    folder: Path
    read_only: bool = False

    def __str__(self) -> str:
        return str(self.folder)

    def hold(self, kind: Owner, name: str) -> FileLock:
        """Take the lock of an owner."""
        return FileLock(self._path(kind, name))

    def is_dead(self, kind: Owner, name: str) -> bool:
        """Whether the lock of an owner can be taken."""
        return is_free(self._path(kind, name))

    def forget(self, kind: Owner, name: str) -> None:
        """Remove the file of a dead owner."""
        if not self.read_only:
            with contextlib.suppress(OSError):
                self._path(kind, name).unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the files of all dead owners."""
        if not self.read_only:
            for path in self.folder.glob("*-*.lock"):
                with contextlib.suppress(OSError):
                    remove_if_free(path)

    def _path(self, kind: Owner, name: str) -> Path:
        return self.folder / f"{kind}-{name}.lock"


_HELD: "weakref.WeakSet[FileLock]" = weakref.WeakSet()


def _forget_parents_locks() -> None:
    # A forked child shares the parent's open file; while it lived, a dead parent would seem alive.
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_parents_locks)
