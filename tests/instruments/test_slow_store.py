"""A store that is slow: the board waits and counts it, its watchdog is fed, and no bit is lost."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entropy import BlockFacts, Recording, Store
from instruments import Bench, run
from instruments.procedures import RecordBits, RecordingProgress

BLOCK = 32 * 40 * 200
BLOCKS = 30
# Blocks in memory: one is being written, three wait, one is judged, one is to be handed over.
WAITING = 1 + 3 + 1 + 1


@pytest.fixture
def recorder(bench_file: Path, tmp_path: Path, wire) -> Callable[..., RecordBits]:
    """Run a recording over a small FIFO with the shortest watchdog, and return its procedure."""
    wire.send("SIM:FAUL:FIFO 2")

    def recorded(
        look: Callable[[RecordBits], None] = lambda procedure: None, **parameters: Any
    ) -> RecordBits:
        chosen = {
            "mode": "toggle",
            "bits": BLOCKS * BLOCK,
            "block_bits": BLOCK,
            "calibrate": False,
            **parameters,
        }
        with Bench.from_toml(bench_file) as bench, Store(tmp_path / "store") as store:
            procedure = RecordBits(bench=bench, store=store, watchdog=1.0, **chosen)
            run(procedure, tmp_path / "rows.csv", lambda progress: look(procedure))
        return procedure

    return recorded


def rows_of(folder: Path, wire: Any) -> np.ndarray:
    assert not wire.output_is_on()
    assert wire.ask("SYST:WATC:TRIP?") == "0"
    with Store(folder / "store") as store:
        report, accounts = store.verify(), store.accounts()
        rows = store.rows(store.buffers()[0].uuid)
    assert report.ok, report.problems
    assert accounts.balanced
    assert accounts.recorded == rows["bits"].sum()
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [2.5, 8.0])
def test_a_commit_that_takes_longer_than_the_watchdog(
    recorder, tmp_path: Path, wire, monkeypatch, seconds: float
):
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

    procedure = recorder(look)
    assert board == ["2,2;STALL"]
    assert max(fetched) == WAITING
    rows = rows_of(tmp_path, wire)
    np.testing.assert_array_equal(rows["sequence"], np.arange(BLOCKS))
    assert procedure.summary is not None
    assert procedure.summary.stalls == rows["stalled"].sum() > 0
    assert (procedure.summary.lost_blocks, procedure.summary.acquisitions) == (0, 1)


def test_stalls_add_up_over_acquisitions(recorder, tmp_path: Path, wire, monkeypatch):
    """Lost blocks are made up for by another acquisition, whose stalls the board counts from 0."""
    append = Recording.append

    def slow(*arguments: Any, **more: Any) -> Any:
        time.sleep(0.03)
        return append(*arguments, **more)

    monkeypatch.setattr(Recording, "append", slow)
    wire.send("SIM:FAUL:SKIP 8,5")
    summary = recorder().summary
    rows = rows_of(tmp_path, wire)
    assert summary is not None
    assert (summary.acquisitions, summary.lost_blocks, summary.blocks) == (2, 5, BLOCKS)
    second = int(np.flatnonzero(rows["sequence"] == 0)[1])
    assert rows["stalled"][:second].any()
    assert rows["stalled"][second:].any()
    # The board may have stalled before the lost ones too.
    assert rows["stalled"].sum() <= summary.stalls <= rows["stalled"].sum() + 5


def test_a_ledger_that_is_slow_to_answer_starves_no_watchdog(recorder, tmp_path: Path, wire, monkeypatch):
    """Whether consumers have fallen behind is asked of the ledger, which may wait for the disk or for others."""
    backlog, asked = Store.backlog, []

    def slow(store: Store) -> Any:
        asked.append(store)
        time.sleep(2.0 if len(asked) == 1 else 0.0)
        return backlog(store)

    def look(procedure: RecordBits) -> None:
        progress: RecordingProgress = procedure.progress
        if len(asked) > 3 and progress.waiting:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Store, "backlog", slow)
        with pytest.raises(KeyboardInterrupt):
            recorder(look, bits=0, ahead=10 * BLOCK)
    np.testing.assert_array_equal(rows_of(tmp_path, wire)["sequence"], np.arange(10))
