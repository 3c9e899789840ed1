"""The demo as a user runs it, small."""

import json
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from entropy.testing import sound_accounts
from mock_hw.physics._parameters import SHIPPED
from tests.memtj.conftest import bench_of, posix_only, small_lab

_SMALL = ("--images", 3, "--steps", 2, "--microbatch", 2)


def demo_children(out: Path) -> list[str]:
    """Command lines of the processes that a demo into `out` started and that still run."""
    lines = [" ".join(process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"])]
    return [line for line in lines if str(out) in line]


@pytest.fixture(scope="module")
def demo(
    memtj_here: Callable, patience: Callable[[float], float], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a demo that came to its end, with the board of a small lab of this process."""
    folder = tmp_path_factory.mktemp("demo")
    with small_lab(patience) as lab:
        (folder / "bench.toml").write_text(bench_of(lab.resource))
        memtj_here("demo", "--out", folder / "out", "--bench", folder / "bench.toml", *_SMALL, status=0)
        assert not lab.output_is_on()
    assert not demo_children(folder)
    return folder / "out"


def test_demo_leaves_what_it_promises_and_replays_to_the_last_bit(memtj_here: Callable, demo: Path) -> None:
    summary = json.loads((demo / "summary.json").read_text())
    promised = (
        "images", "bits_recorded", "bits_consumed", "bits_burned", "ones_fraction", "lag1", "record_bits_per_s",
        "device_bits_per_s", "energy_per_bit", "sampling_seconds", "noise_fraction_of_sampling", "simulated", "store",
        "seconds", "min_entropy", "min_entropy_ideal", "verdict",
    )  # fmt: skip
    assert set(promised) <= set(summary)
    assert summary["simulated"] is True
    assert (summary["images"], summary["verdict"]) == (3, "good")
    assert summary["bits_consumed"] == 3 * 784 * 2 * 32 * 2
    accounts = sound_accounts(demo / "store")
    assert (accounts.recorded, accounts.burned) == (summary["bits_recorded"], 0)
    assert accounts.consumed == summary["bits_consumed"]
    for picture in (demo / "pictures").glob("*.json"):
        assert json.loads(picture.read_text())["bits"]["simulated"] is True
    page = (demo / "report.html").read_text()
    assert "SIMULATED ARRAY" in page
    assert not re.search(r'(src|href)="(?!data:)', page), "the page must be self-contained"
    assert (demo / "images.png").stat().st_size > 1000

    # Picture 2 was alone in its padded microbatch, picture 0 was not; replay draws each alone.
    pictures = [demo / "pictures" / "00002-2.png", demo / "pictures" / "00000-0.json"]
    done = memtj_here("replay", *pictures, "--store", demo / "store", "--json", status=0)
    assert [p["identical"] for p in done.json["pictures"]] == [True, True]


@pytest.mark.slow
def test_a_poor_source_is_said_to_be_one(memtj_here: Callable, bench: Path, tmp_path: Path) -> None:
    """Conditioning brings the pictures back; the report judges the raw bits all the same, at its top."""
    out = tmp_path / "demo"
    few = ("--images", 1, "--steps", 2)
    done = memtj_here(
        "demo", "--out", out, "--bench", bench, "--no-calibrate", "--voltage", 0.76, *few, status=0
    )
    summary = json.loads((out / "summary.json").read_text())
    assert summary["min_entropy"] < 0.8 * summary["min_entropy_ideal"]
    assert summary["verdict"] in ("poor", "useless")
    assert f"raw bits {summary['verdict']}" in done.stdout
    page = (out / "report.html").read_text()
    warning = page.index(f"{summary['verdict'].upper()} ")
    assert warning < page.index("<h2>Pictures</h2>")


@pytest.mark.slow
def test_another_device_and_its_own_working_point(memtj_here: Callable, tmp_path: Path) -> None:
    """Set A toggles at 1.7 V and 24 ns; its two directions differ, and the verdict says so."""
    out = tmp_path / "demo"
    memtj_here("demo", "--out", out, "--seed", 3, "--device", "A", "--images", 3, "--steps", 3, status=0)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["verdict"] == "fair"
    assert 0.4 < summary["ones_fraction"] < 0.48
    assert summary["failed_resets"] == 0
    assert "1.7 V" in (out / "report.html").read_text()


@pytest.mark.slow
def test_a_device_that_cannot_be_told_apart_is_refused(memtj_here: Callable, tmp_path: Path) -> None:
    """A parameter that leaves no signal: with a tunnel magnetoresistance of 0.3 % both states read the same."""
    device = tmp_path / "flat.toml"
    shipped = (SHIPPED / "C.toml").read_text("utf-8")
    device.write_text(shipped.replace("tmr = 1.2 ", "tmr = 0.003 "), "utf-8")
    done = memtj_here("demo", "--out", tmp_path / "demo", "--device", device, *_SMALL, status=1)
    assert "no cell of the array can be used" in done.sentence
    assert "no two separate resistances" in done.stderr


@pytest.mark.slow
@posix_only
@pytest.mark.parametrize(
    "number",
    [pytest.param(n, id=n.name) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)],
)
def test_an_ended_demo_leaves_no_process_and_exact_accounts(
    start: Callable,
    end: Callable,
    wait_until: Callable,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    out, steps = tmp_path / "demo", 200
    demo: subprocess.Popen[str] = start(
        "demo", "--out", out, "--images", 4, "--steps", steps, "--microbatch", 2, "--no-calibrate"
    )
    wait_until(lambda: demo.poll() is not None or (out / "images.png").exists(), 60, "no preview")
    assert demo.poll() is None
    ends = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}
    end(demo, number, timeout=40, status=ends[number])
    wait_until(lambda: not demo_children(out), 40, "a process is left")
    accounts = sound_accounts(out / "store")
    assert accounts.consumed == 0
    assert accounts.burned == 2 * 784 * steps * 32 * 2  # the microbatch that was being drawn
