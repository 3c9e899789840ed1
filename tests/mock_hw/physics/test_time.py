"""Drift, slow noise and retention: what happens while time passes."""

import numpy as np
import pytest
from scipy.signal import welch
from scipy.stats import chi2

from mock_hw import SimulatedArray
from mock_hw._array import Run, forgetting, stream_words
from mock_hw.physics import (
    DeviceParameters,
    FokkerPlanck,
    MacrospinDevice,
    escape_rate,
    hysteresis,
    load_device,
    resistance,
)
from mock_hw.physics._drift import TIMES, Drift
from tests.mock_hw.conftest import draw, sequence
from tests.mock_hw.physics.conftest import changed

FALSE_ALARM = 1e-6


def test_temperature_is_an_ornstein_uhlenbeck_process_of_the_set_variance(
    c: DeviceParameters, seed: int
) -> None:
    """Variance and correlation of 4,000 steps, whatever the step; false-alarm rate 1e-6 by their effective number."""
    p = changed(c, "drift", temperature=1.5, temperature_time=100.0, critical_voltage=0.0)
    p = changed(p, "readout", flicker=0.0, telegraph_cells=0.0)
    for step in (500.0, 50.0):
        drift, values = Drift(p, 1, seed), []
        for _ in range(4000):
            drift.advance(step)
            values.append(drift.temperature)
        rho = np.exp(-step / 100.0)
        effective = 4000 * (1 - rho**2) / (1 + rho**2)
        low, high = (chi2.ppf(q, effective) / effective for q in (FALSE_ALARM / 4, 1 - FALSE_ALARM / 4))
        assert low < np.var(values) / 1.5**2 < high
        seen = np.corrcoef(values[:-1], values[1:])[0, 1]
        assert abs(seen - rho) < 6 / np.sqrt(4000)


def test_resistance_noise_falls_as_one_over_f(c: DeviceParameters, seed: int) -> None:
    """Slope −1 ± 0.1 over two decades, of 256 cells' readings of their own resistance."""
    p = changed(c, "readout", flicker=1e-3, telegraph_cells=0.0)
    drift, step, count = Drift(p, 256, seed), 0.1, 8192
    trace = np.empty((count, 256))
    for row in trace:
        drift.advance(step)
        row[:] = drift.resistance
    frequency, power = welch(trace, fs=1 / step, nperseg=4096, axis=0)
    power = power.mean(axis=1)
    inside = (frequency > 6e-3) & (frequency < 0.6)
    # Equal weight to each part of a decade.
    edges = np.geomspace(6e-3, 0.6, 13)
    which = np.digitize(frequency[inside], edges)
    points = [
        (np.log(frequency[inside][which == k]).mean(), np.log(power[inside][which == k]).mean())
        for k in np.unique(which)
    ]
    slope = np.polyfit(*np.array(points).T, 1)[0]
    assert slope == pytest.approx(-1.0, abs=0.1)
    assert trace.std() == pytest.approx(1e-3 * np.sqrt(len(TIMES)), rel=0.25)


@pytest.mark.slow
def test_readings_over_the_array_show_it_too(c: DeviceParameters) -> None:
    """Raw readings of an acquisition carry the slow noise: neighbours in time agree better than distant ones."""
    p = changed(c, "readout", flicker=5e-3, telegraph_cells=0.0, amplifier_noise=0.0)
    p = changed(p, "drift", temperature=0.0)
    array = SimulatedArray(MacrospinDevice(p, 64, 1), 8, 8, 1)
    settings = sequence(8, 8, threshold=115e3, voltage=np.zeros((8, 8)), settle=1e-3)
    pulses = 2000
    made = Run(array, settings).resistances(pulses, np.zeros(stream_words(pulses * 64), np.uint64))
    assert made is not None
    readings = made[0].reshape(pulses, 64)
    relative = readings / readings.mean(axis=0)
    near = np.std(relative[1:] - relative[:-1])
    far = np.std(relative[1000:] - relative[:-1000])
    assert far > 1.5 * near


def test_telegraph_noise_has_two_levels_and_its_rate(c: DeviceParameters, seed: int) -> None:
    p = changed(c, "readout", flicker=0.0, telegraph_cells=1.0, telegraph_step=4e-3, telegraph_rate=1.0)
    drift, flips, steps = Drift(p, 300, seed), np.zeros(300), 4000
    for _ in range(steps):
        before = drift.resistance.copy()
        drift.advance(0.05)
        flips += before != drift.resistance
    np.testing.assert_allclose(np.unique(drift.resistance), [-0.002, 0.002], rtol=1e-5)
    wanted = steps * (1 - np.exp(-2 * drift._rates * 0.05)) / 2
    z = (flips - wanted) / np.sqrt(wanted)
    assert np.abs(z).max() < 6.5


def test_critical_voltages_drift_and_move_p_sw(c: DeviceParameters) -> None:
    device = MacrospinDevice(changed(c, "drift", critical_voltage=2e-3), 512, 1)
    volts = np.full(512, 1.15)
    before = device.switching_probability(volts, 0.4e-9, 300.0, 0.0, False)
    device.advance(1e5)
    after = device.switching_probability(volts, 0.4e-9, 300.0, 0.0, False)
    assert 1e-3 < np.std(after - before) < 0.05
    assert device.drift.critical_voltage.std() == pytest.approx(2e-3 * 3, rel=0.3)


def test_drift_does_not_depend_on_how_a_run_is_cut_into_blocks(c: DeviceParameters) -> None:
    drawn = []
    for blocks in ((3000,), (1, 999, 2000)):
        array = SimulatedArray(MacrospinDevice(changed(c, "drift", temperature=2.0), 64, 4), 8, 8, 9)
        run = Run(
            array, sequence(8, 8, threshold=115e3, settle=0.01)
        )  # so slow that the laws change every few pulses
        assert run._step(60.0) < 1000
        bits, _, _ = draw(run, *blocks)
        run.end()
        drawn.append((bits.tobytes(), array.device.temperature_offset))
    assert drawn[0] == drawn[1]


@pytest.mark.parametrize(
    ("stability", "field", "damping", "z"),
    [
        (15, 0.2, 0.03, 0),
        (15, 0.337, 0.1, 0),
        (15, 0.5, 0.03, 0),
        (9, 0.2, 0.3, 0),
        (9, 0.0, 0.03, 0),
        (13, 0.0, 0.1, 0.02),
    ],
)
def test_escape_rates_against_the_fokker_planck_eigenvalue(
    c: DeviceParameters, stability: float, field: float, damping: float, z: float
) -> None:
    """An asymptotic formula: within 15 % from 4 k_B T on with an in-plane field, from 9 on without."""
    p = changed(
        changed(c, "free_layer", thermal_stability=float(stability), damping=damping), "field", in_plane=0.0
    )
    p = changed(p, "field", in_plane=field * p.anisotropy_field)
    tilt = z * p.anisotropy_field
    exact = FokkerPlanck(p.macrospin(out_of_plane=tilt), 26).slowest_rate()
    k, x = np.array([p.anisotropy_field]), np.array([p.field.in_plane])
    both = sum(escape_rate(k, x, np.array([s * tilt]), p.moment, damping, 300.0)[0] for s in (1, -1))
    assert both == pytest.approx(exact, rel=0.15)


def test_set_c_forgets_within_seconds_in_its_field_and_not_without(c: DeviceParameters) -> None:
    device = MacrospinDevice(c, 4096, 1)
    powered = device.retention_rate(300.0, 0.0, False)
    off = device.retention_rate(300.0, 0.0, False, powered=False)
    assert 0.05 < np.median(1 / powered) < 60
    assert (1 / off).min() > 3600 * 24 * 365


def test_reading_disturbs_with_one_sign_and_holds_with_the_other(c: DeviceParameters) -> None:
    """0.1 V takes 8 % of B_k away: the same rate as that of a cell with so much less anisotropy, exactly."""
    device = MacrospinDevice(c, 256, 1)
    rest, read, held = (device.retention_rate(300.0, 0.0, False, voltage=v) for v in (0.0, 0.1, -0.1))
    assert (read > 5 * rest).all()
    assert (held < rest / 5).all()
    weaker = MacrospinDevice(c, 256, 1)
    weaker.stability = weaker.stability * (1 - 0.1 / (c.critical_voltage * weaker.critical_voltage))
    np.testing.assert_allclose(weaker.retention_rate(300.0, 0.0, False), read, rtol=1e-5)


def test_reading_disturb_acts_in_an_acquisition(c: DeviceParameters) -> None:
    """Cells that are only read change more often the higher the read voltage; the rate is the law's, 6 σ."""
    p = changed(c, "drift", temperature=0.0)
    for volts in (0.1, -0.1):
        device = MacrospinDevice(p, 4096, 5)
        settings = sequence(
            64,
            64,
            voltage=np.zeros((64, 64)),
            read_voltage=volts,
            settle=1e-6,
            thresholds=np.full((64, 64), 115e3),
        )
        array = SimulatedArray(device, 64, 64, 5)
        run, pulses = Run(array, settings), 400
        before = array.antiparallel.ravel()
        run.bits(pulses, *(np.zeros(stream_words(pulses * 4096), np.uint64) for _ in range(2)))
        run.end()
        flipped = (array.antiparallel.ravel() != before).sum()
        a, b = (device.retention_rate(300.0, 0.0, s, voltage=volts) for s in (False, True))
        x, y = (device.retention_rate(300.0, 0.0, s) for s in (False, True))
        turns = settings.seconds_per_pulse - 1e-6
        p_out, q_out = forgetting(x * turns + a * 1e-6, y * turns + b * 1e-6, float(pulses))
        wanted = np.where(before, q_out, p_out)
        assert abs(flipped - wanted.sum()) < 6 * np.sqrt((wanted * (1 - wanted)).sum()) + 1


def test_an_idle_array_forgets_by_that_law_and_remembers_without_power(
    c: DeviceParameters, seed: int
) -> None:
    """False-alarm rate 1e-6: the number of flipped cells against the sum of their probabilities."""
    device = MacrospinDevice(changed(c, "drift", temperature=0.0), 4096, seed)
    array = SimulatedArray(device, 64, 64, seed)
    before = array.antiparallel
    array.rest(3600.0, powered=False)
    assert (array.antiparallel == before).all()
    rates = [device.retention_rate(300.0, 0.0, state) for state in (False, True)]
    flips = np.where(before.ravel(), *reversed(forgetting(rates[0], rates[1], 0.5)))
    array.rest(0.5)
    seen = (array.antiparallel != before).sum()
    assert abs(seen - flips.sum()) < 4.9 * np.sqrt((flips * (1 - flips)).sum())
    assert 50 < seen < 2000


def test_forgetting_is_exact_for_two_states() -> None:
    a, b, t = np.array([0.3]), np.array([0.1]), 2.0
    p, q = forgetting(a, b, t)
    # Two halves make a whole.
    p1, q1 = forgetting(a, b, t / 2)
    assert p[0] == pytest.approx((p1 * (1 - q1) + (1 - p1) * p1)[0])
    assert forgetting(a, b, 1e9)[0][0] == pytest.approx(0.75)
    assert (p + q)[0] < 1
    assert forgetting(a * 0, b * 0, 1e9)[0][0] == 0


def test_the_state_survives_a_save_and_another_device_refuses_it(c: DeviceParameters) -> None:
    array = SimulatedArray(MacrospinDevice(c, 64, 1), 8, 8, 1)
    array.device.wear(10**9, np.full(64, 1.6))
    array.rest(10.0)
    saved = array.save()
    again = SimulatedArray(MacrospinDevice(c, 64, 1), 8, 8, 2)
    again.load(saved)
    assert (again.antiparallel == array.antiparallel).all()
    for name, value in again.save().items():
        np.testing.assert_array_equal(value, saved[name])
    other = SimulatedArray(MacrospinDevice(load_device("A"), 64, 1), 8, 8, 1)
    with pytest.raises(ValueError, match="another device"):
        other.load(saved)
    with pytest.raises(ValueError, match="8 × 8 cells"):
        SimulatedArray(MacrospinDevice(c, 32, 1), 4, 8, 1).load(saved)


def test_coercivity_shrinks_with_temperature(c: DeviceParameters) -> None:
    """R–H loops at three temperatures: square, centred, and narrower when warm."""
    p = changed(c, "field", in_plane=0.0)
    sweep = np.concatenate([np.linspace(0.12, -0.12, 961), np.linspace(-0.12, 0.12, 961)])
    coercivities = []
    for kelvin in (200.0, 300.0, 400.0):
        antiparallel = hysteresis(p, sweep, 0.01, temperature=kelvin)
        down, up = antiparallel[:961], antiparallel[961:]
        assert down[0] < 1e-6
        assert down[-1] > 1 - 1e-6
        left = np.interp(0.5, down, sweep[:961])
        right = np.interp(-0.5, -up, sweep[961:])
        assert left == pytest.approx(-right, abs=3e-4)
        coercivities.append((right - left) / 2)
        r = resistance(p, 1 - 2 * antiparallel, temperature=kelvin)
        assert r.max() / r.min() > 1.9
    assert 0.09 > coercivities[0] > coercivities[1] + 2e-3 > coercivities[2] + 4e-3 > 0.02
