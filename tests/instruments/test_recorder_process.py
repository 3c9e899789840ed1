"""A recorder that is interrupted, terminated, killed or frozen: the output is off, asked over another wire."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from entropy import Store
from entropy.testing import sound_accounts
from instruments import Bench, Terminated, run
from instruments.procedures import RecordingProgress
from tests.conftest import missing
from tests.instruments.recorder import recording

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals between processes are POSIX's")
SCRIPT = Path(__file__).with_name("recorder.py")


@pytest.fixture
def recorder(bench_file: Path, tmp_path: Path, wire) -> Iterator[Callable[..., subprocess.Popen]]:
    started: list[subprocess.Popen] = []

    def start(*more: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, SCRIPT, bench_file, tmp_path / "store", tmp_path / "rows.csv", *more],
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def wait_for_blocks(wire, tmp_path: Path, wait_until: Callable) -> Callable[[], None]:
    def wait() -> None:
        wire.wait_for_output(True, 60)
        wait_until((tmp_path / "store" / "ledger.sqlite").exists, 30, "no store is made")
        with Store(tmp_path / "store") as opened:
            wait_until(lambda: opened.accounts().recorded > 1_000_000, 30, "too few bits are recorded")

    return wait


def test_sigterm_ends_it_cleanly(bench_file: Path, wire, tmp_path: Path):
    def terminate(progress: RecordingProgress) -> None:
        if progress.bits > 1_000_000:
            assert wire.output_is_on()
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Terminated), Store(tmp_path / "store") as store, Bench.from_toml(bench_file) as bench:
        run(recording(bench, store), tmp_path / "rows.csv", terminate)
    assert not wire.output_is_on()
    assert wire.ask("SYST:WATC:TRIP?") == "0"
    assert sound_accounts(tmp_path / "store").recorded > 1_000_000


def test_ctrl_c_ends_it_cleanly_and_more_of_them_do_not_hurry_it_past_the_switch(
    recorder, wait_for_blocks, wire, tmp_path: Path, patience: Callable[[float], float]
):
    process = recorder()
    wait_for_blocks()
    assert wire.output_is_on()
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.02)
    _, said = process.communicate(timeout=patience(30))
    assert process.returncode != 0
    assert "KeyboardInterrupt" in said
    assert not wire.output_is_on()
    assert wire.ask("SYST:WATC:TRIP?") == "0"
    assert sound_accounts(tmp_path / "store").recorded > 1_000_000


@pytest.mark.slow
def test_killed(recorder, wait_for_blocks, wire, tmp_path: Path):
    process = recorder()
    wait_for_blocks()
    process.kill()
    process.wait(10)
    wire.wait_for_output(False, 5)
    assert wire.ask("SYST:WATC:TRIP?") == "0"  # its connection was closed
    assert sound_accounts(tmp_path / "store").recorded > 1_000_000


@pytest.mark.slow
def test_frozen_so_that_only_the_watchdog_is_left(
    recorder, wait_for_blocks, wire, tmp_path: Path, patience: Callable[[float], float]
):
    process = recorder("1.0")
    wait_for_blocks()
    assert wire.output_is_on()
    process.send_signal(signal.SIGSTOP)
    try:
        # This connection asks all the time, which must not feed it.
        wire.wait_for_output(False, 5)
        assert wire.ask("SYST:WATC:TRIP?") == "1"
    finally:
        process.send_signal(signal.SIGCONT)
    _, said = process.communicate(timeout=patience(30))
    assert process.returncode != 0
    assert missing(said, "Watchdog expired", "this computer is busy") == []
    assert not wire.output_is_on()
    assert sound_accounts(tmp_path / "store").recorded > 1_000_000
