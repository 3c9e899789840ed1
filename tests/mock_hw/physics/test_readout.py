"""Resistances, noise and settling against the formulas that they must follow."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import norm

from mock_hw import SimulatedArray
from mock_hw._array import Run
from mock_hw.physics import DeviceParameters, FokkerPlanck, MacrospinDevice, load_device, resistance
from tests.mock_hw.conftest import draw, sequence
from tests.mock_hw.physics.conftest import changed

CELLS = 1024


def quiet(parameters: DeviceParameters, **readout: float) -> DeviceParameters:
    """Without slow noise, telegraph noise, offsets and drift, unless they are asked for."""
    still = {"flicker": 0.0, "telegraph_cells": 0.0, "comparator_offset": 0.0, **readout}
    return changed(changed(parameters, "readout", **still), "drift", temperature=0.0, critical_voltage=0.0)


def test_tmr_falls_to_half_at_the_half_voltage(c: DeviceParameters) -> None:
    def tmr(volts: float, kelvin: float = 300.0) -> float:
        p, ap = (float(resistance(c, cos, voltage=volts, temperature=kelvin)) for cos in (1, -1))
        return ap / p - 1

    assert tmr(0.0) == pytest.approx(c.junction.tmr)
    assert tmr(c.junction.tmr_half_voltage) == pytest.approx(c.junction.tmr / 2)
    assert tmr(0.0, 350.0) < tmr(0.0, 300.0) < tmr(0.0, 280.0)


def test_conductance_is_linear_in_the_cosine(c: DeviceParameters) -> None:
    cosines = np.linspace(-1, 1, 9)
    conductance = 1 / resistance(c, cosines)
    np.testing.assert_allclose(np.diff(conductance), np.diff(conductance)[0], rtol=1e-9)
    assert resistance(c, 1.0) == pytest.approx(77.95e3, rel=1e-3)


def test_set_a_has_the_published_resistance_and_tmr() -> None:
    a = load_device("A")
    for volts in (0.0, 0.5, 1.28, 1.92):
        p, ap = (float(resistance(a, cos, voltage=volts)) for cos in (1, -1))
        assert p == pytest.approx(114.11e3 / (0.180 * volts**2 + 1.108), rel=1e-3)
        assert ap / p - 1 == pytest.approx(0.572 / (1 + 0.505 * volts**2), rel=1e-3)


def test_the_mean_of_m_z_is_that_of_the_well(c: DeviceParameters) -> None:
    """The in-plane field and the temperature tilt the free layer: R_P is read a little too high."""
    device = MacrospinDevice(quiet(c, line_capacitance=0.0), 1, 0)
    for name in ("stability", "in_plane", "parallel", "tmr"):
        getattr(device, name)[:] = 1.0
    device.stray_field[:] = 0.0
    exact = FokkerPlanck(c.macrospin(), 60).equilibrium(1)[2] / np.sqrt(3 / (4 * np.pi))
    p, ap = device.resistances(0.1, 300.0, 1.0, 1e-6)
    assert p[0] == pytest.approx(float(resistance(c, exact, voltage=0.1)), rel=2e-3)
    assert ap[0] == pytest.approx(float(resistance(c, -exact, voltage=0.1)), rel=2e-3)


def test_reading_too_soon_reads_a_relaxing_junction(c: DeviceParameters) -> None:
    device = MacrospinDevice(quiet(c, line_capacitance=0.0), CELLS, 0)
    windows = []
    for relaxed in (0.0, 1e-9, 3e-9, 10e-9, 1.0):
        p, ap = device.resistances(0.1, 300.0, relaxed, 1e-6)
        windows.append(float((ap - p).mean()))
    assert windows[0] == pytest.approx(0.0, abs=1.0)
    assert (np.diff(windows) > 0).all()
    assert windows[1] < 0.5 * windows[-1]
    assert windows[3] > 0.95 * windows[-1]


def test_reading_before_the_line_is_charged_reads_too_much(c: DeviceParameters) -> None:
    device = MacrospinDevice(quiet(c), CELLS, 0)
    late, _ = device.resistances(0.1, 300.0, 1.0, 1e-6)
    soon, _ = device.resistances(0.1, 300.0, 1.0, 5e-9)
    tau = late * c.readout.line_capacitance
    np.testing.assert_allclose(soon, late / (1 - np.exp(-5e-9 / tau)), rtol=1e-6)
    assert (soon > 1.2 * late).all()


def test_noise_is_shot_noise_at_high_bias_and_johnson_noise_at_none(c: DeviceParameters) -> None:
    p = quiet(c, amplifier_noise=0.0)
    device, r, settle = MacrospinDevice(p, 1, 0), np.array([100e3]), 1e-6
    bandwidth = 1 / (2 * settle)
    high = device.read_noise(r, 1.0, settle, 300.0)[0]
    assert high == pytest.approx(r[0] ** 2 * np.sqrt(2 * 1.602e-19 * 1.0 / r[0] * bandwidth), rel=1e-3)
    low = device.read_noise(r, 1e-4, settle, 300.0)[0]
    assert low == pytest.approx(r[0] ** 2 / 1e-4 * np.sqrt(4 * 1.381e-23 * 300 / r[0] * bandwidth), rel=1e-3)
    assert MacrospinDevice(quiet(c), 1, 0).read_noise(r, 0.1, settle, 300.0) > device.read_noise(
        r, 0.1, settle, 300.0
    )


class Permanent(MacrospinDevice):
    """Cells that never forget: what is counted then are errors of reading alone."""

    def retention_rate(self, temperature, field, antiparallel, *, powered=True, voltage=0.0):
        return np.zeros(self.cells)


def test_bit_error_rate_is_that_of_the_gaussian_tail(c: DeviceParameters, seed: int) -> None:
    """Q(ΔR / (σ_P + σ_AP)) at the threshold between the two; 6 σ of the errors counted in 2.6e7 readings.

    Cells that never flip, read 25,600 times each by the fast path, with little voltage so that a reading fails.
    """
    device = Permanent(quiet(c, amplifier_noise=0.0), CELLS, seed)
    volts, settle, pulses = 0.0015, 2e-8, 25_600
    one = sequence(32, 32, threshold=115e3, voltage=np.zeros((32, 32)), read_voltage=volts, settle=settle)
    p, ap = device.resistances(volts, 300.0, one.period - one.width + settle, settle)
    sp, sap = (device.read_noise(r, volts, settle, 300.0) for r in (p, ap))
    best = (p * sap + ap * sp) / (sp + sap)
    wanted = norm.sf((ap - p) / (sp + sap))
    assert 1e-4 < wanted.mean() < 0.1
    array = SimulatedArray(device, 32, 32, seed)
    state = array.antiparallel.ravel()
    bits, _, _ = draw(Run(array, replace(one, thresholds=best.reshape(32, 32))), pulses)
    errors = (bits != state).sum(axis=0)
    z = (errors.sum() - pulses * wanted.sum()) / np.sqrt(pulses * (wanted * (1 - wanted)).sum())
    assert abs(z) < 6
    each = (errors - pulses * wanted) / np.sqrt(pulses * wanted * (1 - wanted))
    assert np.abs(each).max() < 6.1


def test_raw_readings_go_through_the_converter(c: DeviceParameters) -> None:
    p = quiet(c, converter_bits=8, converter_range=256e3)
    array = SimulatedArray(MacrospinDevice(p, 64, 1), 8, 8, 1)
    readings = array.read(sequence(8, 8, threshold=115e3))
    assert (readings % 1000 == 0).all()
    assert len(np.unique(readings)) > 4
    small = quiet(c, converter_range=100e3)
    assert (
        SimulatedArray(MacrospinDevice(small, 64, 1), 8, 8, 1).read(sequence(8, 8, threshold=115e3)).max()
        <= 100e3
    )


def test_comparators_decide_at_thresholds_of_their_own(c: DeviceParameters) -> None:
    device = MacrospinDevice(quiet(c, comparator_offset=0.01), CELLS, 0)
    moved = device.compared(np.full(CELLS, 100e3)) / 100e3 - 1
    assert moved.std() == pytest.approx(0.01, rel=0.1)


def test_shorts_after_breakdown(c: DeviceParameters) -> None:
    """Weibull's law in pulses and voltage: the median cell breaks where it says; 6 σ of the count."""
    law = c.breakdown
    device = MacrospinDevice(quiet(c), 4096, 3)
    median = law.endurance * np.log(2) ** (1 / law.shape)
    device.wear(int(median), np.full(4096, law.reference))
    assert abs(device.broken.mean() - 0.5) < 6 * 0.5 / 64
    both = device.resistances(0.1, 300.0, 1.0, 1e-6)
    assert (both[0][device.broken] < 1e3).all()
    assert (both[0][~device.broken] > 50e3).all()
    flips = device.switching_probability(np.full(4096, 1.15), 0.4e-9, 300.0, 0.0, False)
    assert (flips[device.broken] == 0).all()
    fresh = MacrospinDevice(quiet(c), 4096, 3)
    fresh.wear(int(median), np.full(4096, 0.9 * law.reference))
    expected = 1 - np.exp(-np.log(2) * 0.9 ** (law.exponent * law.shape))
    assert abs(fresh.broken.mean() - expected) < 6 * np.sqrt(expected / 4096) + 2e-3
