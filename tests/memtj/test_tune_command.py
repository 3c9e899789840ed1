"""`memtj tune` and `memtj record --tuning`, against a lab in a process of its own."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from entropy import Store


def test_a_tuning_is_made_and_recorded_with(memtj_here: Callable, lab, bench: Path, tmp_path: Path) -> None:
    out, store = tmp_path / "tuning.json", tmp_path / "store"
    done = memtj_here("tune", bench, "--out", out, "--target", 0.4, "--tolerance", 0.03, "--json", status=0)
    outcome = json.loads(done.stdout)
    assert outcome["cells_used"] == outcome["cells"] == 1024
    assert outcome["half_interval"] < 0.03
    assert outcome["simulated"] is True
    assert not lab.output_is_on()
    assert json.loads(out.read_text())["conditions"]["target"] == 0.4
    again = memtj_here("tune", bench, "--out", out, status=1)
    assert "exists already: name a new file" in again.stderr
    done = memtj_here("record", bench, "--store", store, "--bits", "2e7", "--tuning", out, "--json", status=0)
    assert abs(json.loads(done.stdout)["ones_fraction"] - 0.4) < 0.003
    with Store(store) as opened:
        kept = opened.tuning(opened.buffers()[0].uuid)
    assert kept is not None
    assert kept[1]["file"] == "tuning.json"
    other = memtj_here(
        "record", bench, "--store", store, "--bits", "1e6", "--tuning", out, "--voltage", 0.9, status=1
    )
    assert "made with a voltage of 0.85 and 0.9 is asked for" in other.stderr
    assert not lab.output_is_on()


@pytest.mark.skipif(os.name == "nt", reason="signals between processes are POSIX's")
def test_ctrl_c_leaves_no_file(
    start: Callable, patience: Callable[[float], float], lab, bench: Path, tmp_path: Path
) -> None:
    tuning = start("tune", bench, "--out", tmp_path / "tuning.json", "--tolerance", 0.002)
    lab.wait_for_output(True)
    tuning.send_signal(signal.SIGINT)
    _, errors = tuning.communicate(timeout=patience(30))
    assert tuning.returncode == 130, errors
    assert "Traceback" not in errors
    assert not lab.output_is_on()
    assert not list(tmp_path.glob("tuning.json*"))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--target", 0.99), 1, "it goes from 0.02 to 0.98"),
        (("--mode", "both"), 2, "is not one of 'reset', 'toggle'"),
        (("--voltage", 3.0), 1, "above limits.pulse_voltage"),
    ],
)
def test_mistakes_are_one_sentence(
    memtj_here: Callable, lab, bench: Path, tmp_path: Path, arguments: tuple, status: int, said: str
) -> None:
    done = memtj_here("tune", bench, "--out", tmp_path / "tuning.json", *arguments, status=status)
    assert said in " ".join(done.stderr.replace("│", " ").split())
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "tuning.json").exists()
