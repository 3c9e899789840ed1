"""How long the array has been left alone, so that its magnetisation can decay meanwhile."""

from mock_hw._array import Clock


class IdleTime:
    """Board time in which nothing was done with the array, over power cycles of the board.

    The array is told of it in whole seconds: the moments between the commands of a program, which are never the
    same twice, then leave a run with a seed as it was, and add up to seconds all the same.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.now()
        self._before = 0.0

    @property
    def seconds(self) -> float:
        """Seconds that the array has not been told of yet."""
        return self._before + max(0.0, self._clock.now() - self._since)

    def take(self) -> float:
        """The whole seconds of them, for the array; what is left is kept."""
        seconds = self.seconds
        self._before, self._since = seconds % 1.0, self._clock.now()
        return seconds - self._before

    def used(self) -> None:
        """The array has been used until now: the time since `take` was not idle."""
        self._since = self._clock.now()

    def go_on(self, clock: Clock) -> None:
        """The board has another clock from now on."""
        self._before, self._since, self._clock = self.seconds, clock.now(), clock
