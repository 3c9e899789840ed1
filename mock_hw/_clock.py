"""How time passes in the lab: at rest, while something is simulated, and while an array is left alone."""

import threading
import time
from collections.abc import Callable

# Sleeps are this short so that an abort is seen at once.
_SLEEP = 0.01
# A computer that is slower than the device is not allowed to make up for more than this.
_MOST_BEHIND = 0.25


class Clock:
    """A board's clock, in seconds since power-on; it follows the computer's.

    While pulses are simulated it jumps by what they take, however long their simulation took.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._time = 0.0
        self._since: float | None = time.monotonic()

    def now(self) -> float:
        """Seconds since power-on."""
        with self._lock:
            return self._now()

    def advance(self, seconds: float) -> None:
        """Let simulated `seconds` pass."""
        with self._lock:
            self._time += seconds

    def begin(self) -> None:
        """Pulses begin, or go on after a stall."""
        with self._lock:
            self._time, self._since = self._now(), None

    def end(self) -> None:
        """Pulses have ended, or a stall begins."""
        with self._lock:
            self._time, self._since = self._now(), time.monotonic()

    def due(self) -> float:
        """The time of the next pulse."""
        return self.now()

    def spend(self, seconds: float, go_on: Callable[[], bool]) -> None:
        """Pulses that take `seconds` have been simulated; return when they are over, or `go_on` says no."""
        self.advance(seconds)

    def wait(self, seconds: float) -> None:
        """Let what takes `seconds` have taken them: several threads may, on one clock."""
        self.advance(seconds)

    def _now(self) -> float:
        return self._time if self._since is None else self._time + time.monotonic() - self._since


class RealClock(Clock):
    """A clock that follows the computer's all the time: pulses wait until they are due."""

    _due = 0.0

    def begin(self) -> None:
        """The next pulse is due now."""
        self._due = self.now()

    def end(self) -> None:
        """Nothing to do: the clock has never stopped."""

    def due(self) -> float:
        """When the next pulse is due: free of the computer's hesitations, as a board's own timer is."""
        return self._due

    def spend(self, seconds: float, go_on: Callable[[], bool]) -> None:
        """Wait until the pulse after these is due."""
        self._due = max(self._due + seconds, self.now() - _MOST_BEHIND)
        while go_on() and (left := self._due - self.now()) > 0:
            time.sleep(min(left, _SLEEP))

    def wait(self, seconds: float) -> None:
        """Wait for so long."""
        time.sleep(seconds)


PACES: dict[str, type[Clock]] = {"fast": Clock, "real": RealClock}


class IdleTime:
    """Board time in which nothing was done with the array, over power cycles of the board.

    The array is told of it in whole seconds, unless a draw needs to know better: the moments between the commands of
    a program, which are never the same twice, then leave a run with a seed as it was, and add up to seconds all the
    same.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.now()
        self._before = 0.0

    @property
    def seconds(self) -> float:
        """Seconds that the array has not been told of yet."""
        return self._before + max(0.0, self._clock.now() - self._since)

    def take(self, *, whole: bool = True) -> float:
        """The seconds of them, for the array; where only `whole` ones are given, what is left is kept."""
        seconds = self.seconds
        self._before, self._since = seconds % 1.0 if whole else 0.0, self._clock.now()
        return seconds - self._before

    def used(self) -> None:
        """The array has been used until now: the time since `take` was not idle."""
        self._since = self._clock.now()

    def go_on(self, clock: Clock) -> None:
        """The board has another clock from now on."""
        self._before, self._since, self._clock = self.seconds, clock.now(), clock
