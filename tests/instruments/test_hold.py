"""A simulated board whose pulses drift is held, over the wire; and what the file says of it is what the board did.

`made` is what the simulated board itself knows: the volts that each block was made with. Blocks hold 0.65 million
outcomes: one standard error of a fraction of ones is 0.0006.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from entropy import FROM_AP, FROM_BOTH, Store, cell_statistics
from instruments import Bench, run
from instruments.holding import trims_at
from instruments.procedures import RecordBits, RecordingSummary
from mock_hw.boxes.array_board import _acquisition

CELLS = 32 * 40
PULSES, WIDTH = 512, 0.3e-9
BLOCK = CELLS * PULSES
BLOCK_SECONDS = PULSES * 32 * 2 * 1.006e-6  # by the board's clock: rows, reset and write, period and settling
VOLTS_PER_HOUR = -20.0  # of simulated time: P falls by 0.07 in 160 blocks, 5 s


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, np.ndarray]]:
    """Of each block its number in the acquisition, and its pulses: volts and seconds, from P and AP, (2, 2, cells)."""
    blocks: list[tuple[int, np.ndarray]] = []
    make = _acquisition.Acquisition._make_block

    def watched(self: Any, run: Any, *rest: Any) -> Any:
        sequence = run._sequence
        pulses = [
            [np.broadcast_to(np.ravel(part), sequence.voltage.size) for part in sequence.write_pulse(state)]
            for state in (False, True)
        ]
        blocks.append((self._sequence_number, np.swapaxes(pulses, 0, 1)))
        return make(self, run, *rest)

    monkeypatch.setattr(_acquisition.Acquisition, "_make_block", watched)
    return blocks


@pytest.fixture
def record(bench_file: Path, tmp_path: Path, wire) -> Callable[..., tuple[RecordingSummary, Path]]:
    def recorded(blocks: int, fault: str = "", **parameters: Any) -> tuple[RecordingSummary, Path]:
        folder = tmp_path / "store"
        wire.send("SIM:FAUL:FIFO 2;RATE 30e6")  # the board is no further than the host
        with Bench.from_toml(bench_file) as bench, Store(folder) as store:
            procedure = RecordBits(
                bench=bench, store=store, bits=blocks * BLOCK, block_bits=BLOCK, **parameters
            )
            measure = procedure.measure_all

            def drifting() -> None:
                wire.send(f"SIM:FAUL:DRIF {VOLTS_PER_HOUR}{fault}")
                (tmp_path / "began").write_text(wire.ask("SYST:TIME?"))
                measure()

            procedure.measure_all = drifting  # the drift begins with the recording
            return run(procedure, tmp_path / "rows.csv"), folder

    return recorded


def off(folder: Path) -> np.ndarray:
    """By how much the ones of each block are off one half; not of a short one that makes up for failed resets."""
    with Store(folder) as store:
        rows = np.concatenate([store.rows(buffer.uuid) for buffer in store.buffers()])
    rows = rows[rows["bits"] > 0.9 * BLOCK]
    return rows["ones"] / rows["bits"] - 0.5


def is_held(folder: Path, bound: float = 0.005, blocks: int = 4) -> bool:
    """Whether blocks are one half within `bound`, but for what no servo can follow.

    Before the first block, while a connection is had back, between acquisitions and while the host is busy, the board's
    clock goes on with the computer's, and so does the drift, 0.014 of P a second: that may show in `blocks` blocks.
    And the simulated cells follow the drift in steps of a second at most, or when trims are changed: such a step may
    show in the block in which it comes, and in those that are in the FIFO then.
    """
    away = np.abs(off(folder))
    with Store(folder) as store:
        (buffer,) = store.buffers()
        rows = store.rows(buffer.uuid)
    times = rows["board_time"][rows["bits"] > 0.9 * BLOCK]
    steps = np.diff(times, prepend=float((folder.parent / "began").read_text()))
    idle = np.convolve(np.maximum(steps - BLOCK_SECONDS, 0), np.ones(blocks))[: len(steps)]
    excess = away - 0.02 * idle - bound
    return bool((excess < 0).mean() > 0.9 and excess.max() < 0.014)


def replayed(folder: Path, voltage: float, made: list[tuple[int, np.ndarray]]) -> int:
    """Compare the volts of each recorded block with those that the file tells of; returns how many trims differ
    from those of the block before.
    """
    changed = 0
    with Store(folder) as store:
        (buffer,) = store.buffers()
        rows, actions = store.rows(buffer.uuid), store.actions(buffer.uuid)
        cells = store.cells(buffer.uuid)
        path = store.bench(buffer.uuid)["roles"]["board"]["path"]
    used = cells["quarantined"] == 0
    # Acquisitions of the calibration come first; the blocks of the recording are the last ones with their numbers.
    at, before = len(made) - 1, None
    for block in range(len(rows) - 1, -1, -1):
        while made[at][0] != rows["sequence"][block]:
            at -= 1
        said = (voltage + trims_at(cells["trim"], actions, block)) / path["gain"]
        np.testing.assert_allclose(made[at][1][0][:, used], said[:, used], rtol=0, atol=2e-7)
        seconds = WIDTH + trims_at(np.zeros(len(cells)), actions, block, "width")
        np.testing.assert_allclose(made[at][1][1][:, used], seconds[:, used], rtol=0, atol=1e-16)
        changed += before is not None and not np.array_equal(before, said)
        at, before = at - 1, said
    return changed


@pytest.mark.slow
def test_without_a_servo_the_drift_shows(record):
    summary, folder = record(160, servo="off")
    assert np.abs(off(folder)[-20:]).max() > 0.03
    assert (summary.servo, summary.servo_actions) == ("off", 0)


def test_a_drifting_array_is_held_and_the_file_says_by_what(record, made):
    summary, folder = record(160)
    assert is_held(folder)
    assert summary.servo == "cells"
    assert summary.cells_not_held < CELLS / 10  # those that were tuned by their width
    assert summary.servo_shift == pytest.approx(0.028, abs=0.01)
    assert replayed(folder, 0.85, made) > 20


@pytest.mark.slow
@pytest.mark.parametrize("servo", ["common", "cells"])
def test_both_directions_of_a_toggle_are_held(record, made, servo):
    _, folder = record(160, mode="toggle", servo=servo)
    with Store(folder) as store:
        (buffer,) = store.buffers()
        states = store.actions(buffer.uuid)["state"]
        statistics = cell_statistics(store, max_blocks=20)
    assert is_held(folder)
    # P from P and from AP of the last blocks, of all cells: each is a coin.
    pairs = statistics.cell_pairs
    from_p = (pairs.second - pairs.both).sum() / (pairs.pairs - pairs.first).sum()
    from_ap = (pairs.first - pairs.both).sum() / pairs.first.sum()
    assert [from_p, from_ap] == pytest.approx([0.5, 0.5], abs=0.005)
    assert set(states) >= {FROM_AP, FROM_BOTH}
    assert replayed(folder, 0.85, made) > 20


@pytest.mark.slow
def test_a_lost_connection_does_not_lose_what_the_servo_knows(record, made):
    summary, folder = record(120, ";DROP 60")
    assert summary.reconnections == 1
    assert is_held(folder)
    assert replayed(folder, 0.85, made) > 20


@pytest.mark.slow
def test_a_board_that_takes_trims_between_acquisitions_only_is_held_too(record, made, monkeypatch):
    monkeypatch.setattr("mock_hw.boxes.array_board._commands.PROTOCOL", "1.0")
    summary, folder = record(160)
    assert summary.acquisitions in (10, 11)  # of 16 blocks of 512 pulses; failed resets may need one more
    # What drifts in an acquisition is 0.0075. The servo sees it after its end, and its filters take a drift for a
    # random walk, which lags behind a steady one by up to as much again; 0.003 are five standard errors of a block.
    assert is_held(folder, 2 * 0.0075 + 0.003, blocks=34)
    assert np.abs(off(folder)[-20:]).max() < 0.02  # 0.07 without
    assert 5 <= replayed(folder, 0.85, made) <= 10


def test_nothing_is_held_where_nothing_was_tuned(record):
    summary, folder = record(8, calibrate=False)
    assert summary.servo == "off"
    with Store(folder) as store:
        (buffer,) = store.buffers()
        assert not len(store.actions(buffer.uuid))
