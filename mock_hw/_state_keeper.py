"""When the state of a laboratory is written: whenever an array is left alone, and at the end."""

import logging
import threading
from collections.abc import Callable, Mapping

from mock_hw._errors import LabError
from mock_hw._state_file import BoxState, LabState, StateFile

log = logging.getLogger(__name__)

# At most one write in so many seconds: a host may run thousands of short acquisitions.
_PAUSE = 1.0


class StateKeeper:
    """Writes the state from a thread of its own, off the way of commands and pulses, until `close`.

    `look` gives each box's state, None for one whose pulses are running: of that one the last state is kept,
    so that a process that is killed loses the running acquisition and nothing else.
    """

    def __init__(self, file: StateFile, seed: int, look: Callable[[], Mapping[str, BoxState | None]]) -> None:
        self._file = file
        self._seed = seed
        self._look = look
        self._boxes: dict[str, BoxState] = {}
        self._touched = threading.Event()
        self._ended = threading.Event()
        self.save()  # at once: a file that cannot be written is found now, not at the end
        self._thread = threading.Thread(target=self._main, name="lab state", daemon=True)
        self._thread.start()

    def touch(self) -> None:
        """An array has been used and is left alone again; does not wait."""
        self._touched.set()

    def save(self) -> None:
        """Write what there is now."""
        self._boxes |= {name: state for name, state in self._look().items() if state is not None}
        self._file.write(LabState(self._seed, self._boxes))

    def close(self) -> None:
        """Write for the last time; the boxes must be still."""
        self._ended.set()
        self._touched.set()
        self._thread.join()
        self.save()

    def _main(self) -> None:
        while True:
            self._touched.wait()
            self._touched.clear()
            if self._ended.is_set():
                return
            try:
                self.save()
            except LabError as error:
                log.error("%s", error)
            self._ended.wait(_PAUSE)
