"""Fetching, judging and writing are three threads: what one does holds up no other, and what ends one ends all."""

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from entropy import Recording
from instruments.array import BoardArray
from instruments.array._board_acquisition import BoardAcquisition
from instruments.procedures import RecordBits
from instruments.recording._health import RecordingHealth
from instruments.recording._stage import Stage

CELLS = 32 * 40
BLOCK = CELLS * 200
STEPS = {
    "fetch": (BoardAcquisition, "__next__"),
    "judge": (RecordingHealth, "judge"),
    "write": (Recording, "append"),
}


@pytest.fixture
def ends(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What ends a recording, in its order: the threads are waited for once the output is off."""
    said: list[str] = []
    off, finish = BoardArray.switch_off, Stage.finish

    def switch_off(array: BoardArray) -> None:
        off(array)
        said.append("output off")

    def finished(stage: Stage[Any]) -> None:
        said.append(stage.name)
        finish(stage)

    monkeypatch.setattr(BoardArray, "switch_off", switch_off)
    monkeypatch.setattr(Stage, "finish", finished)
    yield said
    assert said[:3] == ["output off", "block judge", "block writer"]


def instead(monkeypatch: pytest.MonkeyPatch, step: str, change: Callable[[int], None]) -> list[str]:
    """Call `change` with the number of the call before each call of a step; gives the threads that did it."""
    owner, name = STEPS[step]
    original, threads = getattr(owner, name), []

    def changed(*arguments: Any, **more: Any) -> Any:
        threads.append(threading.current_thread().name)
        change(len(threads))
        return original(*arguments, **more)

    monkeypatch.setattr(owner, name, changed)
    return threads


@pytest.mark.parametrize("step", STEPS)
def test_what_fails_in_one_ends_all(record, recorded, monkeypatch, ends, no_thread_is_left, step: str):
    def fail(number: int) -> None:
        if number == 40:
            raise RuntimeError(f"the {step} failed")

    threads = instead(monkeypatch, step, fail)
    with pytest.raises(RuntimeError, match=f"the {step} failed"):
        record()
    assert ends
    no_thread_is_left()
    assert len(threads) == 40
    rows = recorded()
    np.testing.assert_array_equal(rows["sequence"], np.arange(len(rows)))
    assert len(rows) == 39 if step != "fetch" else len(rows) <= 39


def test_each_is_a_thread_of_its_own(record, monkeypatch):
    threads = {step: instead(monkeypatch, step, lambda number: None) for step in STEPS}
    record(bits=10 * BLOCK)
    assert set(threads["judge"]) == {"block judge"}
    assert set(threads["write"]) == {"block writer"}
    assert len(set(threads["fetch"])) == 1
    assert len(threads["judge"]) == len(threads["write"]) == 10


@pytest.mark.parametrize(("mode", "bits"), [("toggle", 12 * BLOCK - 7), ("reset", 12 * BLOCK)])
def test_a_slow_judge_changes_no_count(record, recorded, monkeypatch, mode: str, bits: int):
    """What is missing is known once all is judged: no pulse more is asked for than the bits need."""
    instead(monkeypatch, "judge", lambda number: time.sleep(0.02))
    procedure = record(mode=mode, bits=bits)
    assert procedure.summary is not None
    used = procedure.summary.cells_used
    rows = recorded()
    # Each acquisition asks for as many pulses as the bits need that the ones before have not brought.
    had, pulses = 0, 0
    for sequence, here, made in zip(rows["sequence"], rows["bits"], rows["pulses"], strict=True):
        if sequence == 0 and had:
            assert pulses == 0
        if sequence == 0:
            pulses = -(-(bits - had) // used)
        had, pulses = had + int(here), pulses - int(made)
    assert pulses == 0
    assert bits <= had < bits + used
    assert procedure.summary.bits == had


def test_a_stop_in_the_middle_writes_what_was_fetched(record, recorded, monkeypatch, ends, no_thread_is_left):
    judged = instead(monkeypatch, "judge", lambda number: time.sleep(0.05))

    recordings: list[RecordBits] = []

    def look(procedure: RecordBits) -> None:
        if procedure.progress.blocks > 3:
            recordings.append(procedure)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(look)
    assert ends
    no_thread_is_left()
    account = recordings[0].account
    assert account is not None
    rows = recorded()
    np.testing.assert_array_equal(rows["sequence"], np.arange(len(rows)))
    assert len(rows) == len(judged) == account.delivered > 3


class Doubling(Stage[int]):
    def __init__(self) -> None:
        super().__init__("doubling", 2)
        self.done: list[int] = []

    def work(self) -> None:
        for number in self._given():
            time.sleep(0.01)
            if number < 0:
                raise ValueError(number)
            self.done.append(2 * number)


def test_a_stage_keeps_the_order_and_does_all_that_was_put():
    stage = Doubling()
    stage.start()
    for number in range(20):
        stage.put(number, lambda: None)
        assert number - len(stage.done) < 2
    stage.finish()
    assert stage.done == list(range(0, 40, 2))


def test_a_stage_that_has_failed_says_so_at_once():
    stage = Doubling()
    stage.start()
    for number in (1, -1, 2):
        stage.put(number, lambda: None)
    for ask in (lambda: stage.put(3, lambda: None), stage.check, stage.finish):
        with pytest.raises(ValueError, match="-1"):
            ask()
    assert stage.done == [2]
    assert not stage.is_alive()


def test_what_goes_wrong_while_one_waits_is_raised_once_the_item_has_its_place():
    stage = Doubling()
    stage.put(1, lambda: None)
    stage.put(2, lambda: None)

    def trouble() -> None:
        stage.start()
        raise OSError("the array is gone")

    with pytest.raises(OSError, match="gone"):
        stage.put(3, trouble)
    stage.finish()
    assert stage.done == [2, 4, 6]
