"""P_sw: the Fokker-Planck equation against trajectories, the table against both, and what theory says of it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from mock_hw.physics import (
    DeviceError,
    DeviceParameters,
    FokkerPlanck,
    MacrospinDevice,
    SwitchingTable,
    equilibrium,
    load_device,
    simulate,
    table_of,
)
from mock_hw.physics._constants import GAMMA
from mock_hw.physics._parameters import SHIPPED
from mock_hw.physics._table import FLOOR, solver_degree
from tests.mock_hw.physics.conftest import changed

FALSE_ALARM = 1e-6
SETS = ["A", "B", "C", "D"]


def table(name: str) -> SwitchingTable:
    """The shipped table of a set, never one made now."""
    p = load_device(name)
    found = SwitchingTable.open(SHIPPED / f"{name}.npz", p.digest)
    assert found is not None, f"the shipped table of set {name} is missing or of other parameters"
    return found


def probability(name: str, voltage: object, width: object, state: int = 0, field: float = 0.0) -> np.ndarray:
    v, w = np.broadcast_arrays(np.asarray(voltage, float), np.asarray(width, float))
    one = np.ones(v.size)
    return (
        table(name).probability(state, one, 300.0 * one, field * one, v.ravel(), w.ravel()).reshape(v.shape)
    )


@pytest.mark.parametrize("name", SETS)
def test_every_shipped_set_has_its_table_and_states_its_error(name: str) -> None:
    """The demo must not wait; the error is of P, over planes between all nodes."""
    t = table(name)
    assert t.rms_error < 2e-3
    assert t.largest_error < 0.05
    assert np.isfinite(t.logits).all()
    assert table_of(load_device(name)).digest == t.digest


POINTS = [("A", 1.6, 5e-9), ("A", 1.6, 12e-9), ("B", 0.33, 41e-9), ("C", 1.15, 0.4e-9), ("C", 1.34, 0.7e-9),
          ("C", 1.0, 0.9e-9), ("C", 1.5, 1.2e-9), ("D", 1.25, 3e-9), ("D", 1.35, 9e-9)]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "voltage", "width", "antiparallel"),
    [(*point, state) for point in POINTS for state in (False, True)],
)
def test_trajectories_agree_with_the_fokker_planck_equation(
    name: str, voltage: float, width: float, antiparallel: bool, seed: int
) -> None:
    """Two independent solutions of one model; z of 20,000 trajectories, false-alarm rate 1e-6 family-wise."""
    p = load_device(name)
    sign = -1 if antiparallel and p.free_layer.spin_torque else 1
    solver = FokkerPlanck(p.macrospin(), solver_degree(p))
    both = solver.switching(
        np.array([sign * voltage]), np.array([width]), rise=p.pulse.rise, fall=p.pulse.fall, settle=p.settle
    )
    wanted = both[int(antiparallel)][0, 0]
    cells = 20_000 if name != "B" else 2_000
    start = equilibrium(p, cells, antiparallel=antiparallel, seed=seed)
    step = {"A": 2e-12, "D": 2e-12}.get(name)  # slower than set C: half the steps do
    end = simulate(
        p, start, voltage=sign * voltage, width=width, settle=p.settle, seed=seed, threads=2, step=step
    ).final
    seen = ((end[:, 2] < 0) != antiparallel).mean()
    spread = np.sqrt(max(wanted * (1 - wanted), 1 / cells) / cells)
    assert abs(seen - wanted) < norm.isf(FALSE_ALARM / 36) * spread + 2e-3


def test_shipped_tables_hold_the_equation_where_it_is_solved_again() -> None:
    """Off the nodes of every axis, within the stated error: the file is what the solver gives."""
    p, t = load_device("C"), table("C")
    volts, widths = np.array([0.97, 1.163, 1.447]), np.array([0.203, 0.397, 0.611, 0.877]) * 1e-9
    spin = p.macrospin(anisotropy=1.03, temperature=306.0, out_of_plane=0.4e-3)
    # Degree 48 differs from 64 by a third of the stated error, in less than half of the time.
    solved = FokkerPlanck(spin, 48).switching(volts, widths, rise=50e-12, fall=50e-12, settle=p.settle)
    v, w = (axis.ravel() for axis in np.meshgrid(volts, widths, indexing="ij"))
    for state in (0, 1):
        found = t.probability(state, *(np.full(12, value) for value in (1.03, 306.0, 0.4e-3)), v, w)
        assert np.abs(found - solved[state].ravel()).max() < 6 * t.rms_error


def test_first_maximum_at_the_half_period_and_minimum_at_the_period(c: DeviceParameters) -> None:
    half = np.pi / (GAMMA * c.field.in_plane)
    widths = np.linspace(0.3e-9, 1.5e-9, 601)
    flips = probability("C", c.critical_voltage, widths)
    assert widths[flips[:300].argmax()] == pytest.approx(half, rel=0.1)
    assert widths[300:][flips[300:].argmin()] == pytest.approx(2 * half, rel=0.1)
    assert flips.max() > 0.999
    assert flips[300:].min() < 0.01
    d = load_device("D")
    half = np.pi / (GAMMA * d.field.in_plane)
    widths = np.linspace(3e-9, 9e-9, 601)
    assert widths[probability("D", d.critical_voltage, widths).argmax()] == pytest.approx(half, rel=0.1)


@pytest.mark.slow
def test_later_oscillations_are_damped(c: DeviceParameters) -> None:
    """The first maxima are full, the one after 34 more half periods is not: damping and noise, 20 ns later."""
    half = np.pi / (GAMMA * c.field.in_plane)
    flips = FokkerPlanck(c.macrospin(), 40).switching(
        np.array([c.critical_voltage]), half * np.arange(1, 36, 2), rise=50e-12, fall=50e-12, settle=c.settle
    )[0][0]
    assert flips[0] > 0.99
    assert (np.diff(flips[3:]) < 1e-4).all()
    assert flips[-1] < 0.85


def test_plateau_of_one_half(c: DeviceParameters) -> None:
    """At 0.30 ns, from 1.1 to 1.25 critical voltages: 0.50 ± 0.02, from both states."""
    volts = c.critical_voltage * np.linspace(1.1, 1.25, 31)
    for state in (0, 1):
        assert np.abs(probability("C", volts, 0.30e-9, state) - 0.5).max() < 0.02


def test_stray_field_tilts_the_plateau() -> None:
    """About −1.75 % per millitesla from P to AP, mirrored from AP to P."""
    volts = load_device("C").critical_voltage * np.linspace(1.1, 1.25, 31)
    up, down = (probability("C", volts, 0.30e-9, 0, sign * 1e-3) for sign in (1, -1))
    assert (up - down).mean() / 2 == pytest.approx(-0.0175, rel=0.25)
    np.testing.assert_allclose(probability("C", volts, 0.30e-9, 1, -1e-3), up, atol=1e-6)


@pytest.mark.slow
def test_trajectories_show_the_same_mirror_symmetry(seed: int) -> None:
    """P(P→AP, B_z) = P(AP→P, −B_z), false-alarm rate 1e-6."""
    p, cells = load_device("C"), 40_000
    seen = []
    for antiparallel in (False, True):
        z = -3e-3 if antiparallel else 3e-3
        start = equilibrium(p, cells, antiparallel=antiparallel, out_of_plane=z, seed=seed)
        end = simulate(
            p, start, voltage=1.45, width=0.3e-9, settle=6e-9, out_of_plane=z, seed=seed, threads=2
        )
        seen.append(((end.final[:, 2] < 0) != antiparallel).mean())
    assert abs(seen[0] - seen[1]) < norm.isf(FALSE_ALARM / 2) * np.sqrt(2 * 0.25 / cells)
    assert seen[0] < 0.49


def test_write_error_rate_is_u_shaped_and_lowest_near_the_half_period() -> None:
    widths = np.linspace(0.4e-9, 0.8e-9, 401)
    for volts in (1.2, 1.25, 1.3):
        wer = 1 - probability("C", volts, widths)
        good = widths[wer < 1e-3]
        assert 0.55e-9 < good.mean() < 0.65e-9
        assert wer.min() < 1e-4
        # Falling on the left, rising on the right, from and to a half.
        assert (np.diff(wer[widths < good[0]]) < 0).all()
        right = wer[widths > good[-1]]
        assert (np.diff(right[: right.argmax() + 1]) > 0).all()
        assert min(wer[0], right.max()) > 0.3


def test_set_a_is_a_sigmoid_in_width_with_a_plateau_in_voltage() -> None:
    widths = np.linspace(0.5e-9, 29e-9, 200)
    levels = []
    for state in (0, 1):
        flips = probability("A", 1.7, widths, state)
        assert (np.diff(flips) > -2e-4).all()
        assert flips[0] < 0.01
        assert np.ptp(flips[-20:]) < 2e-3
        plateau = probability("A", np.linspace(1.28, 1.92, 20), 29e-9, state)
        assert np.ptp(plateau) < 0.03
        levels.append(flips[-1])
    assert levels[0] + 0.05 < 0.5 < levels[1] - 0.05
    assert load_device("A").limits()[0] >= 1.92


def test_set_b_is_the_published_sigmoid_in_voltage() -> None:
    """k = 203 to 275 1/V and V₀ = 0.281 to 0.302 V: at 500 ns, with the slope and the middle of its own fit."""
    volts = np.linspace(0.25, 0.33, 400)
    flips = probability("B", volts, 500e-9)
    middle = (flips > 0.02) & (flips < 0.98)
    slope, offset = np.polyfit(volts[middle], np.log(flips[middle] / (1 - flips[middle])), 1)
    assert 203 < slope < 275
    assert 0.281 < -offset / slope < 0.302
    assert probability("B", -volts, 500e-9, 0).max() < 1e-3  # the other sign keeps the state
    np.testing.assert_allclose(probability("B", -volts, 500e-9, 1), flips, atol=0.01)


@pytest.mark.slow
def test_fast_path_against_trajectories_for_every_cell(seed: int) -> None:
    """1,024 cells with their spread, 6.1 σ each; their mean within the table's stated error too."""
    p, cells, each = load_device("C"), 1024, 400
    device = MacrospinDevice(p, cells, seed)
    device.drift.temperature = 0.0
    voltage, width = 1.15, 0.40e-9
    wanted = device.switching_probability(np.full(cells, voltage), width, 300.0, 0.0, False)
    drifted = device.critical_voltage * (1 + device.drift.critical_voltage)
    own = {
        "out_of_plane": np.repeat(device.stray_field, each),
        "anisotropy": np.repeat(device.stability, each),
        "in_plane": np.repeat(device.in_plane, each),
    }
    start = equilibrium(p, cells * each, antiparallel=False, seed=seed, **own)
    volts = np.repeat(nominal_to_own(p, voltage, drifted), each)
    end = simulate(
        p, start, voltage=volts, width=width, settle=p.settle, seed=seed, threads=2, step=2e-12, **own
    )
    seen = (end.final[:, 2] < 0).reshape(cells, each).mean(axis=1)
    z = (seen - wanted) / np.sqrt(wanted * (1 - wanted) / each)
    assert np.abs(z).max() < 6.1
    assert z.std() == pytest.approx(1, abs=0.12)
    assert abs(seen.mean() - wanted.mean()) < 5 * 0.5 / np.sqrt(cells * each) + table("C").rms_error


def nominal_to_own(p: DeviceParameters, voltage: float, critical: np.ndarray) -> np.ndarray:
    """Volts that do to the device's ξ what `voltage` does to that of a cell with its own critical voltage."""
    return voltage / critical


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"voltage": 3.0}, "pulse voltage of 3 V on a nominal cell is outside"),
        ({"width": 5e-9}, "pulse width of 5e-09 s on a nominal cell is outside"),
        ({"temperature": 400.0}, "temperature of 400 K is outside"),
        ({"field": 0.01}, "out-of-plane field of 0.01 T is outside"),
        ({"anisotropy": 1.5}, "anisotropy of 1.5 B_k is outside"),
    ],
)
def test_the_fast_path_never_extrapolates(settings: dict[str, float], said: str) -> None:
    values = {
        "anisotropy": 1.0,
        "temperature": 300.0,
        "field": 0.0,
        "voltage": 1.3,
        "width": 0.4e-9,
        **settings,
    }
    t, one = table("C"), np.ones(3)
    with pytest.raises(DeviceError, match=said):
        t.probability(
            0, values["anisotropy"] * one, values["temperature"] * one, values["field"] * one,
            values["voltage"] * one, values["width"] * one,
        )  # fmt: skip


def test_no_pulse_and_the_wrong_sign_do_not_switch() -> None:
    assert (probability("C", [-2.0, -0.5, 0.0], 0.4e-9) == 0).all()
    device = MacrospinDevice.of("C", 10, 0)
    assert (device.switching_probability(np.zeros(10), 0.4e-9, 300.0, 0.0, True) == 0).all()


def test_pulses_shorter_than_their_edges_are_weaker() -> None:
    """Down to the floor of the table, and the solver's single precision on top of it."""
    widths = np.array([1e-12, 20e-12, 49e-12, 50e-12, 60e-12])
    flips = probability("C", 2.0, widths)
    assert (np.diff(flips) >= 0).all()
    assert flips[0] < FLOOR + 4e-6
    assert flips[3] < 2e-3


def coarse(tmp_path: Path, **table_section: object) -> DeviceParameters:
    """Set A with a low barrier and few nodes: axial, so that it is solved within seconds."""
    axes = {"voltage": (0.0, 2.0, 0.4), "width": (0.2e-9, 5.2e-9, 1e-9), **table_section}
    return changed(changed(load_device("A"), "table", **axes), "free_layer", thermal_stability=16.0)


def test_a_table_is_made_once_and_again_when_the_parameters_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("mock_hw.physics._table.platformdirs.user_cache_dir", lambda *_, **__: str(tmp_path))
    p, steps = coarse(tmp_path), []
    first = table_of(p, lambda done, of: steps.append((done, of)))
    assert steps[-1][0] == steps[-1][1] == len(steps)
    kept = list(tmp_path.rglob("*.npz"))
    assert len(kept) == 1
    steps.clear()
    again = table_of(p, lambda done, of: steps.append((done, of)))
    assert not steps
    np.testing.assert_allclose(again.logits, first.logits, atol=1e-3)
    other = changed(p, "free_layer", damping=0.06)
    assert other.digest != p.digest
    table_of(other, lambda done, of: steps.append((done, of)))
    assert steps
    # What does not touch P_sw does not touch the table.
    assert changed(p, "readout", flicker=0.01).digest == p.digest
    assert changed(p, "junction", tmr=2.0).digest == p.digest
    kept[0].write_bytes(kept[0].read_bytes()[:1000])
    assert np.isfinite(table_of(p).logits).all()
    assert len(list(tmp_path.rglob("*.npz"))) == 2


def test_a_table_that_begins_where_cells_switch_is_refused(tmp_path: Path) -> None:
    from mock_hw.physics import build_table

    with pytest.raises(DeviceError, match=r"begins at 0.3 V, where cells .* switch already: begin lower"):
        build_table(coarse(tmp_path, voltage=(0.3, 2.0, 0.3), width=(0.2e-9, 60.2e-9, 10e-9)))
