"""How long the array has been left alone, so that its magnetisation can decay meanwhile."""

from mock_hw._array import Clock


class IdleTime:
    """Board time since the array was last used (or since the first power-on), over power cycles of the board."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.now()
        self._before = 0.0

    @property
    def seconds(self) -> float:
        """Seconds since the last use."""
        return self._before + max(0.0, self._clock.now() - self._since)

    def used(self) -> None:
        """The array has been used until now."""
        self._before, self._since = 0.0, self._clock.now()

    def go_on(self, clock: Clock) -> None:
        """The board has another clock from now on."""
        self._before, self._since, self._clock = self.seconds, clock.now(), clock
