"""A board's clock."""

import threading
import time


class Clock:
    """A board's clock: follows the computer's, and advances by the pulses' time while they are simulated."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._time = 0.0
        self._since: float | None = time.monotonic()

    def now(self) -> float:
        """Seconds since power-on."""
        with self._lock:
            return self._now()

    def freeze(self) -> None:
        """Stop following the computer's clock."""
        with self._lock:
            self._time, self._since = self._now(), None

    def advance(self, seconds: float) -> None:
        """Let simulated `seconds` pass."""
        with self._lock:
            self._time += seconds

    def thaw(self) -> None:
        """Follow the computer's clock again."""
        with self._lock:
            self._time, self._since = self._now(), time.monotonic()

    def _now(self) -> float:
        return self._time if self._since is None else self._time + time.monotonic() - self._since
