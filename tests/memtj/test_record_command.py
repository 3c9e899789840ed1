"""`memtj record` on every way out: outputs end off, and the accounts add up to the bit."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from entropy import Store

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals between processes are POSIX's")


def check_accounts(store: Path) -> int:
    with Store(store, create=False) as opened:
        accounts = opened.accounts()
        report = opened.verify()
    assert accounts.balanced
    assert accounts.leased == 0
    assert report.ok, report.problems
    assert report.bits == accounts.recorded
    return accounts.recorded


def test_success(memtj: Callable, lab, bench: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    done = memtj("record", bench, "--store", store, "--bits", "2e7", "--json")
    assert done.returncode == 0, done.stderr
    outcome = json.loads(done.stdout)
    assert not lab.output_is_on()
    assert outcome["bits"] == check_accounts(store) >= 20_000_000
    assert outcome["simulated"] is True
    assert sum(outcome["energy_per_bit"][term] for term in ("write", "read", "reset")) == pytest.approx(
        outcome["energy_per_bit"]["total"]
    )
    # 64 rows of two steps of period and settle: 129 µs for 4,096 bits, less what failed.
    assert outcome["device_bits_per_s"] == pytest.approx(4096 / (64 * 2 * 1.006e-6), rel=0.01)
    rows = [
        line for line in next((store / "recordings").glob("*.csv")).read_text().splitlines() if line[0] != "#"
    ]
    assert len(rows) == 1 + outcome["blocks"]


@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_interrupted(
    start: Callable, lab, bench: Path, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    store = tmp_path / "store"
    recorder: subprocess.Popen[str] = start(
        "record", bench, "--store", store, "--bits", "0", "--ahead", "3e7"
    )
    lab.wait_for_output(True)
    wait_for_bits(store, 30_000_000)
    recorder.send_signal(number)
    _, errors = recorder.communicate(timeout=30)
    assert recorder.returncode == status, errors
    assert "Traceback" not in errors
    assert not lab.output_is_on()
    assert check_accounts(store) >= 30_000_000


def test_killed(start: Callable, memtj: Callable, lab, bench: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    recorder: subprocess.Popen[str] = start(
        "record", bench, "--store", store, "--bits", "0", "--ahead", "3e7"
    )
    lab.wait_for_output(True)
    wait_for_bits(store, 1)
    recorder.kill()
    recorder.wait(10)
    lab.wait_for_output(False, 10)
    before = check_accounts(store)
    # The next recording goes on without any repair.
    done = memtj("record", bench, "--store", store, "--bits", "1e6")
    assert done.returncode == 0, done.stderr
    assert check_accounts(store) >= before + 1_000_000


def test_a_second_recorder_is_refused_and_the_first_goes_on(
    start: Callable, memtj: Callable, lab, bench: Path, tmp_path: Path
) -> None:
    first: subprocess.Popen[str] = start(
        "record", bench, "--store", tmp_path / "a", "--bits", "0", "--ahead", "3e7"
    )
    wait_for_bits(tmp_path / "a", 30_000_000)
    second = memtj("record", bench, "--store", tmp_path / "b", "--bits", "1e6")
    assert second.returncode == 1
    assert len(second.stderr.strip().splitlines()[-1:]) == 1
    assert "Traceback" not in second.stderr
    assert lab.output_is_on()
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=30)
    assert not lab.output_is_on()


def test_bench_off_works_against_another_owner(
    start: Callable, memtj: Callable, lab, bench: Path, tmp_path: Path
) -> None:
    recorder: subprocess.Popen[str] = start(
        "record", bench, "--store", tmp_path / "s", "--bits", "0", "--ahead", "3e7"
    )
    wait_for_bits(tmp_path / "s", 30_000_000)
    done = memtj("bench", "off", bench)
    assert done.returncode == 0, done.stderr + done.stdout
    assert not lab.output_is_on()
    _, errors = recorder.communicate(timeout=30)
    assert recorder.returncode == 1
    assert errors.strip().splitlines()[-1].startswith("memtj: ")
    check_accounts(tmp_path / "s")


def wait_for_bits(store: Path, bits: int, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not (store / "ledger.sqlite").exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with Store(store, create=False) as opened:
        while opened.accounts().recorded < bits:
            assert time.monotonic() < deadline, f"fewer than {bits} bits after {seconds} s"
            time.sleep(0.05)
