"""Cells that go bad while RecordBits records: found, left out, withheld; and a recording that is stopped."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers import ArrayBoard
from entropy import Store, cell_statistics
from entropy.quality.health import Cutoffs, HealthFlag
from instruments import BenchError
from instruments.array import Block
from instruments.procedures import RecordBits, RecordingSummary
from instruments.recording._health import RecordingHealth
from tests.conftest import missing

from .conftest import table

CELLS = 32 * 40
PULSES = 8192  # of a block; the simulated cells follow a new fault after 65,536 pulses at most
BLOCK = CELLS * PULSES
NAMED = "failed while recording (repetition count)"


RECORDING = {"bits": 40 * BLOCK, "block_bits": BLOCK, "calibrate": True}


@pytest.fixture
def record(record: Callable[..., RecordBits], wire) -> Callable[..., RecordingSummary | None]:
    """Record; `faults` are sent when some blocks are there, by when the board is a few blocks ahead at most."""

    def faulty(faults: Sequence[str] = (), **parameters: Any) -> RecordingSummary | None:
        wire.send("SIM:FAUL:FIFO 2;RATE 30e6")
        waiting = list(faults)

        def look(procedure: RecordBits) -> None:
            while procedure.progress.blocks >= 3 and waiting:
                wire.send(waiting.pop(0))

        return record(look, **parameters).summary

    return faulty


@pytest.mark.slow
def test_a_cell_that_sticks_is_found_and_left_out(record, tmp_path: Path, resource: str, caplog, recorded):
    with caplog.at_level(logging.WARNING):
        summary = record(["SIM:FAUL:STUC 3,4,AP"])
    rows = recorded()
    (bad,) = np.flatnonzero(rows["health"])
    assert rows["health"][bad] == HealthFlag.CELL_REPETITION | HealthFlag.CELL_PROPORTION
    assert 3 <= bad < len(rows) - 1
    assert (rows["bits"][: bad + 1] == BLOCK).all()
    assert (rows["bits"][bad + 1 :] == rows["positions"][bad + 1 :] // CELLS * (CELLS - 1)).all()
    # What was wanted is there without the block that is withheld: another acquisition, whose mask leaves the cell out.
    assert rows["bits"][rows["health"] == 0].sum() >= 40 * BLOCK
    assert summary.acquisitions == 2
    board = ArrayBoard(resource)
    mask: Any = board.mask
    board.close()
    assert np.argwhere(~mask).tolist() == [[3, 4]]
    assert summary.quarantined == ((3, 4, "failed while recording (repetition count, adaptive proportion)"),)
    assert summary.cells_used == CELLS - 1
    assert (summary.health.blocks_withheld, summary.health.bits_withheld) == (1, BLOCK)
    assert summary.health.cells_failed == 1
    said = table(tmp_path)
    assert [int(row["Health"]) for row in said] == rows["health"].tolist()
    assert [int(row["Failed cells"]) for row in said] == [int(n == bad) for n in range(len(rows))]
    withheld = f"block {rows['sequence'][bad]} is withheld"
    assert missing(caplog.text, withheld, "cell 3, 4 is left out") == []
    with Store(tmp_path / "store") as store:
        counts = cell_statistics(store).counts
    assert counts[3 * 40 + 4] == (bad + 1) * PULSES


def test_an_array_that_goes_dead_is_stopped(record, recorded):
    units = [f"SIM:FAUL:STUC {row},{column},P" for row in range(32) for column in range(40)]
    lines = [";:".join(units[n : n + 200]) for n in range(0, CELLS, 200)]
    said = r"^the health tests have stopped the recording: [\d,]+ of 1,280 cells failed .*row 0, column 0: failed while"
    with pytest.raises(BenchError, match=said):
        record(lines, bits=0, ahead=10**10, calibrate=False)
    rows = recorded()
    assert (rows["health"] != 0).sum() == 1
    assert rows["health"][-1] & HealthFlag.CELL_REPETITION


def test_start_up_leaves_out_what_fails_the_claim(record, tmp_path: Path):
    """Untrimmed cells are far from one half, some of them too far for what is claimed here."""
    summary = record(mode="reset", calibrate=False, min_entropy=0.9, bits=BLOCK)
    reasons = [reason for _, _, reason in summary.quarantined]
    assert "failed the start-up test (adaptive proportion)" in reasons
    with Store(tmp_path / "store") as store:
        cells = store.cells(store.buffers()[0].uuid)
        assert store.procedure(store.buffers()[0].uuid)["min_entropy"] == 0.9
    started = [reason for reason in reasons if "start-up" in reason]
    assert cells["quarantined"].sum() == len(started) > 0
    far = np.abs(cells["p_sw"] - 0.5)
    assert (
        far[cells["quarantined"] == 1].min() > 0.08
    )  # 2,048 and 1,152 pulses: 4 standard deviations of each
    assert (far[cells["quarantined"] == 0] < 0.25).all()


def test_no_cell_passes_the_start_up_test(record, tmp_path: Path, wire):
    with pytest.raises(BenchError, match="no cell passes the start-up health test"):
        record(min_entropy=1, false_alarm=1, calibrate=False)
    assert not wire.output_is_on()
    with Store(tmp_path / "store") as store:
        assert not store.buffers()


@pytest.mark.parametrize(
    ("calibrate", "claim"), [pytest.param(True, 0.7, marks=pytest.mark.slow), (False, 0.1)]
)
def test_what_is_claimed_where_nothing_is_said(record, tmp_path: Path, calibrate: bool, claim: float):
    summary = record(calibrate=calibrate, bits=CELLS)
    assert summary.health.min_entropy_claimed == claim
    with Store(tmp_path / "store") as store:
        assert store.procedure(store.buffers()[0].uuid)["min_entropy"] == claim


def block_of(outcomes: np.ndarray, sequence: int) -> Block:
    return Block(sequence, *outcomes.shape, 0.0, np.packbits(outcomes))


def health_of(cells: int, most_failing_cells: float) -> RecordingHealth:
    return RecordingHealth(
        Cutoffs.from_claim(0.7), np.ones(cells, bool), 10, most_failing_cells=most_failing_cells,
        most_failing_blocks=0.1,
    )  # fmt: skip


def test_cells_that_fail_together_stop_it_though_none_fails():
    """All cells of a pulse alike, each a fair coin by itself: the stream tests see it, and have nobody to leave out."""
    random = np.random.default_rng(1)
    health = health_of(100, 0.05)
    for number in range(5):
        outcomes = np.repeat(random.integers(0, 2, (300, 1), np.uint8), 100, axis=1)
        judged = health.judge(block_of(outcomes, number))
        assert not judged.failed
        assert judged.outcome.flags & HealthFlag.STREAM_REPETITION
        health.stop_if_too_much_fails()
    health.judge(block_of(outcomes, 5))
    with pytest.raises(
        BenchError, match=r"6 of 6 blocks failed \(repetition count of the stream.*\) and are withheld"
    ):
        health.stop_if_too_much_fails()


@pytest.mark.parametrize("cells", [5, 64, 100])
def test_what_is_left_out_is_left_out_of_every_mask(cells: int):
    random = np.random.default_rng(2)
    health = health_of(cells, 0.5)
    for number, pulses in enumerate((200, 77, 201, 3)):
        outcomes = random.integers(0, 2, (pulses, cells), np.uint8)
        outcomes[:, 2] = 1
        judged = health.judge(block_of(outcomes, number))
        usable = judged.outcome
        if number == 0:
            assert judged.failed == {2: NAMED}
            assert judged.valid is None
            continue
        assert not judged.failed
        assert not usable.flags
        assert judged.valid is not None
        valid = np.unpackbits(judged.valid)
        assert not valid[pulses * cells :].any()
        expected = np.ones((pulses, cells), np.uint8)
        expected[:, 2] = 0
        np.testing.assert_array_equal(valid[: pulses * cells].reshape(pulses, cells), expected)
        assert usable.count == pulses * (cells - 1)
        np.testing.assert_array_equal(
            np.unpackbits(usable.bits, count=usable.count), outcomes[expected.astype(bool)]
        )
