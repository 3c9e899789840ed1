"""`memtj record` where another program spoils its buffer: it ends, switches off, and says so."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest

from entropy import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lets nobody replace a file that is open")


@pytest.mark.slow
def test_a_truncated_buffer_ends_it(
    start: Callable, end: Callable, lab, bench: Path, tmp_path: Path, wait_until: Callable
) -> None:
    path, foreign = tmp_path / "store", tmp_path / "foreign.h5"
    with h5py.File(foreign, "w") as file:
        file["mine"] = 1
    recorder = start(
        "record", bench, "--store", path, "--mode", "toggle", "--bits", "1e10", "--block-bits", "1e6", "--no-calibrate"
    )  # fmt: skip
    wait_until(lambda: any(file.stat().st_size >= 1 << 20 for file in path.glob("*.h5")), 20)
    next(path.glob("*.h5")).write_bytes(
        foreign.read_bytes()
    )  # as h5py's mode "w" does: the same file, cut short
    last = end(recorder, None, status=1).sentence
    assert not lab.output_is_on()
    assert lab.ask("SYST:WATC:TRIP?") == "0"
    assert "is no longer the file that is being recorded: another program has" in last
    with Store(path, create=False) as store:
        assert store.accounts().balanced
