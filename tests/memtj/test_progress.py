"""Lines of progress: what is counted is whole where it is whole, and a rate and a remaining time need time."""

import io
import re

import pytest
from rich.console import Console

from memtj._progress import ProgressDisplay, Task


class Clock:
    """Seconds that pass when a test says so."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def _logged() -> Console:
    return Console(file=io.StringIO(), soft_wrap=True, highlight=False)


def _terminal() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=120, highlight=False)


def _lines(display: ProgressDisplay) -> list[str]:
    assert isinstance(display.console.file, io.StringIO)
    return display.console.file.getvalue().splitlines()


def _bar(display: ProgressDisplay) -> str:
    """What the terminal shows of amounts now."""
    column = display.live.columns[-1]
    return str(column(display.live.tasks[0]))


def _seconds(text: str) -> float | None:
    """The remaining time in a line."""
    left = re.search(r"([\d:]+)( s)? left", text)
    if left is None:
        return None
    seconds = 0
    for part in left[1].split(":"):
        seconds = 60 * seconds + int(part)
    return seconds


def _draw(task: Task, clock: Clock, *, first: float, last: float, by: float, step: float) -> None:
    done = first
    while done < last:
        clock.now += step
        done = min(last, done + by)
        task.advance_to(done)


def test_what_was_done_already_has_no_rate(clock: Clock) -> None:
    with ProgressDisplay(_logged(), clock) as display:
        task = display.task("sampling", 60, "pictures")
        task.advance_to(10)
        clock.now += 0.2
        task.advance_to(60)
    assert _lines(display) == [
        "sampling: 10 pictures of 60 pictures",
        "sampling: 60 pictures of 60 pictures, 250 pictures/s",
    ]


@pytest.mark.parametrize("console", [_logged, _terminal])
def test_the_wait_before_the_first_step_is_no_part_of_the_time_left(console, clock: Clock) -> None:
    """The demo: its sampler waits for a lab and a tuning, then draws 40 pictures in 500 steps of 0.1 s."""
    with ProgressDisplay(console(), clock) as display:
        task = display.task("sampling", 40, "pictures")
        clock.now += 25
        done, shown = 0.0, []
        while done < 40:
            clock.now += 0.1
            done = min(40, done + 0.08)
            task.advance_to(done)
            if done < 40:
                shown.append((_bar(display) if display.console.is_terminal else _lines(display)[-1], done))
    assert "left" not in shown[0][0]
    assert sum("left" in text for text, _ in shown) > 300
    for text, done in shown:
        left = _seconds(text)
        assert left is None or left <= (40 - done) / 0.08 * 0.1 + 4  # a line in a log is up to 3 s old


def test_few_slow_steps_have_a_time_left_from_the_third_on(clock: Clock) -> None:
    with ProgressDisplay(_terminal(), clock) as display:
        task = display.task("drawing", 10, "arms")
        told = []
        for done in (1, 2, 3, 4):
            clock.now += 60
            task.advance_to(done)
            told.append(_seconds(_bar(display)))
    assert told == [None, None, 420, 360]


def test_a_resumed_run_counts_only_what_it_does(clock: Clock) -> None:
    with ProgressDisplay(_logged(), clock) as display:
        task = display.task("training", 3500, "steps")
        _draw(task, clock, first=3000, last=3400, by=1, step=0.1)
    assert _seconds(_lines(display)[-1]) == pytest.approx(10, abs=4)


def test_a_change_of_pace_is_followed(clock: Clock) -> None:
    with ProgressDisplay(_terminal(), clock) as display:
        task = display.task("recording", 1e6, "bit")
        _draw(task, clock, first=0, last=1e5, by=1e3, step=0.1)
        _draw(task, clock, first=1e5, last=2e5, by=1e3, step=1)
        assert _seconds(_bar(display)) == 800


def test_a_task_of_one_step_tells_its_rate_and_one_that_takes_no_time_none(clock: Clock) -> None:
    with ProgressDisplay(_terminal(), clock) as display:
        task = display.task("sampling", 1, "pictures")
        clock.now += 4
        task.advance_to(1)
        assert _bar(display) == "1 pictures of 1 pictures, 0.25 pictures/s"
        task.advance_to(1)
        assert _bar(display) == "1 pictures of 1 pictures, 0.25 pictures/s"
    with ProgressDisplay(_terminal(), clock) as display:
        display.task("sampling", 1, "pictures").advance_to(1)
        assert _bar(display) == "1 pictures of 1 pictures"


def test_a_count_that_begins_again_is_counted_anew(clock: Clock) -> None:
    with ProgressDisplay(_terminal(), clock) as display:
        task = display.task("tuned", 100, "columns")
        _draw(task, clock, first=0, last=50, by=1, step=0.1)
        clock.now += 100
        _draw(task, clock, first=0, last=50, by=1, step=0.1)
        assert _seconds(_bar(display)) == 5
