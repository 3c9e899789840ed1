"""The forward process in a simulated array: every step flips as many pixels as β_t says."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from entropy import Store
from entropy.quality.draws import audit_draws
from instruments import Bench, DrawCalibration
from instruments.array import BernoulliArray, DrawDrift
from memtj.growing import calibrated_array, noise_forward
from mock_hw.testing import board_lab
from sampler.processes import BinaryProcess
from tests.memtj.conftest import Done
from tests.memtj.test_grow_command import COLUMNS, ROWS, SIDE, calibrated, is_off, write_bench


@pytest.mark.parametrize("shift", [1.0, 1.06])
def test_each_step_flips_as_many_pixels_as_it_is_asked_to(tmp_path: Path, shift: float):
    clean = (np.random.default_rng(3).random((10, 1, SIDE, SIDE)) < 0.2).astype(np.uint8)
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7, device="C", dac_bits=12) as lab:
        calibration = DrawCalibration.load(calibrated(lab, tmp_path / "draws.npz", -0.5))
        law = calibration.law
        off = replace(law, volts=np.minimum(shift * law.volts, law.highest))
        with Bench.from_toml(write_bench(lab, tmp_path)) as bench:
            array = calibrated_array(bench, calibration)
            # A law that is off is not followed here: each step is held against what was asked for.
            draws = BernoulliArray(array, DrawDrift(off), np.arange(ROWS * COLUMNS))
            with draws.switched_on(law.lowest, law.highest, hold=-0.5):
                steps = list(noise_forward(draws, law, BinaryProcess(16), clean))
    assert [step.t for step in steps] == list(range(17))
    np.testing.assert_array_equal(steps[0].x, clean)
    assert all(step.inside for step in steps) == (shift == 1.0)
    kept = np.mean(steps[-1].x == clean)
    assert abs(kept - 0.5) < 0.15


@pytest.mark.parametrize("shift", [1.0, 1.06])
def test_the_command_leaves_steps_figure_and_accounts(
    memtj_here: Callable[..., Done], tmp_path: Path, shift: float
):
    out = tmp_path / "out"
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7, device="C", dac_bits=12) as lab:
        path = calibrated(lab, tmp_path / "draws.npz", -0.5)
        bench = write_bench(lab, tmp_path)
        if shift != 1:
            known = DrawCalibration.load(path)
            path = tmp_path / "off.npz"
            replace(
                known, law=replace(known.law, volts=np.minimum(shift * known.law.volts, known.law.highest))
            ).save(path)
        options = [
            "noise", bench, "--calibration", path, "--out", out, "--images", 8, "--size", SIDE, "--steps", 16, "--json",
        ]  # fmt: skip
        if shift != 1:
            done = memtj_here(*options, status=1).json
            assert done["outside"]  # before the drift is followed
            assert is_off(lab)
            assert (out / "forward.png").exists()
            return
        done = memtj_here(*options, status=0).json
        assert is_off(lab)
    assert (done["images"], done["steps"], done["outside"]) == (8, 16, [])
    assert 0 < done["energy_per_picture"]["junction"] < done["energy_per_picture"]["system"]
    with np.load(out / "forward.npz") as kept:
        assert kept["x"].shape == (17, 8, 1, SIDE, SIDE)
        np.testing.assert_allclose(kept["asked"][1:], BinaryProcess(16).flips)
        flipped = (kept["x"][1:] != kept["x"][:-1]).mean(axis=(1, 2, 3, 4))
        np.testing.assert_allclose(kept["flipped"][1:], flipped)
        assert np.all((kept["low"] <= kept["flipped"]) & (kept["flipped"] <= kept["high"]))
        assert np.all(kept["strayed"][1:] > 0)
        x, cells = kept["x"], kept["cells"]
    assert (out / "forward.png").read_bytes().startswith(b"\x89PNG")
    with Store(done["store"], read_only=True) as store:
        assert len(audit_draws(store, done["recording"]).cells) == 0
        last = store.buffers()[0].blocks - 1
        packed, valid = store.read_block(store.buffers()[0].uuid, last)
        assert valid is not None
        read = np.zeros(ROWS * COLUMNS, np.uint8)
        used = np.unpackbits(valid, count=ROWS * COLUMNS).astype(bool)
        read[used] = np.unpackbits(packed, count=int(used.sum()))
    np.testing.assert_array_equal(read[cells].ravel(), x[-1].ravel())
    assert "there already" in memtj_here(*options, status=1).sentence


def test_what_flips_by_itself_widens_the_interval(tmp_path: Path):
    clean = np.zeros((10, 1, SIDE, SIDE), np.uint8)
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7, device="C", dac_bits=12) as lab:
        calibration = DrawCalibration.load(calibrated(lab, tmp_path / "draws.npz", -0.5))
        law = calibration.law
        with Bench.from_toml(write_bench(lab, tmp_path)) as bench:
            draws = BernoulliArray(calibrated_array(bench, calibration), law, np.arange(ROWS * COLUMNS))
            with draws.switched_on(law.lowest, law.highest, hold=-0.5):
                still, loose = (
                    list(noise_forward(draws, law, BinaryProcess(4), clean, rate)) for rate in (0.0, 1.0)
                )
    assert all(step.strayed == 0 for step in still)
    for one, other in zip(still[1:], loose[1:], strict=True):
        assert 0 < other.strayed < 1
        assert other.high - other.asked > one.high - one.asked
        assert other.inside


def test_pictures_without_room_and_an_array_that_forgets_are_refused_before_anything_is_made(
    memtj_here: Callable[..., Done], tmp_path: Path
):
    out = tmp_path / "out"
    with board_lab(rows=ROWS, columns=COLUMNS, seed=7, device="C") as lab:
        bench = write_bench(lab, tmp_path)
        held, loose = (calibrated(lab, tmp_path / f"{hold}.npz", hold) for hold in (-0.5, 0.0))
        options = ["noise", bench, "--out", out, "--size", SIDE, "--calibration"]
        assert "can be used: draw fewer" in memtj_here(*options, held, "--images", 50, status=1).sentence
        assert "ask for as many at most" in memtj_here(*options, held, "--images", 10**6, status=1).sentence
        assert "of the cells flip by themselves" in memtj_here(*options, loose, status=1).sentence
        assert is_off(lab)
    assert not out.exists()
