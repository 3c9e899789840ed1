"""How fast a task goes on: an estimate that says nothing until it knows, and forgets how it began."""

from collections import deque
from dataclasses import dataclass, field

_WINDOW = 30.0  # s that an estimate looks back …
_LEAST = 3  # … or so many reports, where they come more seldom; before them there is no estimate
_SHORT = 1.0  # s; what was done in less says nothing of a rate
_INSTANT = 0.1  # s; nor what a task did in all


@dataclass
class Pace:
    """The reports of a task, begun at `started` (s), and what follows from them.

    The first report is where counting begins: what lies before it is the wait for something else (tuning, bits, a
    compiler) or what an earlier run had done already, and would make hours out of minutes or minutes out of hours.
    """

    started: float
    _first: tuple[float, float] | None = None
    _recent: deque[tuple[float, float]] = field(default_factory=deque)

    def report(self, now: float, completed: float) -> None:
        """Note that so much is done by `now` (s)."""
        if self._recent and completed < self._recent[-1][1]:  # it begins again
            self._first = None
            self._recent.clear()
        if completed <= 0 or (self._recent and completed == self._recent[-1][1]):
            return
        self._first = self._first or (now, completed)
        self._recent.append((now, completed))
        while len(self._recent) > _LEAST and self._recent[1][0] < now - _WINDOW:
            self._recent.popleft()

    def rate(self) -> float | None:
        """Units a second by the latest reports; None until there are enough of them."""
        if len(self._recent) < _LEAST:
            return None
        (since, before), (last, completed) = self._recent[0], self._recent[-1]
        return (completed - before) / (last - since) if last - since >= _SHORT else None

    def average(self) -> float | None:
        """Units a second over everything; None where it took no time that could be told."""
        if self._first is None:
            return None
        last, completed = self._recent[-1]
        since, before = self._first if self._first[0] < last else (self.started, 0.0)
        return (completed - before) / (last - since) if last - since > _INSTANT else None
