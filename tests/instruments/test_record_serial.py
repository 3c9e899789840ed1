"""A recording over a serial line: a pseudo-terminal, through pyserial."""

import os
import sys
from pathlib import Path

import pytest

from entropy import Store
from entropy.testing import sound_accounts
from instruments import Bench, run
from instruments.procedures import RecordBits
from mock_hw.faults import Drop
from mock_hw.testing import board_lab

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")


def test_a_recording_over_a_serial_line(write_bench, tmp_path: Path):
    with board_lab(rows=32, columns=40, wire="serial", seed=5) as lab:
        resource = lab.resources["board"]
        assert resource.startswith("ASRL")
        assert os.path.exists(resource.removeprefix("ASRL").split("::")[0])
        path = write_bench(resource, timeout=0.7)
        with Bench.from_toml(path) as bench, Store(tmp_path / "store") as store:
            lab.faults["board"].set(Drop(kind="drop", after_blocks=6))  # and the line has no close
            summary = run(
                RecordBits(
                    bench=bench, store=store, bits=2**20, block_bits=2**17, calibrate=False, watchdog=60.0
                ),
                tmp_path / "rows.csv",
            )
            assert sound_accounts(store).free == summary.bits >= 2**20
        with Bench.from_toml(path) as bench:
            assert not bench.board.board.output_enabled
    assert (summary.fetched_again, summary.reconnections, summary.lost_blocks) == (1, 0, 0)
    assert abs(summary.ones_fraction - 0.5) < 0.01
