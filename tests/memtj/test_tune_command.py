"""`memtj tune` and `memtj record --tuning`, against a lab in a process of its own."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from entropy import Store
from tests.memtj.conftest import posix_only


def test_a_tuning_is_made_and_recorded_with(memtj_here: Callable, lab, bench: Path, tmp_path: Path) -> None:
    out, store = tmp_path / "tuning.json", tmp_path / "store"
    options = ("--target", 0.4, "--tolerance", 0.03, "--json")
    outcome = memtj_here("tune", bench, "--out", out, *options, status=0).json
    assert outcome["cells_used"] == outcome["cells"] == 1024
    assert outcome["half_interval"] < 0.03
    assert outcome["simulated"] is True
    assert not lab.output_is_on()
    assert json.loads(out.read_text())["conditions"]["target"] == 0.4
    assert "exists already: name a new file" in memtj_here("tune", bench, "--out", out, status=1).stderr
    done = memtj_here("record", bench, "--store", store, "--bits", "2e7", "--tuning", out, "--json", status=0)
    assert abs(done.json["ones_fraction"] - 0.4) < 0.003
    with Store(store) as opened:
        kept = opened.tuning(opened.buffers()[0].uuid)
    assert kept is not None
    assert kept[1]["file"] == "tuning.json"
    other = memtj_here(
        "record", bench, "--store", store, "--bits", "1e6", "--tuning", out, "--voltage", 0.9, status=1
    )
    assert "made with a voltage of 0.85 and 0.9 is asked for" in other.stderr
    assert not lab.output_is_on()


@posix_only
def test_ctrl_c_leaves_no_file(start: Callable, end: Callable, lab, bench: Path, tmp_path: Path) -> None:
    tuning = start("tune", bench, "--out", tmp_path / "tuning.json", "--tolerance", 0.002)
    lab.wait_for_output(True)
    end(tuning, signal.SIGINT, status=130)
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
    assert said in done.errors
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "tuning.json").exists()
