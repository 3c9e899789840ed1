"""RecordBits over a real wire into a real store."""

import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymeasure.experiment import Procedure, Results

from drivers import BoardError, CorruptBlock
from entropy import Lease, Store, cell_statistics
from instruments import Bench, BenchError, run
from instruments.procedures import RecordBits, RecordingProgress

from .conftest import Enough, table

CELLS = 32 * 40
UNTUNED: dict[str, Any] = {"mode": "toggle", "calibrate": False}


RECORDING: dict[str, Any] = {"mode": "reset", "bits": 2_000_000, "block_bits": 2**18, "calibrate": True}


@pytest.mark.parametrize("mode", ["toggle", pytest.param("reset", marks=pytest.mark.slow)])
def test_a_recording_holds_what_the_board_made(
    record, recorded, tmp_path: Path, no_thread_is_left, mode: str
):
    summary = record(mode=mode).summary
    rows = recorded()
    no_thread_is_left()
    with Store(tmp_path / "store") as store:
        (buffer,) = store.buffers()
        accounts, cells = store.accounts(), store.cells(buffer.uuid)
        procedure, bench = store.procedure(buffer.uuid), store.bench(buffer.uuid)
        readings = store.resistances(buffer.uuid)
    assert accounts.free == summary.bits == buffer.bits >= 2_000_000
    assert summary.recording == buffer.recording
    assert summary.simulated
    assert buffer.simulated
    assert summary.failed_resets == rows["failed_resets"].sum()
    assert rows["positions"].sum() - summary.failed_resets == summary.bits  # no cell is masked here
    assert (summary.failed_resets > 0) == (mode == "reset")
    assert rows["voltage"][0] == 0.85
    assert procedure["procedure"] == "RecordBits"
    assert procedure["mode"] == mode
    assert bench["instruments"]["board"]["identity"]
    assert len(readings) > CELLS
    between = (cells["r_p"] < cells["threshold"]) & (cells["threshold"] < cells["r_ap"])
    assert between.all()
    assert not cells["quarantined"].any()
    step = 32 * (6e-9 + 1e-6) * (1 if mode == "toggle" else 2)
    usable = summary.bits / rows["positions"].sum()
    assert summary.device_bits_per_s == pytest.approx(CELLS * usable / step, rel=1e-3)
    json.dumps(summary.as_dict(), allow_nan=False)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["toggle", "reset"])
def test_the_trimmed_array_is_balanced(record, tmp_path: Path, mode: str):
    """Judged by what was recorded. Bounds are on the physics; chance adds less than 1e-9 of false alarm.

    20,480 outcomes a cell have a standard deviation of 0.0035, so a limit of 0.06 on each of 1,280 cells leaves
    0.03 (8.6 of them) to chance.
    """
    # Without a reset both directions count, and a stray field tilts them apart: least so on the plateau of one half.
    point = {"voltage": 1.45} if mode == "toggle" else {}
    summary = record(mode=mode, bits=CELLS * 20_480, block_bits=2**22, **point).summary
    with Store(tmp_path / "store") as store:
        per_cell = cell_statistics(store)
        cells = store.cells(store.buffers()[0].uuid)
    used = cells["quarantined"] == 0
    assert used.mean() > 0.99  # on the plateau a cell may have no trim that is told from its neighbours
    psw, p1 = cells["p_sw"][used], (per_cell.ones[used] / per_cell.counts[used])
    assert np.abs(p1 - 0.5).max() < 0.06
    assert abs(summary.ones_fraction - 0.5) < 0.003
    assert abs(summary.lag1) < 0.01
    assert np.abs(psw - 0.5).max() < 0.1
    assert summary.p_sw_mean == pytest.approx(psw.mean())


def test_an_untrimmed_array_is_not(record, tmp_path: Path):
    """The other side of the test above: without trims cells differ, so that bound says something."""
    record(calibrate=False, bits=CELLS * 4096, block_bits=2**22)
    with Store(tmp_path / "store") as store:
        per_cell = cell_statistics(store)
        assert (store.cells(store.buffers()[0].uuid)["trim"] == 0).all()
    assert np.abs(per_cell.ones / per_cell.counts - 0.5).max() > 0.1


def test_one_row_for_each_block(record, tmp_path: Path):
    summary = record(calibrate=False).summary
    rows = table(tmp_path)
    assert len(rows) == summary.blocks
    assert [int(row["Block"]) for row in rows] == list(range(summary.blocks))
    assert sum(int(row["Bits"]) for row in rows) == summary.bits
    assert sum(int(row["Failed resets"]) for row in rows) == summary.failed_resets
    ones = sum(float(row["Ones fraction"]) * int(row["Bits"]) for row in rows)
    assert ones == pytest.approx(summary.ones_fraction * summary.bits, abs=1)
    # pymeasure itself can read it back, with the parameters.
    results = Results.load(str(tmp_path / "rows.csv"))
    assert isinstance(results.procedure, RecordBits)
    assert results.procedure.width == pytest.approx(0.3e-9)
    assert len(results.data) == summary.blocks


def test_results_are_never_written_over(record, tmp_path: Path):
    (tmp_path / "rows.csv").write_text("mine")
    with pytest.raises(BenchError, match=r"rows\.csv exists already"):
        record()
    assert (tmp_path / "rows.csv").read_text() == "mine"


def test_bits_are_counted_to_the_one_wanted(record, tmp_path: Path):
    assert record(**UNTUNED, bits=1).summary.bits == CELLS
    again = record(**UNTUNED, folder=tmp_path / "more", bits=3 * CELLS, block_bits=1).summary
    assert (again.bits, again.blocks) == (3 * CELLS, 3)


def test_progress_is_told_in_the_calling_thread(bench_file: Path, tmp_path: Path):
    seen: list[RecordingProgress] = []
    with Bench.from_toml(bench_file) as bench, Store(tmp_path / "store") as store:
        procedure = RecordBits(bench=bench, store=store, bits=20_000_000, block_bits=2**18, calibrate=False)
        run(procedure, tmp_path / "rows.csv", seen.append)
    assert procedure.progress.bits >= 20_000_000
    assert [p.bits for p in seen] == sorted(p.bits for p in seen)
    assert seen[-1].stage == "recording"
    assert procedure.status == Procedure.FINISHED


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"voltage": 1.9}, r"write pulse of 1\.9 V at the device is above limits\.pulse_voltage = 1\.8 V"),
        ({"width": 2.5e-9}, r"limits\.pulse_width"),
        ({"width": 1.9e-9, "period": 3.0e-9}, r"cannot use period = 3e-09: .*below the minimum"),
        ({"reset_voltage": -1.9}, r"reset pulse .* limits\.pulse_voltage"),
        ({"reset_width": 3e-9}, r"limits\.pulse_width"),
        ({"read_voltage": 0.3}, r"limits\.read_voltage"),
        ({"mode": "both"}, r"cannot use mode = 'both': "),
        ({"bits": -1}, r"cannot use bits = -1: "),
    ],
)
def test_a_working_point_out_of_the_limits_never_pulses(
    record, tmp_path: Path, wire, parameters: dict[str, Any], said: str
):
    with pytest.raises(BenchError, match=said):
        record(**parameters)
    assert not wire.output_is_on()
    with Store(tmp_path / "store") as store:
        assert not store.buffers()


def test_a_parameter_that_does_not_exist():
    with pytest.raises(TypeError, match="no parameter volts"):
        RecordBits(volts=3)


def test_without_bench_or_store(bench_file: Path, tmp_path: Path):
    with pytest.raises(BenchError, match="has no bench"):
        run(RecordBits(), tmp_path / "a.csv")
    with Bench.from_toml(bench_file) as bench, pytest.raises(BenchError, match="has no store"):
        run(RecordBits(bench=bench), tmp_path / "b.csv")


def test_no_pulse_no_states(record, wire):
    """At a voltage far below the working point pulses switch nothing; the reset pulse still shows both states."""
    said = r"no cell of the array can be used \(.*\d+ cells: cannot be tuned from P"
    with pytest.raises(BenchError, match=said):
        record(voltage=0.05)
    assert not wire.output_is_on()


def test_a_damaged_block_is_fetched_again(record, recorded, tampered, write_bench, caplog):
    damaged: list[int] = []

    def damage(number: int, block: bytes) -> list[bytes]:
        # The blocks of the start-up are left alone: those of the recording are 32 KiB.
        if len(block) > 60_000 or len(block) < 30_000 or len(damaged) >= 2:
            return [block]
        damaged.append(number)
        changed = bytearray(block)
        changed[len(block) // 2] ^= 0x10
        return [bytes(changed)]

    path = write_bench(tampered(damage))
    with caplog.at_level(logging.WARNING):
        summary = record(path=path, **UNTUNED).summary
    assert len(damaged) == summary.fetched_again == 2
    assert caplog.text.count("asking for it again") == 2
    rows = recorded()
    np.testing.assert_array_equal(rows["sequence"], np.arange(len(rows)))


def test_a_wire_that_stays_bad_ends_it(record, wire):
    wire.send("SIM:FAUL:CORR 0,1000000")  # every block, and every repetition of one
    with pytest.raises(CorruptBlock, match="CRC-32"):
        record(calibrate=False)
    assert not wire.output_is_on()


def recorded_ones(block: bytes) -> bool:
    """Whether a block is one of the recording, by its size: 2**18 bits."""
    return 30_000 < len(block) < 40_000


def test_a_repeated_block_is_recorded_once(record, recorded, tampered, write_bench):
    def repeat(number: int, block: bytes) -> list[bytes]:
        return [block, block] if recorded_ones(block) and number % 2 else [block]

    summary = record(path=write_bench(tampered(repeat)), **UNTUNED).summary
    rows = recorded()
    np.testing.assert_array_equal(rows["sequence"], np.arange(len(rows)))
    assert summary.bits == -(-2_000_000 // CELLS) * CELLS


def test_a_cut_wire_switches_off_and_keeps_what_was_written(record, recorded, tampered, write_bench, wire):
    seen: list[int] = []

    def cut(number: int, block: bytes) -> list[bytes]:
        if recorded_ones(block):
            seen.append(number)
        return [b""] if len(seen) == 3 else [block]

    with pytest.raises(BoardError) as caught:
        record(path=write_bench(tampered(cut)), **UNTUNED, retries=0)
    assert caught.value.lost
    wire.wait_for_output(False, 2)
    assert len(recorded()) == 2


def test_ahead_keeps_the_board_waiting_for_consumers(record, tmp_path: Path, wire):
    """The board stalls while enough bits are free, its watchdog is fed meanwhile, and leases set it going."""
    block, most = CELLS * 64, CELLS * 64 * 4
    waited: list[int] = []
    with Store(tmp_path / "store") as store:

        def look(procedure: RecordBits) -> None:
            accounts = store.accounts()
            assert accounts.free <= most + block
            if procedure.progress.waiting and accounts.free >= most:
                waited.append(accounts.recorded)
            if len(waited) == 15:  # 1.5 s, longer than the watchdog
                with store.lease(most // 2, purpose="test") as lease:
                    lease.read(most // 2)
            if accounts.recorded > most + most // 2 - block and len(waited) > 20:
                raise Enough

        procedure = record(look, **UNTUNED, bits=0, block_bits=block, ahead=most, watchdog=1.0)
    assert procedure.summary is not None
    assert procedure.summary.bits >= most + most // 2
    assert procedure.failure is None
    assert wire.ask("SYST:WATC:TRIP?") == "0"
    assert not wire.output_is_on()


def test_who_waits_for_more_than_ahead_gets_it(record, tmp_path: Path):
    block, most = CELLS * 64, CELLS * 64 * 4
    leases: list[Future[Lease]] = []
    with Store(tmp_path / "store") as store, ThreadPoolExecutor(1) as consumer:

        def look(procedure: RecordBits) -> None:
            if procedure.progress.waiting and not leases:
                leases.append(consumer.submit(store.lease, 3 * most, purpose="large", wait=30))
            if leases and leases[0].done():
                raise Enough

        record(look, **UNTUNED, bits=0, block_bits=block, ahead=most)
        assert leases[0].result().bits == 3 * most
        assert store.accounts().free <= most + block


def test_ctrl_c_sums_up_what_there_is(
    record, recorded, no_thread_is_left, patience: Callable[[float], float]
):
    seen: list[tuple[float, RecordBits]] = []

    def look(procedure: RecordBits) -> None:
        if procedure.progress.blocks > 3:
            seen.append((time.monotonic(), procedure))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(look, **UNTUNED, bits=0)
    ((stopped, procedure),) = seen
    assert time.monotonic() - stopped < patience(20)
    assert procedure.summary is not None
    assert procedure.summary.bits == recorded()["bits"].sum()
    assert procedure.status == Procedure.ABORTED
    no_thread_is_left()


def test_a_store_that_fails_ends_it(record, wire, no_thread_is_left):
    seen: list[RecordBits] = []

    def look(procedure: RecordBits) -> None:
        if procedure.progress.blocks > 2 and not seen:
            seen.append(procedure)
            assert isinstance(procedure.store, Store)
            for recording in list(procedure.store._recordings):
                recording.close()

    with pytest.raises(Exception, match=r"is closed: start a new one|no more can be written"):
        record(look, **UNTUNED, bits=0)
    assert seen[0].status == Procedure.FAILED
    assert not wire.output_is_on()
    no_thread_is_left()


def test_the_watchdog_or_somebody_else_ends_it(record, recorded, wire):
    sent: list[bool] = []

    def look(procedure: RecordBits) -> None:
        if procedure.progress.blocks > 2 and not sent:
            wire.send("OUTP OFF")
            sent.append(True)

    with pytest.raises(BoardError, match="switched off by somebody else"):
        record(look, **UNTUNED, bits=0)
    recorded()
