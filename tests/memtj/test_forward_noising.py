"""The forward process in a simulated array: every step flips as many pixels as β_t says."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from instruments import Bench, DrawCalibration
from instruments.array import BernoulliArray, DrawDrift
from memtj.growing import calibrated_array, noise_forward
from mock_hw.testing import board_lab
from sampler.processes import BinaryProcess
from tests.memtj.test_grow_command import COLUMNS, ROWS, SIDE, calibrated, write_bench


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
