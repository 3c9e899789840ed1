"""Putting files on the disk: a thread for one that grows, so that a power cut costs seconds at most, and folders."""

import os
import threading
import weakref
from pathlib import Path


class PeriodicSync:
    """Calls fdatasync on a file every `seconds` in a thread of its own, until `stop`.

    The thread holds a descriptor of its own and nothing else: neither a file that is closed beside it nor an
    owner that is forgotten without `stop` leaves anything open.
    """

    def __init__(self, descriptor: int, seconds: float) -> None:
        self._ended, self._errors = threading.Event(), list[OSError]()
        self._thread = threading.Thread(
            target=_sync_until,
            args=(self._ended, os.dup(descriptor), seconds, self._errors),
            name="buffer to disk",
            daemon=True,
        )
        self._thread.start()
        weakref.finalize(self, self._ended.set).atexit = False

    @property
    def error(self) -> OSError | None:
        """What the disk refused, if it did: the system may have dropped what it could not write, so the thread ends
        with it and the file should not grow on."""
        return self._errors[0] if self._errors else None

    def stop(self) -> None:
        """End the thread, waiting for a sync that is under way; harmless when repeated."""
        self._ended.set()
        self._thread.join()


def _sync_until(ended: threading.Event, descriptor: int, seconds: float, errors: list[OSError]) -> None:
    # macOS and Windows have no fdatasync
    sync = getattr(os, "fdatasync", os.fsync)
    try:
        while not ended.wait(seconds):
            sync(descriptor)
    except OSError as error:
        errors.append(error)
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Put a folder's names on the disk, where the system knows how to."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
