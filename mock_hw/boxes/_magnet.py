"""One simulated electromagnet: a coil whose current follows its supply as its inductance lets it, and its field."""

import contextlib
import math
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

from mock_hw._arguments import Real, takes
from mock_hw._clock import Clock

_SETTLED = 14.0  # time constants after which a current has arrived, to a millionth
_STEPS, _MOST_STEPS = 10, 100  # in which a changing field acts: in a time constant, and at all


class InField(Protocol):
    """What stands in the field of a magnet: it is told before the field takes another course."""

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while it acts, and taken before that of the magnet."""
        ...

    def catch_up(self) -> None:
        """Let the time that has passed act, in the field that there was."""
        ...


@dataclass(frozen=True)
class Source:
    """What a supply puts across a coil: `volts[k]` while the current is between `bounds[k - 1]` and `bounds[k]`.

    Amperes rise, volts do not; at a bound from which both sides lead back to it the current is held.
    """

    bounds: tuple[float, ...]
    volts: tuple[float, ...]


OFF = Source((), (0.0,))


@dataclass(frozen=True)
class _Stretch:
    """From `since` on the current goes from `start` `towards` a value that it never exceeds, in amperes."""

    since: float
    start: float
    towards: float


class Magnet:
    """A coil of `resistance` ohms and `inductance` henries that makes `field_per_ampere` tesla, out of plane.

    Its `clock` is that of all that stands in its field. A supply calls `drive` with its own lock held alone: locks are
    taken in the order of supply, junctions, magnet.
    """

    @takes(field_per_ampere=Real(above=0), resistance=Real(above=0), inductance=Real(above=0))
    def __init__(
        self,
        *,
        field_per_ampere: float,
        resistance: float,
        inductance: float,
        clock: Callable[[], Clock] = Clock,
    ) -> None:
        self.field_per_ampere, self.resistance = field_per_ampere, resistance
        self.clock = clock()
        self.around: list[InField] = []
        self._tau = inductance / resistance
        self._lock = threading.RLock()
        self._course: Sequence[_Stretch] = [_Stretch(-math.inf, 0.0, 0.0)]

    def drive(self, source: Source) -> None:
        """Have a supply put out this from now on."""
        with contextlib.ExitStack() as held:
            for each in self.around:
                held.enter_context(each.lock)
                each.catch_up()
            with self._lock:
                now = self.clock.now()
                start = self.amperes(now)
                self._course = [_Stretch(-math.inf, start, start), *self._to_come(source, now, start)]

    def amperes(self, time: float | None = None) -> float:
        """The current now, or at a time of its clock since the last `drive`; before that, what it was then."""
        stretch, elapsed = self._stretch_at(time)
        return stretch.towards + (stretch.start - stretch.towards) * math.exp(-elapsed / self._tau)

    def volts(self, time: float | None = None) -> float:
        """Volts across it, as `amperes`."""
        return self._stretch_at(time)[0].towards * self.resistance

    def field(self, time: float | None = None) -> float:
        """Tesla, as `amperes`."""
        return self.field_per_ampere * self.amperes(time)

    def fields(self, start: float, end: float) -> list[tuple[float, float]]:
        """The field between two times since the last `drive`, as (seconds, tesla) of short steps."""
        with self._lock:
            last = self._course[-1]
            settled = last.since + (_SETTLED * self._tau if last.start != last.towards else 0.0)
            turn = min(max(start, settled), end)
            count = min(math.ceil((turn - start) / self._tau * _STEPS), _MOST_STEPS)
            times = [start + (turn - start) * n / count for n in range(count)] + [turn]
            steps = [(after - before, self.field((before + after) / 2)) for before, after in pairwise(times)]
            return [*steps, (end - turn, self.field(end))]

    def _stretch_at(self, time: float | None) -> tuple[_Stretch, float]:
        with self._lock:
            now = self.clock.now() if time is None else time
            stretch = next(each for each in reversed(self._course) if each.since <= now)
            return stretch, now - stretch.since

    def _to_come(self, source: Source, since: float, start: float) -> list[_Stretch]:
        """The course of the current under a source, from region to region of it."""
        bounds, goals = source.bounds, [volts / self.resistance for volts in source.volts]
        course: list[_Stretch] = []
        at = sum(bound < start for bound in bounds)
        while True:
            goal = goals[at]
            course.append(_Stretch(since, start, goal))
            if at < len(bounds) and goal > bounds[at]:
                edge, step = bounds[at], 1
            elif at > 0 and goal < bounds[at - 1]:
                edge, step = bounds[at - 1], -1
            else:
                return course
            since += self._tau * math.log((goal - start) / (goal - edge))
            at, start = at + step, edge
            if (goals[at] - edge) * step <= 0:
                return [*course, _Stretch(since, edge, edge)]
