"""What the stack does about each fault of docs/simulated-lab.md, set over a second connection while it records."""

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from drivers import ArrayBoard, BoardError, CorruptBlock
from entropy import Store, cell_statistics
from instruments import BenchError
from instruments.procedures import RecordBits
from tests.conftest import missing

from .conftest import is_refused, wrong

CELLS = 32 * 40
BLOCK = CELLS * 200


RECORDING = {"bits": 20 * BLOCK}


@pytest.fixture
def impatient(resource: str, write_bench: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bench whose driver waits 0.3 s for an answer instead of 2 s, and a board whose `FETCh?` waits for 0.1 s."""
    monkeypatch.setattr("mock_hw.boxes.array_board._session.FETCH_WAIT", 0.1)
    return write_bench(resource, timeout=0.3)


@pytest.fixture
def break_while_recording(record, impatient: Path, wire) -> Callable[..., BoardError]:
    """Record without end, send a fault when some blocks are there, and return what ends the recording."""

    def record_until(fault: str, **parameters: Any) -> BoardError:
        sent: list[str] = []

        def look(procedure: RecordBits) -> None:
            if procedure.progress.blocks >= 3 and not sent:
                wire.send(fault)
                sent.append(fault)

        with pytest.raises(BoardError) as caught:
            record(look, path=impatient, bits=0, **parameters)
        return caught.value

    return record_until


def lost(rows: np.ndarray) -> int:
    """How many blocks the sequence lacks; another acquisition begins it anew."""
    begins = rows["sequence"] == 0
    steps = np.diff(rows["sequence"].astype(int))[~begins[1:]]
    assert (steps > 0).all()
    return int((steps - 1).sum())


# Cells


@pytest.mark.slow
def test_broken_cells_are_left_out_with_their_reason(record, tmp_path: Path, wire, recorded):
    wire.send("SIM:FAUL:SHOR 3,4;OPEN 5,6;STUC 7,8,P;STUC 9,10,AP")
    summary = record(calibrate=True).summary
    reasons = {(row, column): reason for row, column, reason in summary.quarantined}
    broken = {(3, 4): "shorted", (5, 6): "open", (7, 8): "stuck in P", (9, 10): "stuck in AP"}
    assert reasons.items() >= broken.items()
    assert len(reasons) == len(broken)
    assert summary.cells_used == CELLS - len(reasons)
    recorded()
    with Store(tmp_path / "store") as store:
        counts = cell_statistics(store).counts.reshape(32, 40)
    assert {(int(row), int(column)) for row, column in np.argwhere(counts == 0)} == set(reasons)


def test_drift_is_found_and_ends_the_recording(record, wire, recorded):
    """A pulse that loses its voltage writes no ones any more: cells are as good as stuck, more and more of them.

    The simulated cells follow the drift in steps of 65,536 pulses at most, which is a third of this recording.
    """
    blocks, pulses = 200, 1000
    seconds = blocks * pulses * 32 * 2 * 1.006e-6
    wire.send("SIM:FAUL:FIFO 2;RATE 30e6")  # the board is no further than the host, which is not too fast
    sent: list[str] = []

    def look(procedure: RecordBits) -> None:
        if procedure.progress.blocks >= 5 and not sent:
            sent.append(f"SIM:FAUL:DRIF {-3 / seconds * 3600:.6g}")
            wire.send(sent[0])

    said = r"health tests have stopped the recording: \d+ of 1,280 cells failed"
    with pytest.raises(BenchError, match=said):
        record(look, mode="reset", bits=blocks * pulses * CELLS, block_bits=pulses * CELLS)
    rows = recorded()
    assert (rows["ones"] / rows["bits"])[:5].min() > 0.3
    assert rows["health"][-1]
    assert not rows["health"][:5].any()


# The wire


def test_dropped_connection_without_another_try(break_while_recording, wire, recorded):
    error = break_while_recording("SIM:FAUL:DROP 5", retries=0)
    assert error.lost
    assert missing(str(error), "is lost", "check its power and the wire") == []
    assert lost(recorded()) == 0
    assert wire.ask("SIM:FAUL?") == '""'


@pytest.mark.parametrize(
    ("fault", "blocks"),
    [pytest.param("RATE 12e6", 400, marks=pytest.mark.slow), ("FIFO 2", 40), ("RATE 4e6;FIFO 2", 40)],
)
def test_slow_wire_and_small_fifo_stall_the_board_and_lose_nothing(
    record, wire, fault: str, blocks: int, recorded
):
    wire.send(f"SIM:FAUL:{fault}")
    summary = record(bits=blocks * BLOCK).summary
    assert summary.stalls > 0
    assert summary.bits == blocks * BLOCK
    rows = recorded()
    assert lost(rows) == 0
    assert rows["stalled"].sum() == summary.stalls
    # A stall costs board time and no bits: the rate by the board's clock leaves it out.
    assert summary.device_bits_per_s == pytest.approx(CELLS / (32 * 1.006e-6), rel=0.01)


# Blocks


def test_a_corrupted_block_is_fetched_again(record, wire, caplog, recorded):
    wire.send("SIM:FAUL:CORR 4,1;CORR 6,1")
    with caplog.at_level(logging.WARNING):
        summary = record().summary
    assert summary.fetched_again == 2
    assert caplog.text.count("asking for it again") == 2
    assert summary.bits == 20 * BLOCK
    assert lost(recorded()) == 0


def test_a_block_corrupted_while_cells_are_measured_is_fetched_again(record, wire):
    wire.send("SIM:FAUL:CORR 0,1")
    summary = record().summary
    assert summary.bits == 20 * BLOCK
    assert not summary.quarantined
    assert wire.ask("SIM:FAUL?") == '""'


@pytest.mark.parametrize(
    ("faults", "steps", "counts"),
    [
        # 20 blocks are wanted; what is missing of them is made up for by another acquisition, and shows in the steps
        # of the sequence unless it was the last one. Three blocks come before them and measure and test the cells.
        ("CORR 6,4", 1, {"corrupt_blocks": 1, "acquisitions": 2}),
        ("CORR 6,3", 0, {"fetched_again": 1}),
        ("CORR 5,4;CORR 6,4;CORR 22,4", 2, {"corrupt_blocks": 3, "acquisitions": 2}),
        ("SKIP 6,2;SKIP 9,1", 3, {"lost_blocks": 3, "acquisitions": 2}),
        ("SKIP 22,1", 0, {"lost_blocks": 1, "acquisitions": 2}),
        ("SKIP 6,2;CORR 6,4", 3, {"lost_blocks": 2, "corrupt_blocks": 1, "acquisitions": 2}),
        ("DUPL 6;DUPL 9", 0, {"duplicates": 2}),
        ("DUPL 6;CORR 6,1", 0, {"duplicates": 1, "fetched_again": 1}),
        ("SKIP 6,1;DUPL 7", 1, {"lost_blocks": 1, "duplicates": 1, "acquisitions": 2}),
    ],
)
def test_what_went_wrong_on_the_way_is_counted_and_the_recording_goes_on(
    record, wire, caplog, faults: str, steps: int, counts: dict[str, int], recorded
):
    wire.send(f"SIM:FAUL:{faults}")
    with caplog.at_level(logging.WARNING):
        summary = record().summary
    expected = {"corrupt_blocks": 0, "fetched_again": 0, "lost_blocks": 0, "duplicates": 0, "acquisitions": 1}
    assert {name: getattr(summary, name) for name in expected} == expected | counts
    assert summary.reconnections == 0
    rows = recorded()
    assert (summary.bits, summary.blocks, len(rows)) == (20 * BLOCK, 20, 20)
    assert lost(rows) == steps
    assert caplog.text.count("later losses are counted only") == (summary.lost_blocks > 0)
    assert caplog.text.count("repeated blocks are dropped") == (summary.duplicates > 0)
    assert wire.ask("SIM:FAUL?") == '""'


def test_blocks_that_all_stay_damaged_end_it(break_while_recording, wire, recorded):
    error = break_while_recording("SIM:FAUL:CORR 3,1000000")
    assert isinstance(error, CorruptBlock)
    assert "5 blocks in a row cannot be read; the last one: " in str(error)
    assert lost(recorded()) == 0


# The board


def test_an_entry_in_the_error_queue_ends_it_with_its_text(break_while_recording, wire, recorded):
    error = break_while_recording("SIM:FAUL:ERR -222", ahead=30 * BLOCK)
    assert error.number == -222
    assert "Data out of range; simulated fault" in str(error)
    recorded()


@pytest.mark.parametrize(
    ("fault", "number", "text"),
    [("SIM:FAUL:TEMP 370", 103, "Over-temperature"), ("SIM:FAUL:INT 0", 102, "Interlock open")],
)
def test_over_temperature_and_interlock(
    break_while_recording,
    record,
    tmp_path: Path,
    wire,
    fault: str,
    number: int,
    text: str,
    recorded,
):
    error = break_while_recording(fault)
    assert error.number == number
    assert text in str(error)
    recorded()
    # It stays so, and the next recording is refused with the reason.
    with pytest.raises((BoardError, BenchError), match=rf"(?i){text}|interlock .* is open"):
        record(folder=tmp_path / "next")
    wire.send("SIM:FAUL:CLE")
    assert record(folder=tmp_path / "last").summary.bits == 20 * BLOCK


def test_answers_late_but_within_the_time_out(record, wire, recorded):
    wire.send("SIM:FAUL:DEL 0.02")
    assert record(bits=2 * BLOCK).summary.bits == 2 * BLOCK
    recorded()


@pytest.mark.slow
def test_answers_later_than_the_time_out(
    break_while_recording, wire, recorded, patience: Callable[[float], float]
):
    error = break_while_recording(f"SIM:FAUL:DEL {patience(0.4)}")
    assert "did not answer 'FETC?' in time" in str(error)
    wire.send("SIM:FAUL:CLE")
    assert not wire.output_is_on()
    recorded()


def test_no_answers_and_the_watchdog_switches_off(
    break_while_recording, wire, recorded, patience: Callable[[float], float]
):
    began = time.monotonic()
    error = break_while_recording("SIM:FAUL:MUTE 1000000", watchdog=1.0, retries=0)
    assert time.monotonic() - began < patience(8)  # it does not ask a dead connection again and again
    assert error.lost
    assert missing(str(error), "did not answer", "check its power and the wire") == []
    wire.send("SIM:FAUL:CLE")
    assert wire.ask("SYST:WATC:TRIP?") == "1"
    recorded()


def test_the_wrong_identity(bench_file: Path, wire):
    wire.send("SIM:FAUL:IDEN MODEL2400")
    wire.ask("SYST:VERS?")  # the board has taken the command before another connection asks
    assert list(wrong(bench_file)) == ["identity"]
    assert "MODEL2400" in wrong(bench_file)["identity"]
    is_refused(bench_file, r"is no box for the driver ArrayBoard: it says .*MODEL2400")


def test_no_driver_sends_what_breaks_the_board(resource: str):
    """The subsystem is of the simulator: what a host knows does not begin with SIM."""
    commands = [name for name in vars(ArrayBoard) if "fault" in name.lower() or "simulator" in name.lower()]
    assert commands == []
