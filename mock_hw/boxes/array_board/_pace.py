"""How board time passes while pulses are simulated: as fast as the computer can, or as slow as the device is."""

import time
from collections.abc import Callable
from typing import Protocol

from mock_hw._array import Clock

# Sleeps are this short so that an abort is seen at once.
_SLEEP = 0.01
# A computer that is slower than the device is not allowed to make up for more than this.
_MOST_BEHIND = 0.25


class Pace(Protocol):
    """What an acquisition needs to know of time; seconds by the board's clock throughout."""

    def begin(self) -> None:
        """Pulses begin, or go on after a stall."""
        ...

    def end(self) -> None:
        """Pulses have ended, or a stall begins."""
        ...

    def now(self) -> float:
        """Board time of the next pulse."""
        ...

    def spend(self, seconds: float, go_on: Callable[[], bool]) -> None:
        """Pulses that take `seconds` have been simulated; return when they are over, or `go_on` says no."""
        ...


class AsFastAsPossible:
    """Board time jumps by what the pulses take, however long their simulation took."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def begin(self) -> None:
        """The clock stops following the computer's."""
        self._clock.freeze()

    def end(self) -> None:
        """The clock follows the computer's again."""
        self._clock.thaw()

    def now(self) -> float:
        """What the clock says."""
        return self._clock.now()

    def spend(self, seconds: float, go_on: Callable[[], bool]) -> None:
        """Advance the clock."""
        self._clock.advance(seconds)


class AsSlowAsTheDevice:
    """The clock follows the computer's all the time, and pulses wait until they are due."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due = 0.0

    def begin(self) -> None:
        """The next pulse is due now."""
        self._due = self._clock.now()

    def end(self) -> None:
        """Nothing to do: the clock has never stopped."""

    def now(self) -> float:
        """When the next pulse is due: free of the computer's hesitations, as a board's own timer is."""
        return self._due

    def spend(self, seconds: float, go_on: Callable[[], bool]) -> None:
        """Wait until the pulse after these is due."""
        self._due = max(self._due + seconds, self._clock.now() - _MOST_BEHIND)
        while go_on() and (left := self._due - self._clock.now()) > 0:
            time.sleep(min(left, _SLEEP))


PACES: dict[str, Callable[[Clock], Pace]] = {"fast": AsFastAsPossible, "real": AsSlowAsTheDevice}
