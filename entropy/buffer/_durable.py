"""The thread that puts a growing file on the disk now and then, so that a power cut costs seconds at most."""

import os
import threading
import weakref


class PeriodicSync:
    """Calls fdatasync on a file every `seconds` in a thread of its own, until `stop`.

    The thread holds a descriptor of its own and nothing else: neither a file that is closed beside it nor an
    owner that is forgotten without `stop` leaves anything open. `error` is the first failure; after one the
    system may have dropped what it could not write, so the thread ends and the file should not grow on.
    """

    def __init__(self, descriptor: int, seconds: float) -> None:
        self._state = _State(os.dup(descriptor), seconds)
        self._thread = threading.Thread(target=self._state.run, name="buffer to disk", daemon=True)
        self._thread.start()
        weakref.finalize(self, self._state.ended.set).atexit = False

    @property
    def error(self) -> OSError | None:
        """What the disk refused, if it did."""
        return self._state.error

    def stop(self) -> None:
        """End the thread, waiting for a sync that is under way; harmless when repeated."""
        self._state.ended.set()
        self._thread.join()


class _State:
    def __init__(self, descriptor: int, seconds: float) -> None:
        self.ended = threading.Event()
        self.error: OSError | None = None
        self._descriptor = descriptor
        self._seconds = seconds

    def run(self) -> None:
        # macOS and Windows have no fdatasync
        sync = getattr(os, "fdatasync", os.fsync)
        try:
            while not self.ended.wait(self._seconds):
                sync(self._descriptor)
        except OSError as error:
            self.error = error
        finally:
            os.close(self._descriptor)
