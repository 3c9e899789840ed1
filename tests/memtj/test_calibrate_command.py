"""`memtj calibrate`, against a lab in a process of its own."""

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from instruments import DrawCalibration
from tests.memtj.conftest import posix_only


def test_draws_are_calibrated(memtj_here: Callable, lab, bench: Path, tmp_path: Path) -> None:
    out = tmp_path / "draws.npz"
    outcome = memtj_here("calibrate", bench, "--out", out, "--pulses", 4000, "--json", status=0).json
    assert outcome["cells_used"] == outcome["cells"] == 1024
    assert outcome["pulses_per_cell"] <= 4000
    assert outcome["half_interval"] < 0.06
    assert outcome["simulated"] is True
    assert outcome["bytes"] == out.stat().st_size < 200_000
    assert not lab.output_is_on()
    assert DrawCalibration.load(out).source["sha256"] == outcome["sha256"]
    assert "exists already: name a new file" in memtj_here("calibrate", bench, "--out", out, status=1).stderr


@posix_only
def test_ctrl_c_leaves_no_file(start: Callable, end: Callable, lab, bench: Path, tmp_path: Path) -> None:
    calibration = start("calibrate", bench, "--out", tmp_path / "draws.npz")
    lab.wait_for_output(True)
    end(calibration, signal.SIGINT, status=130)
    assert not lab.output_is_on()
    assert not list(tmp_path.glob("draws.npz*"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--pulses", 100), "it goes from 3000 to"),
        (("--voltage", 3.0), "above limits.pulse_voltage"),
        (("--hold", -0.5), "above limits.hold_voltage"),
        (("--csv", "draws.npz"), "would both be"),
    ],
)
def test_mistakes_are_one_sentence(
    memtj_here: Callable, lab, bench: Path, tmp_path: Path, monkeypatch, arguments: tuple, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    done = memtj_here("calibrate", bench, "--out", "draws.npz", *arguments, status=1)
    assert said in done.errors
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "draws.npz").exists()
    assert not lab.output_is_on()
