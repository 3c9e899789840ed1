"""Progress of long commands: a live bar on a terminal, a line every few seconds in a log; rate and time left."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, TaskID, TextColumn
from rich.progress import Task as RichTask
from rich.text import Text

from memtj._pace import Pace
from memtj._quantities import duration, si

_LOG_INTERVAL = 3.0  # s
_SCALED = ("bit", "B")  # units that take SI prefixes; things that are counted do not


def _amount(value: float, unit: str, per: str = "") -> str:
    if unit in _SCALED:
        return si(value, unit + per)
    whole = value >= 100 or (not per and value == int(value))
    return f"{value:.{0 if whole else 1 if value >= 1 else 2}f} {unit}{per}"


def _amounts(completed: float, total: float | None, unit: str, rate: float | None) -> str:
    goal = f" of {_amount(total, unit)}" if total else ""
    speed = f", {_amount(rate, unit, '/s')}" if rate else ""
    left = f", {duration((total - completed) / rate)} left" if rate and total and completed < total else ""
    return f"{_amount(completed, unit)}{goal}{speed}{left}"


class _Amounts(ProgressColumn):
    def render(self, task: RichTask) -> Text:
        return Text(_amounts(task.completed, task.total, task.fields["unit"], task.fields["rate"]))


@dataclass
class Task:
    """One line of progress; `advance_to` may be called as often as one likes."""

    _owner: "ProgressDisplay"
    description: str
    total: float | None
    unit: str
    _pace: Pace
    _rich_id: TaskID | None = None
    _logged: float = -math.inf
    completed: float = 0

    def advance(self, completed: float, total: float) -> None:
        """Set the completed amount and how much there is in all, in the task's unit."""
        if total != self.total and self._rich_id is not None:
            self._owner.live.update(self._rich_id, total=total)
        self.total = total
        self.advance_to(completed)

    def advance_to(self, completed: float) -> None:
        """Set the completed amount, in the task's unit."""
        self.completed = completed
        now = self._owner.clock()
        self._pace.report(now, completed)
        finished = self.total is not None and completed >= self.total
        rate = self._pace.average() if finished else self._pace.rate()
        if self._rich_id is not None:
            self._owner.live.update(self._rich_id, completed=completed, rate=rate)
            return
        if now - self._logged < _LOG_INTERVAL and not finished:
            return
        if finished and self._logged == math.inf:
            return
        self._logged = math.inf if finished else now
        self._owner.console.print(f"{self.description}: {_amounts(completed, self.total, self.unit, rate)}")


class ProgressDisplay:
    """Context manager over the progress lines of one command, written to standard error; `clock` gives seconds."""

    def __init__(self, console: Console | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console or Console(stderr=True, soft_wrap=True, highlight=False)
        self.clock = clock
        self.live = Progress(
            TextColumn("{task.description:<10}"), BarColumn(bar_width=30), _Amounts(), console=self.console
        )

    def __enter__(self) -> "ProgressDisplay":
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def task(self, description: str, total: float | None, unit: str) -> Task:
        """Add a line: what is done, how much there is in all (None = unknown), and its unit ('bit', 'pictures')."""
        rich_id = None
        if self.console.is_terminal:
            rich_id = self.live.add_task(description, total=total, unit=unit, rate=None)
        return Task(self, description, total, unit, Pace(self.clock()), rich_id)

    def say(self, text: str) -> None:
        """Print one line above the progress."""
        self.console.print(text)
