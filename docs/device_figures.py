"""Figures and numbers of docs/device.md, from the shipped devices: `python docs/device_figures.py [--only NAME]`.

Seeds are fixed: a rerun changes what the model changed and nothing else. It takes half a minute on one processor.
"""

import argparse
import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from scipy.sparse.linalg import eigs, expm_multiply

import mock_hw
from entropy.quality.statistics import wilson_interval
from mock_hw._array import forgetting
from mock_hw.physics import (
    DeviceParameters,
    FokkerPlanck,
    MacrospinDevice,
    SwitchingTable,
    equilibrium,
    escape_rate,
    hysteresis,
    load_device,
    resistance,
    simulate,
)
from mock_hw.physics._constants import GAMMA
from mock_hw.physics._parameters import SHIPPED
from mock_hw.physics._table import FLOOR, solver_degree

matplotlib.use("agg")

FOLDER = Path(__file__).parent / "figures" / "device"
SETS = ("A", "B", "C", "D")
SEED = 1
# What `instruments.procedures.RecordBits` does where nothing is said.
WRITE, WRITE_WIDTH, RESET, RESET_WIDTH = 0.85, 0.30e-9, 1.28, 0.58e-9
STABILITIES = (50.0, 30.0, 15.0)

_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555",
    "axes.labelcolor": "#222",
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.dpi": 125,
}
# Blue, red and amber are apart in luminance too, and every family of curves has its own dashes as well.
BLUE, RED, AMBER, GREY = "#23619e", "#c2452d", "#e0a526", "#8a8f98"
_THREE = ((BLUE, "-"), (RED, "--"), (AMBER, "-."))
_TIMES = "cividis"

Floats = NDArray[np.floating]


def _changed(parameters: DeviceParameters, section: str, **values: object) -> DeviceParameters:
    return parameters.model_copy(update={section: getattr(parameters, section).model_copy(update=values)})


def shipped(name: str) -> tuple[DeviceParameters, SwitchingTable]:
    """A set and its shipped table, never one made now."""
    parameters = load_device(name)
    table = SwitchingTable.open(SHIPPED / f"{name}.npz", parameters.digest)
    if table is None:
        raise SystemExit(f"the shipped table of set {name} is missing or of other parameters")
    return parameters, table


def tabulated(name: str, voltage: ArrayLike, width: ArrayLike, state: int = 0) -> Floats:
    """P_sw of a nominal cell at 300 K from `state` (0: P, 1: AP); volts and seconds are broadcast."""
    volts, seconds = np.broadcast_arrays(np.asarray(voltage, float), np.asarray(width, float))
    one = np.ones(volts.size)
    found = shipped(name)[1].probability(state, one, 300 * one, 0 * one, volts.ravel(), seconds.ravel())
    return found.reshape(volts.shape)


def _figure(width: float, height: float, columns: int = 1, **options: Any) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False, **options)
    return figure, list(axes[0])


# --- figures ---


def p_map() -> Figure:
    """P_sw over pulse width and voltage, with the working points."""
    p, _ = shipped("C")
    volts, widths = np.linspace(0.4, 2.0, 321), np.linspace(0.05e-9, 2e-9, 391)
    flips = tabulated("C", volts[:, None], widths[None, :])
    figure, (axes,) = _figure(7.2, 4.0)
    image = axes.pcolormesh(widths * 1e9, volts, flips, cmap="cividis", vmin=0, vmax=1, rasterized=True)
    axes.contourf(widths * 1e9, volts, flips, [0.48, 0.52], colors=["white"], alpha=0.45)
    figure.colorbar(image, ax=axes, label="P_sw, P → AP, 300 K", pad=0.02)
    axes.axhline(p.critical_voltage, color="white", lw=1, ls="--")
    axes.text(1.98, p.critical_voltage - 0.02, "V_c", color="white", ha="right", va="top")
    plateau = p.critical_voltage * np.array([1.1, 1.25])
    axes.plot([0.3, 0.3], plateau, color=RED, lw=4, solid_capstyle="butt", label="plateau, 1.1 to 1.25 V_c")
    axes.plot([], [], "s", ms=8, color="#b5b7b9", label="P_sw 0.48 to 0.52")
    for volts, seconds, marker, colour, name in (
        (WRITE, WRITE_WIDTH, "o", "white", "recorder's default"),
        (RESET, RESET_WIDTH, "s", AMBER, "its reset"),
    ):
        label = f"{name}: {volts:g} V, {seconds * 1e9:.2f} ns"
        axes.plot(seconds * 1e9, volts, marker, ms=8, mfc=colour, mec="black", label=label)
    axes.legend(loc="lower right", frameon=True, framealpha=0.9, edgecolor="none")
    axes.set_xlabel("pulse width (ns)")
    axes.set_ylabel("pulse voltage (V)")
    return figure


def p_width() -> Figure:
    """P_sw against the width at three voltages, theory's half periods, and trajectories at V_c."""
    p, _ = shipped("C")
    half = np.pi / (GAMMA * p.field.in_plane)
    widths = np.linspace(0.05e-9, 2e-9, 600)
    figure, (axes,) = _figure(7.2, 3.3)
    for n in range(1, 4):
        axes.axvline(n * half * 1e9, color=GREY, lw=0.8, ls=":")
        many = "" if n == 1 else str(n)
        axes.text(n * half * 1e9, 1.04, f"{many}π/γB_x", ha="center", va="bottom", color="#555", fontsize=8)
    for volts, (colour, dashes) in zip((1.15, p.critical_voltage, 1.45), _THREE, strict=True):
        name = f"{volts:.4g} V" + (" = V_c" if volts == p.critical_voltage else "")
        axes.plot(
            widths * 1e9, tabulated("C", volts, widths), dashes, color=colour, lw=1.4, label=f"table, {name}"
        )
    at, seen, cells = trajectories_at_critical_voltage()
    error = _interval(seen, cells)
    axes.errorbar(
        at * 1e9, seen, yerr=error, fmt="o", ms=3.5, lw=1, capsize=2, color="black", mfc="white", zorder=3,
        label=f"{cells:,} trajectories each, V_c, 95 %",
    )  # fmt: skip
    axes.set_xlim(0, 2)
    axes.set_ylim(-0.02, 1.02)
    axes.set_xlabel("pulse width (ns)")
    axes.set_ylabel("P_sw, P → AP, 300 K")
    figure.legend(loc="outside lower center", ncols=4)
    return figure


def trajectories_at_critical_voltage() -> tuple[Floats, Floats, int]:
    """Widths in seconds, fractions of trajectories that switched from P, trajectories at each width."""
    p, cells, seen, widths = load_device("C"), 4000, [], np.linspace(0.1e-9, 1.9e-9, 19)
    for k, width in enumerate(widths):
        start = equilibrium(p, cells, antiparallel=False, seed=SEED + k)
        end = simulate(
            p, start, voltage=p.critical_voltage, width=float(width), settle=p.settle, seed=SEED + k
        )
        seen.append(float((end.final[:, 2] < 0).mean()))
    return widths, np.array(seen), cells


def _interval(seen: Floats, count: int) -> Floats:
    """Distances from `seen` down and up to Wilson's 95 % interval, (2, n)."""
    low, high = np.transpose([wilson_interval(round(share * count), count) for share in seen])
    return np.maximum(np.stack([seen - low, high - seen]), 0)


def loops() -> Figure:
    """R-H loops at three temperatures, the in-plane field off."""
    p = _changed(load_device("C"), "field", in_plane=0.0)
    field = np.concatenate([np.linspace(0.1, -0.1, 801), np.linspace(-0.1, 0.1, 801)])
    figure, (axes,) = _figure(7.2, 3.3)
    for kelvin, (colour, dashes) in zip((200.0, 300.0, 400.0), _THREE, strict=True):
        antiparallel = hysteresis(p, field, 0.01, temperature=kelvin)
        r = resistance(p, 1 - 2 * antiparallel, temperature=kelvin)
        half = np.interp(0.5, antiparallel[:801], field[:801])
        label = f"{kelvin:.0f} K, coercive field {-half * 1e3:.0f} mT"
        axes.plot(field * 1e3, r / 1e3, dashes, color=colour, lw=1.4, label=label)
    axes.set_xlabel("out-of-plane field (mT), 10 ms a step of 0.25 mT")
    axes.set_ylabel("mean resistance (kΩ)")
    axes.text(97, 84, "P", ha="right", color="#555")
    axes.text(-97, 176, "AP", color="#555")
    axes.set_ylim(65, 195)
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def bias() -> Figure:
    """Resistances and TMR against the voltage, sets C and A."""
    volts = np.linspace(0, 2, 201)
    figure, (left, right) = _figure(7.2, 3.1, 2)
    for name, colour in (("C", BLUE), ("A", RED)):
        p = load_device(name)
        parallel, antiparallel = (
            np.array([float(resistance(p, cos, voltage=v)) for v in volts]) for cos in (1.0, -1.0)
        )
        left.plot(volts, parallel / 1e3, color=colour, lw=1.4, label=f"{name}, R_P")
        left.plot(volts, antiparallel / 1e3, "--", color=colour, lw=1.4, label=f"{name}, R_AP")
        ratio = 100 * (antiparallel / parallel - 1)
        right.plot(volts, ratio, color=colour, lw=1.4, label=f"{name}")
        at = p.junction.tmr_half_voltage
        right.plot(at, 50 * p.junction.tmr, "o", color=colour, ms=5)
        right.annotate(
            f"V_h {at:.2f} V", (at, 50 * p.junction.tmr), (4, 4), textcoords="offset points", fontsize=8
        )
    left.set_ylabel("resistance (kΩ), 300 K")
    left.set_ylim(0, 190)
    right.set_ylabel("TMR (%), 300 K")
    right.set_ylim(0, 130)
    left.legend(ncols=2, loc="upper right")
    right.legend()
    for axes in (left, right):
        axes.set_xlabel("voltage on the junction (V)")
    return figure


def write_errors() -> Figure:
    """Write error rate against the width: the equation in double precision, and the table with its floor."""
    p = load_device("C")
    widths = np.linspace(0.45e-9, 0.75e-9, 61)
    figure, (axes,) = _figure(7.2, 3.5)
    for volts, (colour, dashes) in zip((1.2, 1.25, 1.3), _THREE, strict=True):
        exact = not_switched(p, volts, widths)
        axes.semilogy(widths * 1e9, exact, dashes, color=colour, lw=1.4, label=f"equation, {volts:g} V")
        some = widths[::3]
        label = "table" if volts == 1.2 else None
        axes.semilogy(
            some * 1e9, 1 - tabulated("C", volts, some), "o", ms=3, mfc="none", mec=colour, label=label
        )
    axes.axhline(FLOOR, color=GREY, lw=0.8, ls=":")
    axes.text(0.449, FLOOR * 0.85, "the table's floor", color="#555", fontsize=8, va="top")
    axes.set_ylim(1e-8, 1)
    axes.set_xlabel("pulse width (ns)")
    axes.set_ylabel("write error rate, P → AP, 300 K")
    axes.legend(loc="upper center", ncols=2)
    return figure


def not_switched(p: DeviceParameters, voltage: float, widths: Floats) -> Floats:
    """1 - P_sw from P in double precision: the solver of the tables is in single, good to some 1e-6."""
    solver = FokkerPlanck(p.macrospin(), solver_degree(p) + 12)
    parts = (np.arange(8) + 0.5) / 8
    stays = solver.coefficients((solver.nodes[..., 2] >= 0).astype(float))
    stays = expm_multiply(solver.generator() * p.settle, stays)
    for height in parts:
        stays = expm_multiply(solver.generator(voltage * height) * (p.pulse.fall / len(parts)), stays)
    before = solver.equilibrium(1)
    for height in parts:
        before = expm_multiply(solver.generator(voltage * height).T * (p.pulse.rise / len(parts)), before)
    top, out = solver.generator(voltage), []
    for step in np.diff(widths, prepend=(p.pulse.rise + p.pulse.fall) / 2):
        stays = expm_multiply(top * step, stays)
        out.append(float(before @ stays))
    return np.array(out)


def sphere() -> Figure:
    """Trajectories: a reset pulse without noise, and the plateau's pulse at 300 K."""
    p = load_device("C")
    h = p.field.in_plane / p.anisotropy_field
    rest = np.array([[h, 0.0, np.sqrt(1 - h * h)]])
    still = simulate(p, rest, voltage=RESET, width=RESET_WIDTH, settle=4e-9, temperature=0.0, every=5)
    start = equilibrium(p, 6, antiparallel=False, seed=SEED)
    warm = simulate(p, start, voltage=1.45, width=0.30e-9, settle=4e-9, every=5, seed=SEED)
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    rows = figure.subplots(2, 2, width_ratios=[1, 1.5])
    titles = ("0 K, 1.28 V, 0.58 ns", "300 K, 1.45 V, 0.30 ns, six cells")
    for (ball, plot), made, first, title, width in zip(
        rows, (still, warm), (rest, start), titles, (0.58, 0.30), strict=True
    ):
        times = np.concatenate([[0.0], made.times]) * 1e9
        m = np.concatenate([np.asarray(first)[None], made.m.astype(float)])
        lines = _draw_sphere(ball, m[times <= 2.0], times[times <= 2.0])
        ball.set_title(title)
        figure.colorbar(lines, ax=ball, label="time (ns)", fraction=0.045, pad=0.02)
        # The pulse begins to rise at 0; its width is at half maximum.
        plot.axvspan(p.pulse.rise / 2 * 1e9, p.pulse.rise / 2 * 1e9 + width, color=GREY, alpha=0.25, lw=0)
        plot.text(p.pulse.rise * 1e9 + width + 0.05, 1.02, "pulse", color="#555", fontsize=8, va="center")
        for k in range(m.shape[1]):
            colour, dashes = (RED, "--") if m[-1, k, 2] < 0 else (BLUE, "-")
            plot.plot(times, m[:, k, 2], dashes, color=colour, lw=1)
        plot.axhline(0, color=GREY, lw=0.6)
        plot.set_xlim(0, 4)
        plot.set_ylim(-1.08, 1.12)
        plot.set_ylabel("m_z (1: P, −1: AP)")
        plot.set_xlabel("time since the pulse began (ns)")
    rows[0][1].plot([], [], "-", color=BLUE, label="ends in P")
    rows[0][1].plot([], [], "--", color=RED, label="ends in AP")
    rows[0][1].legend(loc="center right")
    return figure


def _draw_sphere(axes: Axes, m: Floats, times: Floats) -> LineCollection:
    """Trajectories (times, cells, 3) in parallel projection, coloured by time, faint on the far side."""
    azimuth, elevation = np.radians(-55.0), np.radians(22.0)
    toward = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0.0])
    screen = np.stack([right, np.cross(toward, right)])
    turn = np.linspace(0, 2 * np.pi, 181)
    axes.plot(np.cos(turn), np.sin(turn), color=GREY, lw=0.8)
    equator = np.stack([np.cos(turn), np.sin(turn), 0 * turn], axis=-1)
    for near, dashes in ((True, "-"), (False, ":")):
        part = np.where(((equator @ toward > 0) == near)[:, None], equator @ screen.T, np.nan)
        axes.plot(part[:, 0], part[:, 1], dashes, color=GREY, lw=0.6)
    for tip, name in (([1.0, 0, 0], "B_x"), ([0, 0, 1.0], "z")):
        x, y = screen @ np.array(tip)
        arrow = {"arrowstyle": "-|>", "color": "#555", "lw": 0.8}
        axes.annotate("", (1.28 * x, 1.28 * y), (x, y), arrowprops=arrow)
        axes.text(1.4 * x, 1.36 * y, name, ha="center", va="center", color="#555", fontsize=8)
    scale = matplotlib.colors.Normalize(0, times[-1])
    lines = LineCollection([], cmap=_TIMES, norm=scale)
    for k in range(m.shape[1]):
        flat, depth = m[:, k] @ screen.T, m[:, k] @ toward
        segments = list(np.stack([flat[:-1], flat[1:]], axis=1))
        colours = matplotlib.colormaps[_TIMES](scale(times[:-1]))
        colours[:, 3] = np.where(depth[:-1] > 0, 1.0, 0.3)
        axes.add_collection(LineCollection(segments, colors=list(colours), linewidths=1.2))
    axes.set_aspect("equal")
    axes.set_xlim(-1.3, 1.3)
    axes.set_ylim(-1.1, 1.4)
    axes.axis("off")
    return lines


def _read_out(
    voltage: float = 0.1, settle: float = 1e-6
) -> tuple[MacrospinDevice, NDArray[np.float32], NDArray[np.bool_]]:
    """A 64 × 64 array of set C, one reading of each cell in ohms, and which cells are antiparallel."""
    device = MacrospinDevice.of("C", 4096, SEED)
    array = mock_hw.SimulatedArray(device, 64, 64, SEED)
    every = np.ones((64, 64))
    sequence = mock_hw.Sequence(
        selection=mock_hw.Selection(0, 63, 0, 63), mask=every.astype(bool), toggle=True,
        voltage=WRITE * every, width=WRITE_WIDTH, reset_voltage=RESET, reset_width=RESET_WIDTH,
        thresholds=115e3 * every, read_voltage=voltage, settle=settle,
    )  # fmt: skip
    return device, array.read(sequence), array.antiparallel.ravel()


def readings() -> Figure:
    """Histogram of one reading of every cell of an array."""
    _, ohms, antiparallel = _read_out()
    edges = list(np.arange(60.0, 192.0, 2.0))
    figure, (axes,) = _figure(7.2, 3.1)
    for name, which, colour, hatch in (("P", ~antiparallel, BLUE, None), ("AP", antiparallel, RED, "///")):
        kilo = ohms[which] / 1e3
        label = (
            f"{which.sum():,} cells in {name}: {kilo.mean():.1f} kΩ ± {100 * kilo.std() / kilo.mean():.1f} %"
        )
        axes.hist(kilo, edges, color=colour, alpha=0.85, hatch=hatch, edgecolor="white", lw=0.3, label=label)
    axes.set_xlabel("resistance read (kΩ), 0.1 V, 1 µs")
    axes.set_ylabel("cells per 2 kΩ")
    axes.legend(loc="upper right")
    return figure


def retention() -> Figure:
    """Life of a state against the in-plane field, and how an idle array forgets."""
    c = load_device("C")
    figure, (left, right) = _figure(7.2, 3.5, 2)
    for stability, (colour, dashes) in zip(STABILITIES, _THREE, strict=True):
        p = _changed(_changed(c, "free_layer", thermal_stability=stability), "field", in_plane=0.0)
        h = np.linspace(0.01, 1 - np.sqrt(3.5 / stability), 200)
        k = np.full(200, p.anisotropy_field)
        rate = escape_rate(k, h * k, 0 * k, p.moment, p.free_layer.damping, 300.0)
        left.semilogy(h * k * 1e3, 1 / rate, dashes, color=colour, lw=1.4, label=f"Δ = {stability:.0f}")
        for field, exact, _ in eigenvalues(p):
            left.semilogy(field * 1e3, 1 / exact, "o", ms=4.5, mfc="white", mec=colour)
    left.plot([], [], "o", ms=4.5, mfc="white", mec="#555", label="eigenvalue")
    left.axvline(30, color=GREY, lw=0.8, ls=":")
    left.text(31, 1e5, "set C's field", color="#555", fontsize=8)
    left.set_xlim(0, 66)
    left.set_xlabel("in-plane field (mT)")
    left.set_ylabel("1 / escape rate (s), 300 K")
    left.legend(loc="upper right")
    _forgetting(right)
    return figure


def eigenvalues(p: DeviceParameters) -> list[tuple[float, float, float]]:
    """In-plane fields in tesla that leave a barrier of 4 to 10 k_B T, escape rates by eigenvalue and by formula."""
    out = []
    for barrier in (4.0, 6.0, 8.0, 10.0):
        field = p.anisotropy_field * (1 - np.sqrt(barrier / p.free_layer.thermal_stability))
        one = np.ones(1)
        by_formula = escape_rate(
            p.anisotropy_field * one, field * one, 0 * one, p.moment, p.free_layer.damping, 300.0
        )
        # Two equal wells: the eigenvalue is the sum of both rates.
        exact = slowest_rate(_changed(p, "field", in_plane=field)) / 2
        out.append((field, exact, float(by_formula[0])))
    return out


def slowest_rate(p: DeviceParameters) -> float:
    """The slowest decay rate in 1/s, as `FokkerPlanck.slowest_rate` but by an iteration, for larger matrices."""
    generator = FokkerPlanck(p.macrospin(), solver_degree(p)).generator().tocsc()
    # Eigenvalue 0 makes the matrix singular: look from a little to the right of it.
    first = np.random.default_rng(SEED).standard_normal(generator.shape[0])
    values: Any = eigs(generator, k=3, sigma=1e4, v0=first, return_eigenvectors=False)
    return float(np.sort(-values.real)[1])


def _forgetting(axes: Axes) -> None:
    device = MacrospinDevice.of("C", 4096, SEED)
    times = np.geomspace(1e-3, 1e9, 400)
    for powered, (colour, dashes), label in (
        (True, _THREE[0], "30 mT"),
        (False, _THREE[1], "field off"),
    ):
        rates = [device.retention_rate(300.0, 0.0, state, powered=powered) for state in (False, True)]
        kept = [float(1 - np.mean(forgetting(rates[0], rates[1], t)[0])) for t in times]
        axes.semilogx(times, kept, dashes, color=colour, lw=1.4, label=f"law, {label}")
    array = mock_hw.SimulatedArray(device, 64, 64, SEED)
    before, now, seen = array.antiparallel, 0.0, []
    for then in np.geomspace(1e-3, 1e3, 13):
        array.rest(then - now)
        now = then
        seen.append((then, float((array.antiparallel == before).mean())))
    axes.semilogx(*zip(*seen, strict=True), "o", ms=4, mfc="white", mec=BLUE, label="64 × 64 array, 30 mT")
    for seconds, name in ((3600.0, "hour"), (3.156e7, "year")):
        axes.axvline(seconds, color=GREY, lw=0.8, ls=":")
        axes.text(seconds * 1.3, 0.47, name, color="#555", fontsize=8)
    axes.set_ylim(0.45, 1.03)
    axes.set_xticks([1e-3, 1, 1e3, 1e6, 1e9])
    axes.set_xlabel("time left alone (s)")
    axes.set_ylabel("cells in the state they had")
    axes.legend(loc="center right", frameon=True, framealpha=1, edgecolor="none")


def other_sets() -> Figure:
    """What is typical of sets A, B and D."""
    figure, (a, b, d) = _figure(7.2, 2.9, 3)
    widths = np.linspace(0.3e-9, 30e-9, 300)
    for state, name, (colour, dashes) in ((0, "P → AP", _THREE[0]), (1, "AP → P", _THREE[1])):
        a.plot(widths * 1e9, tabulated("A", 1.6, widths, state), dashes, color=colour, lw=1.4, label=name)
    a.set_title("A, 1.6 V")
    a.set_xlabel("pulse width (ns)")
    a.set_ylabel("P_sw, 300 K")
    a.legend(loc="lower right")
    volts = np.linspace(0.26, 0.33, 300)
    b.plot(volts * 1e3, tabulated("B", volts, 500e-9), color=BLUE, lw=1.4, label="table")
    slope, middle = fit_of_b()
    fitted = 1 / (1 + np.exp(-slope * (volts - middle)))
    b.plot(volts * 1e3, fitted, "--", color=RED, lw=1.4, label="logistic fit")
    b.set_title(f"B, 500 ns: k {slope:.0f} /V, V₀ {middle * 1e3:.0f} mV")
    b.set_xlabel("voltage (mV)")
    b.legend(loc="upper left")
    p = load_device("D")
    widths = np.linspace(0.3e-9, 12e-9, 300)
    half = np.pi / (GAMMA * p.field.in_plane) * 1e9
    for n in (1, 2):
        d.axvline(n * half, color=GREY, lw=0.8, ls=":")
    d.text(half + 0.2, 0.02, "π/γB_x", color="#555", fontsize=8)
    d.plot(widths * 1e9, tabulated("D", p.critical_voltage, widths), color=BLUE, lw=1.4)
    d.set_title(f"D, {p.critical_voltage:.3f} V = V_c")
    d.set_xlabel("pulse width (ns)")
    for axes in (a, b, d):
        axes.set_ylim(-0.02, 1.02)
    return figure


def fit_of_b() -> tuple[float, float]:
    """k in 1/V and V0 in volts of set B at 500 ns: a line through logit P between 2 and 98 %."""
    volts = np.linspace(0.25, 0.33, 400)
    flips = tabulated("B", volts, 500e-9)
    middle = (flips > 0.02) & (flips < 0.98)
    slope, offset = np.polyfit(volts[middle], np.log(flips[middle] / (1 - flips[middle])), 1)
    return float(slope), float(-offset / slope)


FIGURES: dict[str, Callable[[], Figure]] = {
    "p-map": p_map,
    "p-width": p_width,
    "loops": loops,
    "bias": bias,
    "write-errors": write_errors,
    "sphere": sphere,
    "readings": readings,
    "retention": retention,
    "other-sets": other_sets,
}


# --- numbers ---


def error_row(name: str) -> str:
    """The row of a set in the page's table of errors."""
    _, table = shipped(name)
    size = f"{len(table.voltage)} × {len(table.width)}"
    return f"| {name} | {size} | {100 * table.largest_error:.2f} | {100 * table.rms_error:.3f} |"


def _numbers() -> None:
    """Print what the page quotes."""
    print("interpolation errors of P in per cent, for the page:")
    for name in SETS:
        print(error_row(name))
    p, _ = shipped("C")
    widths, seen, cells = trajectories_at_critical_voltage()
    wanted = tabulated("C", p.critical_voltage, widths)
    down, up = _interval(seen, cells)
    held = ((seen - down <= wanted) & (wanted <= seen + up)).sum()
    worst = np.abs(seen - wanted).max()
    print(
        f"trajectories at V_c: {held} of {len(widths)} intervals hold the table's P, largest difference {worst:.4f}"
    )
    for volts, what in ((WRITE, "recorder's default"), (1.45, "plateau")):
        nominal = float(tabulated("C", volts, 0.3e-9))
        slope = float(tabulated("C", volts + 0.005, 0.3e-9) - tabulated("C", volts - 0.005, 0.3e-9)) / 10
        device = MacrospinDevice.of("C", 4096, SEED)
        cells = device.switching_probability(np.full(4096, volts), 0.3e-9, 300.0, 0.0, False)
        print(
            f"{what}, {volts} V, 0.30 ns: nominal P {nominal:.3f}, {100 * slope:+.3f} % per mV; 4,096 cells "
            f"{cells.mean():.3f} ± {cells.std():.3f}, {cells.min():.3f} to {cells.max():.3f}"
        )
    device, ohms, antiparallel = _read_out()
    nominal = not_switched(p, RESET, np.array([RESET_WIDTH]))[0]
    held = 1 - float(tabulated("C", RESET, RESET_WIDTH))
    print(f"reset, {RESET} V: {nominal:.1e} not switched, table {held:.1e} (nominal)")
    resets = 1 - device.switching_probability(np.full(4096, RESET), RESET_WIDTH, 300.0, 0.0, True)
    print(
        f"  4,096 cells: median {np.median(resets):.1e}, mean {resets.mean():.1e}, worst {resets.max():.1e}"
    )
    parallel, other = device.resistances(0.1, 300.0, np.inf, 1e-6)
    for name, r in (("P", parallel), ("AP", other)):
        noise = device.read_noise(r, 0.1, 1e-6, 300.0)
        quiet = _changed(p, "readout", amplifier_noise=0.0)
        junction = MacrospinDevice(quiet, 4096, SEED).read_noise(r, 0.1, 1e-6, 300.0)
        amplifier = np.sqrt(noise**2 - junction**2)
        print(
            f"{name}: median {np.median(r):.0f} Ω, spread {100 * r.std() / r.mean():.1f} %; noise of a reading "
            f"{np.median(noise):.0f} Ω (junction {np.median(junction):.0f}, amplifier {np.median(amplifier):.0f})"
        )
    print(
        f"readings: highest P {ohms[~antiparallel].max():.0f} Ω, lowest AP {ohms[antiparallel].min():.0f} Ω"
    )
    on = 1 / device.retention_rate(300.0, 0.0, False)
    off = 1 / device.retention_rate(300.0, 0.0, False, powered=False)
    print(f"1 / escape rate at 30 mT: median {np.median(on):.2g} s, shortest {on.min():.2g} s")
    print(f"1 / escape rate, field off: median {np.median(off):.2g} s, shortest {off.min():.2g} s")
    for stability in STABILITIES:
        lower = _changed(p, "free_layer", thermal_stability=stability)
        ratios = [formula / exact for _, exact, formula in eigenvalues(lower)]
        print(f"Δ {stability:.0f}: formula over eigenvalue", " ".join(f"{ratio:.3f}" for ratio in ratios))
    print("set B at 500 ns: k {:.0f} 1/V, V0 {:.4f} V".format(*fit_of_b()))


def _write(figure: Figure, path: Path) -> None:
    """A PNG of 200 colours without a date or version in it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", facecolor="white", metadata={"Software": None})
    image = Image.open(buffer).convert("RGB")
    image.quantize(200, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(path, optimize=True)
    print(f"{path.name}: {image.width} × {image.height}, {path.stat().st_size / 1e3:.0f} kB")


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figures, and print the page's numbers unless a figure was asked for by name."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", choices=[*FIGURES, "numbers"], help="one figure, or the numbers alone")
    only = parser.parse_args(arguments).only
    FOLDER.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(_STYLE):
        for name, draw in FIGURES.items():
            if only in (None, name):
                _write(draw(), FOLDER / f"{name}.png")
    if only in (None, "numbers"):
        _numbers()


if __name__ == "__main__":
    main()
