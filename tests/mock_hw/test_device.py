"""The stand-in cells: the numbers that the rest of the project relies on."""

import numpy as np
import pytest
from scipy.optimize import brentq

from mock_hw import StandInDevice

CELLS = 4096


@pytest.fixture(scope="module")
def device() -> StandInDevice:
    return StandInDevice(CELLS, seed=1)


def flip(device: StandInDevice, voltage: float, width: float, antiparallel: bool = False) -> np.ndarray:
    return device.switching_probability(np.full(device.cells, voltage), width, 300.0, 0.0, antiparallel)


@pytest.mark.parametrize("antiparallel", [False, True])
def test_default_operating_point_is_a_coin_on_average_with_visible_spread(device, antiparallel):
    p = flip(device, 1.34, 0.34e-9, antiparallel)
    assert abs(p.mean() - 0.5) < 0.02
    assert 0.03 < p.std() < 0.09


def test_a_trim_of_120_mV_makes_every_cell_a_fair_coin(device):
    low, high = flip(device, 1.34 - 0.12, 0.34e-9), flip(device, 1.34 + 0.12, 0.34e-9)
    both_ways = (
        low + flip(device, 1.34 - 0.12, 0.34e-9, True),
        high + flip(device, 1.34 + 0.12, 0.34e-9, True),
    )
    assert (both_ways[0] < 1).all()
    assert (both_ways[1] > 1).all()


def test_one_trim_for_one_cell(device):
    def off(trim: float) -> float:
        return float(
            device.switching_probability(np.full(CELLS, 1.34 + trim), 0.34e-9, 300, 0, False)[17] - 0.5
        )

    assert abs(brentq(off, -0.12, 0.12)) < 0.12  # type: ignore[arg-type]


def test_default_reset_hardly_ever_fails(device):
    fails = 1 - flip(device, 1.55, 0.595e-9, True)
    assert fails.mean() <= 1e-3
    assert fails.min() > 0


def test_probability_oscillates_in_width_and_vanishes_without_voltage(device):
    widths = np.linspace(0.05e-9, 1.5e-9, 146)
    mean = np.array([flip(device, 1.55, w).mean() for w in widths])
    assert widths[mean.argmax()] == pytest.approx(0.595e-9, rel=0.1)
    after = widths > 0.7e-9
    assert widths[after][mean[after].argmin()] == pytest.approx(1.19e-9, rel=0.1)
    assert (flip(device, 0.0, 0.595e-9) == 0).all()
    assert (flip(device, -1.5, 0.595e-9) == 0).all()


def test_field_tilts_the_two_directions_against_each_other(device):
    v = np.full(CELLS, 1.34)
    up = device.switching_probability(v, 0.34e-9, 300, 1e-3, False)
    down = device.switching_probability(v, 0.34e-9, 300, -1e-3, False)
    assert (up - down).mean() / 2 == pytest.approx(-0.0175, rel=0.1)
    device.stray_field = -device.stray_field
    mirrored = device.switching_probability(v, 0.34e-9, 300, -1e-3, True)
    device.stray_field = -device.stray_field
    np.testing.assert_allclose(mirrored, up, rtol=1e-12)


def test_resistance_and_tmr_law(device):
    r_p, r_ap = device.resistances(0.0)
    assert r_p.mean() == pytest.approx(78e3, rel=0.01)
    assert (r_ap / r_p - 1).mean() == pytest.approx(1.2, rel=0.01)
    _, at_half = device.resistances(0.6)
    np.testing.assert_allclose(at_half / r_p - 1, (r_ap / r_p - 1) / 2)


def test_noise_grows_with_bandwidth_and_falls_with_voltage(device):
    r_p, _ = device.resistances(0.1)
    slow, fast = (device.read_noise(r_p, 0.1, s, 300.0) for s in (1e-6, 1e-8))
    np.testing.assert_allclose(fast / slow, 10)
    assert (device.read_noise(r_p, 0.01, 1e-6, 300.0) > slow).all()
    assert (slow < 1e-2 * r_p).all()


def test_same_seed_same_cells():
    a, b, c = StandInDevice(10, 5), StandInDevice(10, 5), StandInDevice(10, 6)
    assert (a.critical_voltage == b.critical_voltage).all()
    assert (a.critical_voltage != c.critical_voltage).all()
