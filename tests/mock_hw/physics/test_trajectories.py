"""Macrospin trajectories against theory and against a reference integration (PHYSICS of the simulated device)."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.stats import chi2

from mock_hw.physics import DeviceError, DeviceParameters, FokkerPlanck, equilibrium, load_device, simulate
from mock_hw.physics._constants import BOLTZMANN, GAMMA
from mock_hw.physics._trajectories import default_step, pulse_heights
from tests.mock_hw.physics.conftest import changed

FALSE_ALARM = 1e-6


def reference(p: DeviceParameters, start: np.ndarray, voltage: float, width: float, times: np.ndarray):
    """The same equation in float64 by an eighth-order method, written out independently of the kernel."""
    rise, fall, layer = p.pulse.rise, p.pulse.fall, p.free_layer
    corners = np.cumsum([0.0, rise, width - (rise + fall) / 2, fall])

    def slope(t: float, m: np.ndarray) -> np.ndarray:
        v = voltage * np.interp(t, corners, [0, 1, 1, 0])
        field = np.array([p.field.in_plane, 0, p.field.out_of_plane])
        field = field + np.array([0, 0, (p.anisotropy_field + p.anisotropy_per_volt * v) * m[2]])
        field = field + p.torque_per_volt * v * np.cross(m, [0, 0, 1])
        torque = np.cross(m, field)
        return -GAMMA / (1 + layer.damping**2) * (torque + layer.damping * np.cross(m, torque))

    solved = solve_ivp(
        slope, (0, times[-1]), start, "DOP853", times, rtol=1e-11, atol=1e-12, max_step=rise / 4 or np.inf
    )
    return solved.y.T


@pytest.mark.parametrize(
    ("name", "voltage", "width"),
    [("A", 1.5, 4e-9), ("C", 1.3, 0.6e-9), ("C", 1.15, 0.3e-9), ("C", 1.5, 0.3037e-9), ("D", 1.25, 3e-9)],
)
def test_without_noise_they_match_a_high_order_integration(name: str, voltage: float, width: float) -> None:
    """To 5e-4 at steps of 1 ps, over the pulse and 1 ns after it."""
    p = load_device(name)
    assert deviation(p, voltage, width, 1e-12)[0] < 5e-4


@pytest.mark.slow
def test_without_noise_set_b_matches_too() -> None:
    """Its anisotropy field turns it as much in 0.05 ps as set C in 0.16 ps; 20 precessions are in this time.

    At 0.2 ps the azimuth, on which nothing depends in this axial cell, is late by 5e-3; m_z is not.
    """
    p = load_device("B")
    assert deviation(p, 0.5, 3e-9, 0.05e-12)[0] < 5e-4
    assert deviation(p, 0.5, 3e-9, 0.2e-12)[1] < 5e-4


@pytest.mark.parametrize("name", ["A", "B", "C", "D"])
def test_the_default_step_turns_the_free_layer_by_little(name: str) -> None:
    p = load_device(name)
    assert 0.1e-12 < default_step(p) <= 1e-12
    assert GAMMA * p.anisotropy_field * default_step(p) < 0.017


def deviation(p: DeviceParameters, voltage: float, width: float, step: float) -> tuple[float, float]:
    """Largest deviation from the reference of any component, and of m_z."""
    start = np.array([0.3, 0.05, 0.95]) / np.linalg.norm([0.3, 0.05, 0.95])
    settings = {"voltage": voltage, "width": width, "settle": 1e-9, "temperature": 0, "step": step}
    made = simulate(p, start[None], **settings, every=round(1e-12 / step))
    wanted = reference(p, start, voltage, width, made.times)
    worst = np.abs(made.m[:, 0] - wanted).max(axis=0)
    assert np.abs(wanted - start).max() > 0.05
    return worst.max(), worst[2]


def test_the_length_of_m_stays_one(c: DeviceParameters) -> None:
    m = simulate(
        c, equilibrium(c, 4000, antiparallel=False), voltage=1.3, width=1e-9, settle=2e-9, every=10
    ).m
    assert np.abs(np.linalg.norm(m.astype(np.float64), axis=2) - 1).max() < 1e-6


def test_precession_frequency_without_anisotropy(c: DeviceParameters) -> None:
    """At the critical voltage only the in-plane field is left: γ B_x / 2π within 2 %."""
    p = changed(changed(c, "free_layer", damping=1e-3), "pulse", rise=0.0, fall=0.0)
    made = simulate(
        p, np.array([[0.0, 0.0, 1.0]]), voltage=p.critical_voltage, width=20e-9, temperature=0, every=1
    )
    z = made.m[:, 0, 2].astype(np.float64)
    up = np.flatnonzero((z[:-1] < 0) & (z[1:] >= 0))
    crossings = made.times[up] - z[up] / (z[up + 1] - z[up]) * 1e-12
    frequency = (len(crossings) - 1) / (crossings[-1] - crossings[0])
    assert len(crossings) > 10
    assert frequency == pytest.approx(GAMMA * p.field.in_plane / (2 * np.pi), rel=0.02)


@pytest.mark.parametrize("name", ["A", *(pytest.param(name, marks=pytest.mark.slow) for name in "BCD")])
def test_noise_keeps_the_boltzmann_distribution(name: str, seed: int) -> None:
    """χ² of m_z and of the azimuth in 40 bins after 3 ns, from the exact distribution; false-alarm rate 1e-6 each."""
    p = changed(load_device(name), "free_layer", thermal_stability=8.0)
    p = changed(p, "field", in_plane=min(p.field.in_plane, 0.2 * p.anisotropy_field))
    cells = 60_000
    m = simulate(
        p, equilibrium(p, cells, antiparallel=None, seed=seed), settle=3e-9, seed=seed, threads=2
    ).final
    reference = equilibrium(p, 10 * cells, antiparallel=None, seed=seed + 1)
    for of in (lambda d: d[:, 2], lambda d: np.arctan2(d[:, 1], d[:, 0]), lambda d: d[:, 0]):
        edges = np.quantile(of(reference), np.linspace(0, 1, 41)[1:-1])
        seen, wanted = (np.bincount(np.searchsorted(edges, of(d)), minlength=40) for d in (m, reference))
        # Both sides are counted: the variance of a difference of two Poisson numbers.
        statistic = ((seen - wanted / 10) ** 2 / (wanted / 10 * 1.1)).sum()
        assert statistic < chi2.isf(FALSE_ALARM, 39)


def test_equilibrium_draws_the_moments_of_the_exact_distribution(c: DeviceParameters, seed: int) -> None:
    m = equilibrium(c, 100_000, antiparallel=False, seed=seed)
    exact = FokkerPlanck(c.macrospin(), 60).equilibrium(1)
    first, unit = np.array([exact[3], exact[1], exact[2]]), np.sqrt(3 / (4 * np.pi))  # (1,1), (1,-1), (1,0)
    z = (m.mean(axis=0) - first / unit) / (m.std(axis=0) / np.sqrt(len(m)))
    assert np.abs(z).max() < 5.2  # false-alarm rate 1e-6 over three


def test_results_do_not_depend_on_threads_or_on_the_company(c: DeviceParameters) -> None:
    start = equilibrium(c, 2500, antiparallel=False)
    settings = {"voltage": 1.2, "width": 0.4e-9, "settle": 0.5e-9, "seed": 5}
    alone = simulate(c, start, **settings).final
    assert (simulate(c, start, **settings, threads=2).final == alone).all()
    assert (simulate(c, start[:700], **settings).final == alone[:700]).all()
    assert (simulate(c, start, **{**settings, "seed": 6}).final != alone).any()


def test_each_cell_may_have_its_own_parameters(c: DeviceParameters) -> None:
    start = equilibrium(c, 4, antiparallel=False)
    own = {"voltage": [1.0, 1.1, 1.2, 1.3], "anisotropy": [0.9, 1, 1, 1.1], "in_plane": [1, 1.02, 0.98, 1]}
    together = simulate(c, start, width=0.4e-9, temperature=0, out_of_plane=[0, 1e-3, -1e-3, 0], **own).final
    for k in range(4):
        mine = {name: values[k] for name, values in own.items()}
        field = [0, 1e-3, -1e-3, 0][k]
        one = simulate(c, start[k : k + 1], width=0.4e-9, temperature=0, out_of_plane=field, **mine).final
        assert (one[0] == together[k]).all()
    assert len({tuple(row) for row in together}) == 4


@pytest.mark.parametrize(
    ("width", "step"), [(0.3e-9, 1e-12), (0.3037e-9, 1e-12), (50e-12, 1e-12), (1e-9, 7e-12)]
)
def test_the_pulse_has_its_width_at_half_maximum(c: DeviceParameters, width: float, step: float) -> None:
    heights = pulse_heights(c, width, 1e-9, step)
    assert heights.sum() * step == pytest.approx(width, rel=1e-5)
    assert heights.max() <= 1
    sharp = changed(c, "pulse", rise=0.0, fall=0.0)
    assert pulse_heights(sharp, width, 1e-9, step).sum() * step == pytest.approx(width, rel=1e-5)


def test_mistakes_are_told(c: DeviceParameters) -> None:
    start = np.array([[0.0, 0.0, 1.0]])
    with pytest.raises(DeviceError, match="shorter than its edges"):
        simulate(c, start, voltage=1, width=10e-12)
    with pytest.raises(DeviceError, match=r"\(cells, 3\) is wanted"):
        simulate(c, start[0], voltage=1, width=1e-9)
    with pytest.raises(DeviceError, match=r"not between 0 and 1\.28e-11 s"):
        simulate(c, start, voltage=1, width=1e-9, step=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("stability", [4.0, 6.0])
def test_retention_against_the_fokker_planck_eigenvalue(
    c: DeviceParameters, stability: float, seed: int
) -> None:
    """Without a field the mean sign of m_z decays with the slowest eigenvalue, within 7 %: 5,000 events or more.

    The first relaxation times are left out. Counting noise is 1.4 %, so the false-alarm rate is below 1e-6.
    """
    p = changed(changed(c, "free_layer", thermal_stability=stability, damping=0.1), "field", in_plane=0.0)
    rate = FokkerPlanck(p.macrospin(), 40).slowest_rate()
    window, cells = 0.08 / rate, 160_000
    settings = {"threads": 2, "step": 4e-12}
    start = equilibrium(p, cells, antiparallel=False, seed=seed)
    first = simulate(p, start, settle=3 * p.relaxation_time, seed=seed, **settings).final
    second = simulate(p, first, settle=window, seed=seed + 1000, **settings).final
    before, after = (np.sign(m[:, 2].astype(np.float64)).mean() for m in (first, second))
    assert (second[:, 2] < 0).sum() - (first[:, 2] < 0).sum() > 5000
    assert np.log(before / after) / window == pytest.approx(rate, rel=0.07)


def test_thermal_field_has_browns_variance(c: DeviceParameters, seed: int) -> None:
    """One step from a pole: the spread of m_x and m_y is that of the thermal field; 5 σ of 200,000 cells."""
    p = changed(c, "field", in_plane=0.0)
    m = simulate(p, np.tile([0.0, 0.0, 1.0], (200_000, 1)), settle=1e-12, seed=seed).final.astype(np.float64)
    a, dt = p.free_layer.damping, 1e-12
    variance = 2 * a * BOLTZMANN * 300 / (GAMMA * p.moment * dt) * (GAMMA * dt) ** 2 / (1 + a * a)
    for axis in (0, 1):
        # The three-valued numbers have a kurtosis of 2.994, each component is a sum of two of them.
        assert m[:, axis].var() / variance == pytest.approx(1, abs=5 * np.sqrt(2 / len(m)) + 1e-3)
        assert abs(m[:, axis].mean()) < 5 * np.sqrt(variance / len(m))
