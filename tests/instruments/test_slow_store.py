"""A store that is slow: the board waits and counts it, its watchdog is fed, and no bit is lost."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from entropy import BlockFacts, Recording, Store
from instruments.procedures import RecordBits

from .conftest import Enough

BLOCK = 32 * 40 * 200
BLOCKS = 30
# Blocks in memory: one is being written, three wait, one is judged, one is to be handed over.
WAITING = 1 + 3 + 1 + 1


RECORDING = {"bits": BLOCKS * BLOCK, "watchdog": 1.0}


@pytest.fixture
def record(record: Callable[..., RecordBits], wire) -> Callable[..., RecordBits]:
    """Record over a small FIFO with the shortest watchdog."""
    wire.send("SIM:FAUL:FIFO 2")
    return record


@pytest.fixture
def recorded(recorded: Callable[[], np.ndarray], wire) -> Callable[[], np.ndarray]:
    """The block rows of a recording that the watchdog has not ended."""

    def rows_of() -> np.ndarray:
        assert wire.ask("SYST:WATC:TRIP?") == "0"
        return recorded()

    return rows_of


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.5, 8.0])
def test_a_commit_that_takes_longer_than_the_watchdog(record, recorded, wire, monkeypatch, seconds: float):
    """What was made meanwhile waits in the board, which stops pulsing, and a few blocks in memory."""
    append, fetched, board = Recording.append, [], []

    def slow(recording: Recording, bits: np.ndarray, count: int, facts: BlockFacts, **more: Any) -> Any:
        if facts.sequence == 3:
            time.sleep(seconds)
            board.append(wire.ask("ACQ:FIFO?;STAT?"))
        return append(recording, bits, count, facts, **more)

    monkeypatch.setattr(Recording, "append", slow)

    def look(procedure: RecordBits) -> None:
        if procedure.account is not None:
            fetched.append(procedure.account.delivered - procedure.account.counts.blocks)

    procedure = record(look)
    assert board == ["2,2;STALL"]
    assert max(fetched) == WAITING
    rows = recorded()
    np.testing.assert_array_equal(rows["sequence"], np.arange(BLOCKS))
    assert procedure.summary is not None
    assert procedure.summary.stalls == rows["stalled"].sum() > 0
    assert (procedure.summary.lost_blocks, procedure.summary.acquisitions) == (0, 1)


def test_stalls_add_up_over_acquisitions(record, recorded, wire, monkeypatch):
    """Lost blocks are made up for by another acquisition, whose stalls the board counts from 0."""
    append = Recording.append

    def slow(*arguments: Any, **more: Any) -> Any:
        time.sleep(0.03)
        return append(*arguments, **more)

    monkeypatch.setattr(Recording, "append", slow)
    wire.send("SIM:FAUL:SKIP 8,5")
    summary = record().summary
    rows = recorded()
    assert summary is not None
    assert (summary.acquisitions, summary.lost_blocks, summary.blocks) == (2, 5, BLOCKS)
    second = int(np.flatnonzero(rows["sequence"] == 0)[1])
    assert rows["stalled"][:second].any()
    assert rows["stalled"][second:].any()
    # The board may have stalled before the lost ones too.
    assert rows["stalled"].sum() <= summary.stalls <= rows["stalled"].sum() + 5


def test_a_ledger_that_is_slow_to_answer_starves_no_watchdog(record, recorded, wire, monkeypatch):
    """Whether consumers have fallen behind is asked of the ledger, which may wait for the disk or for others."""
    backlog, asked = Store.backlog, []

    def slow(store: Store) -> Any:
        asked.append(store)
        time.sleep(2.0 if len(asked) == 1 else 0.0)
        return backlog(store)

    def look(procedure: RecordBits) -> None:
        if len(asked) > 3 and procedure.progress.waiting:
            raise Enough

    with monkeypatch.context() as patch:
        patch.setattr(Store, "backlog", slow)
        record(look, bits=0, ahead=10 * BLOCK)
    np.testing.assert_array_equal(recorded()["sequence"], np.arange(10))
