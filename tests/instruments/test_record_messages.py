"""A recording over wires whose messages carry one question each: nothing is interrupted, and a cut is got over."""

from pathlib import Path

import pytest

from entropy import Store
from entropy.testing import sound_accounts
from instruments import Bench, run
from instruments.procedures import RecordBits
from mock_hw.faults import Drop
from mock_hw.testing import board_lab


@pytest.mark.parametrize("wire", ["hislip", "vxi11"])
def test_a_recording_over_messages(write_bench, tmp_path: Path, wire: str):
    with board_lab(rows=32, columns=40, wire=wire, seed=5) as lab:
        path = write_bench(lab.resources["board"], timeout=2)
        with Bench.from_toml(path) as bench, Store(tmp_path / "store") as store:
            lab.faults["board"].set(Drop(kind="drop", after_blocks=6))
            summary = run(
                RecordBits(
                    bench=bench, store=store, bits=2**20, block_bits=2**17, calibrate=False, watchdog=60.0
                ),
                tmp_path / "rows.csv",
            )
            assert sound_accounts(store).free == summary.bits >= 2**20
        with Bench.from_toml(path) as bench:
            assert not bench.board.board.output_enabled
            assert bench.board.board.error_count == 0
    assert summary.reconnections == 1
    assert abs(summary.ones_fraction - 0.5) < 0.01
