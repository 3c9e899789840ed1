"""Runs that are suspended: their pictures are in the junctions alone, and sentinels say what was lost meanwhile."""

import json
import signal
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import logit

from entropy import Store
from entropy.testing import sound_accounts
from instruments.array import BoardArray
from memtj.growing import SENTINELS, RetentionLaw, Suspended
from mock_hw import Lab
from mock_hw.testing import board_lab
from sampler import load_checkpoint, load_pixels, load_provenance
from sampler.processes import BinaryProcess
from tests.memtj.conftest import Done, posix_only
from tests.memtj.test_grow_command import PIXELS, calibrated, is_off, model, write_bench

ROWS, COLUMNS, AT = 48, 64, 8
__all__ = ["model"]


@pytest.fixture(scope="module")
def lab() -> Any:
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7, device="C") as lab:
        yield lab


@pytest.fixture(scope="module")
def calibration(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    return calibrated(lab, folder / "draws.npz", -0.5)


@pytest.fixture
def of_the_board(lab: Lab, model: Path, calibration: Path, tmp_path: Path) -> list[Any]:
    resource = lab.resources["board"]
    return [
        "grow",
        write_bench(resource, tmp_path, ROWS, COLUMNS),
        "--model",
        model,
        "--calibration",
        calibration,
    ]


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def suspended(of_the_board: list[Any], memtj_here: Callable[..., Done], out: Path) -> Any:
    return memtj_here(*of_the_board, "--out", out, "--images", 8, "--suspend-at", AT, "--json", status=0).json


def test_a_lab_that_ends_meanwhile_gives_the_pictures_back(
    start: Callable, end: Callable, model: Path, calibration: Path, memtj_here: Callable, tmp_path: Path, out: Path
):  # fmt: skip
    (tmp_path / "lab.toml").write_text(
        f'[boxes.board]\nkind = "array-board"\nrows = {ROWS}\ncolumns = {COLUMNS}\n'
    )

    def served() -> tuple[Any, list[Any]]:
        lab = start("lab", tmp_path / "lab.toml", "--json", "--seed", 7, "--state", tmp_path / "state.npz")
        resource = json.loads(lab.stdout.readline())["resources"]["board"]
        bench = write_bench(resource, tmp_path, ROWS, COLUMNS)
        bench.write_text(bench.read_text().replace("resistance =", "thermal_stability = 50.0\nresistance ="))
        return lab, ["grow", bench, "--model", model, "--calibration", calibration]

    lab, command = served()
    done = memtj_here(*command, "--out", out, "--images", 8, "--suspend-at", AT, "--json", status=0).json
    assert (done["off"], done["suspended_at"]) == (True, AT)
    assert done["sentinels"] >= SENTINELS
    # No bit of a picture is anywhere but in the junctions.
    assert sound_accounts(out / "store").recorded == 0
    assert {path.name for path in out.iterdir()} == {"run.json", "suspended.json", "store"}
    with Store(out / "store") as store:
        assert sum(info.blocks for info in store.buffers()) > AT
    end(lab, signal.SIGINT, status=0)
    lab, command = served()
    done = memtj_here(*command, "--resume", out, "--json", status=0).json
    assert (done["sentinels"]["share"], done["images"]) == (0.0, 8)
    assert done["sentinels"]["low"] <= done["sentinels"]["expected"] <= done["sentinels"]["high"]
    assert done["bits_per_picture"] == PIXELS * (done["steps"] + 1)
    pictures = sorted((out / "pictures").glob("*.png"))
    assert len(pictures) == 8
    again = memtj_here(
        "replay", *pictures, "--store", out / "store", "--model", model, "--json", status=0
    ).json
    assert all(each["identical"] for each in again["pictures"])
    told = load_provenance(pictures[0])["suspended"]
    assert (told["step"], told["field_off"]) == (AT, True)
    assert memtj_here("energy", out, "--json", status=0).json["terms"] == done["energy_terms"]
    assert "and is finished" in memtj_here(*command, "--resume", out, status=1).sentence
    end(lab, signal.SIGINT, status=0)


@pytest.mark.parametrize(("share", "most"), [(0.01, 0.03), (0.1, 0.2)])
def test_what_was_lost_is_said_and_refused_above_a_most(
    lab: Lab, suspended: Any, of_the_board: list[Any], memtj_here: Callable, out: Path, share: float, most: float
):  # fmt: skip
    array, kelvin = lab.arrays["board"], 350.0
    rates = array.escape_rates(kelvin, 0.0, False, 0.0)
    law = RetentionLaw(float(np.log(np.median(1e9 / np.concatenate(rates)))), 0.05)
    seconds = np.geomspace(1, 1e12, 2000)
    seconds = float(seconds[np.argmax([(law.flipped_share(at) or 0) > share for at in seconds])])
    truth = np.mean([rate / sum(rates) * -np.expm1(-seconds * sum(rates)) for rate in rates])
    array.rest(seconds, powered=False, temperature=kelvin)
    told = json.loads((out / "suspended.json").read_text())
    told["time"] = (datetime.fromisoformat(told["time"]) - timedelta(seconds=seconds)).isoformat()
    (out / "suspended.json").write_text(json.dumps(told))
    resume = [*of_the_board, "--resume", out, "--delta", law.delta, "--delta-spread", 0.05]
    refused = memtj_here(*resume, status=1).sentence
    assert "0.001 is the most, so the pictures are not gone on with: begin anew" in refused
    assert is_off(lab)
    assert not (out / "pictures").exists()
    found = memtj_here(*resume, "--most-lost", most, "--json", status=0).json["sentinels"]
    assert found["low"] <= truth <= found["high"]
    assert found["low"] <= found["expected"] <= found["high"]
    assert found["from_p"] > 0 < found["from_ap"]


def test_what_cannot_be_suspended_or_resumed_is_refused(
    lab: Lab, of_the_board: list[Any], suspended: Any, memtj_here: Callable, out: Path, tmp_path: Path
):  # fmt: skip
    new = ["--out", tmp_path / "new", "--suspend-at"]
    other = list(of_the_board)
    other[5] = calibrated(lab, tmp_path / "other.npz", -0.4)
    cases = [
        (
            "2,048 cells beside its pictures as sentinels, and 1,920",
            (*of_the_board, *new, AT, "--images", 18),
        ),
        ("48 of 60 pictures fit", (*of_the_board, *new, AT, "--images", 60)),
        ("after 1 to 15, not 16", (*of_the_board, *new, 16)),
        ("leaves them in the junctions alone", (*of_the_board, *new, AT, "--animate", "gif")),
        ("holds no run of 'memtj grow'", (*of_the_board, "--resume", tmp_path / "new")),
        ("--images, --mode means nothing", (*of_the_board, "--resume", out, "--images", 8, "--mode", "flip")),
        (
            "--delta means nothing without --resume of a run that is",
            (*of_the_board, "--out", tmp_path / "new", "--delta", 50),
        ),
        ("and this one is another: name that one with --calibration", (*other, "--resume", out)),
    ]
    for part, arguments in cases:
        assert part in memtj_here(*arguments, status=1).sentence
        assert not (tmp_path / "new").exists()
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7, serial_number="0002") as another:
        write_bench(another, tmp_path, ROWS, COLUMNS)
        said = memtj_here(*of_the_board, "--resume", out, status=1).sentence
        assert "0002" in said
        assert "calibration" in said
    whole = (out / "suspended.json").read_text()
    (out / "suspended.json").write_text("{")
    assert "suspended.json cannot be read" in memtj_here(*of_the_board, "--resume", out, status=1).sentence
    (out / "suspended.json").write_text(whole)
    told = json.loads((out / "run.json").read_text())
    told["settings"]["model"] = "0" * 64
    (out / "run.json").write_text(json.dumps(told))
    assert "name that one with --model" in memtj_here(*of_the_board, "--resume", out, status=1).sentence


def test_an_end_before_the_field_goes_off_leaves_a_run_that_can_be_resumed(
    lab: Lab, of_the_board: list[Any], memtj_here: Callable, out: Path, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    def interrupted(array: BoardArray, on: bool) -> None:
        if not on:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(BoardArray, "field", interrupted)
        memtj_here(*of_the_board, "--out", out, "--images", 4, "--suspend-at", AT, status=130)
    assert is_off(lab)
    assert not Suspended.load(out).off
    memtj_here(*of_the_board, "--resume", out, status=0)


@posix_only
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_resume_that_ends_early_says_so_and_two_at_once_are_refused(
    lab: Lab, of_the_board: list[Any], suspended: Any, memtj_here: Callable, start: Callable, end: Callable,
    wait_until: Callable, out: Path, how: signal.Signals,
):  # fmt: skip
    first = start(*of_the_board, "--resume", out)
    wait_until(lambda: Suspended.load(out).resumed is not None, 60, "nothing is resumed")
    first.send_signal(signal.SIGSTOP)
    assert "is at work in" in memtj_here(*of_the_board, "--resume", out, status=1).sentence
    first.send_signal(how)
    end(first, signal.SIGCONT)
    wait_until(lambda: is_off(lab), 30, "something is on")
    said = memtj_here(*of_the_board, "--resume", out, status=1).sentence
    assert "and ended early: its cells have had pulses since" in said


@posix_only
def test_a_kill_before_the_suspension_leaves_a_run_that_is_grown_from_its_first_step(
    lab: Lab, of_the_board: list[Any], memtj_here: Callable, start: Callable, end: Callable, wait_until: Callable,
    out: Path,
):  # fmt: skip
    run = start(*of_the_board, "--out", out, "--images", 8, "--suspend-at", 15)
    wait_until((out / "store" / "ledger.sqlite").exists, 60, "nothing is begun")
    end(run, signal.SIGKILL)
    wait_until(lambda: is_off(lab), 5, "something is on")
    assert sound_accounts(out / "store").recorded == 0
    done = memtj_here(*of_the_board, "--resume", out, "--json", status=0).json
    assert (done["images"], done["grown"]) == (8, 8)
    assert done["bits_per_picture"] == PIXELS * (done["steps"] + 1)


def test_the_share_that_flips_is_that_of_two_states():
    law = RetentionLaw(20.0)
    tau = np.exp(20.0) * 1e-9
    for seconds in (0.01 * tau, tau, 100 * tau):
        assert law.flipped_share(seconds) == pytest.approx((1 - np.exp(-2 * seconds / tau)) / 2)
    assert RetentionLaw().flipped_share(1.0) is None
    deltas = np.random.default_rng(1).normal(20, 1, 1_000_000)
    spread = np.mean(-np.expm1(-2e-2 * tau * np.exp(-deltas) * 1e9) / 2)
    assert RetentionLaw(20.0, 0.05).flipped_share(1e-2 * tau) == pytest.approx(spread, rel=0.02)


def chance_of_one_law(first: np.ndarray, second: np.ndarray, permutations: int = 4999) -> float:
    """How often two halves of all pictures are as far apart as these two: energy distance of Hamming distances."""
    both = np.concatenate([first, second]).reshape(len(first) + len(second), -1).astype(float)
    apart, rng = cdist(both, both, "cityblock"), np.random.default_rng(5)
    sides = np.repeat([1.0, -1.0], [len(first), len(second)])
    drawn = np.stack([sides, *(rng.permutation(sides) for _ in range(permutations))])
    # Of halves of equal size, -s D s is the energy distance, up to a factor.
    distances = -np.einsum("ij,ij->i", drawn @ apart, drawn)
    return float(np.mean(distances >= distances[0]))


class _Exact:
    """The network of a law that is known: independent pixels, each 1 with a probability `ones` of its own."""

    def __init__(self, process: BinaryProcess, ones: np.ndarray) -> None:
        self._kept, self._own = process.kept, torch.from_numpy(logit(ones))

    def __call__(self, x: torch.Tensor, t: int, class_labels: object = None) -> SimpleNamespace:
        kept = self._kept[t + 1]
        return SimpleNamespace(sample=self._own + x * np.log((1 + kept) / (1 - kept)))


@pytest.mark.slow
def test_pictures_of_resumed_runs_have_the_law_of_those_that_were_not_suspended(
    model: Path, memtj_here: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):  # fmt: skip
    read = load_checkpoint(model)
    ones = np.where(np.random.default_rng(2).random(read.pictures.shape) < 0.5, 0.1, 0.9)
    exact: Any = _Exact(BinaryProcess.from_config(read.card["scheduler"]), ones)
    monkeypatch.setattr("sampler.load_checkpoint", lambda path: replace(read, model=exact))
    rows, columns, each, late = 72, 80, 50, 14  # late, so that what is lost is not mended
    made: dict[str, list[np.ndarray]] = {"whole": [], "resumed": [], "forgotten": []}
    for seed in range(4):
        folder = tmp_path / str(seed)
        folder.mkdir()
        box = {"rows": rows, "columns": columns, "seed": seed, "device": "C", "state": folder / "state.npz"}

        def command(lab: Lab, folder: Path = folder) -> list[Any]:
            bench = write_bench(lab.resources["board"], folder, rows, columns)
            return ["grow", bench, "--model", model, "--calibration", folder / "draws.npz"]

        begin = ["--images", each, "--out"]
        with board_lab(**box) as lab:
            calibrated(lab, folder / "draws.npz", -0.5)
            memtj_here(*command(lab), *begin, folder / "whole", status=0)
            memtj_here(*command(lab), *begin, folder / "resumed", "--suspend-at", late, status=0)
        with board_lab(**box) as lab:
            memtj_here(*command(lab), "--resume", folder / "resumed", status=0)
            memtj_here(*command(lab), *begin, folder / "forgotten", "--suspend-at", late, status=0)
            lab.arrays["board"].rest(3e8, powered=False, temperature=350.0)
            kept = ["--resume", folder / "forgotten", "--most-lost", 0.5]
            assert memtj_here(*command(lab), *kept, "--json", status=0).json["sentinels"]["share"] > 0.1
        for arm, pictures in made.items():
            pictures += [
                load_pixels(path) > 127 for path in sorted((folder / arm / "pictures").glob("*.png"))
            ]
    whole, resumed, forgotten = (np.array(pictures) for pictures in made.values())
    assert len(whole) == len(resumed) == len(forgotten) == 4 * each
    told = chance_of_one_law(whole, resumed), chance_of_one_law(whole, forgotten)
    assert told[0] > 1e-3 > told[1]
    assert abs(np.mean(resumed == (ones[0] > 0.5)) - 0.9) < 0.02
