"""P_sw of one kind of cell, tabulated over pulse and conditions, and interpolated for every cell of an array.

The table holds logit(P) on a grid over the state, the anisotropy field (relative), the temperature, the out-of-plane
field, the voltage, and the pulse width; it is made by the Fokker-Planck equation, so it carries no sampling noise.
Interpolation is by Lagrange polynomials: cubic in voltage and width, quadratic in the anisotropy, of degree 4 in the
field, linear in the temperature's logarithm. How far it is from the equation between its nodes is measured when it is
made, and kept with it.

Where the voltage acts through the anisotropy, what counts is the anisotropy that is left during the pulse. So the
voltage axis is that of a cell with the nominal B_k: `equivalent_voltage` says where another cell's voltage lies on it.
"""

import logging
import os
import tempfile
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numba
import numpy as np
import platformdirs
from numpy.typing import NDArray
from scipy.special import expit, logit

from mock_hw._arguments import Count, takes
from mock_hw.physics._fokker_planck import FokkerPlanck
from mock_hw.physics._parameters import SHIPPED, DeviceError, DeviceParameters

log = logging.getLogger(__name__)

Floats = NDArray[np.floating]

FORMAT = 1
FLOOR = 1e-6  # probabilities are kept between this and 1 minus this
_CHECKED_PLANES = 2
_SILENT = 1e-3  # P of a nominal cell at the lowest voltage must be below: a lower one is taken not to switch

Progress = Callable[[int, int], None]
_Task = tuple[float, float, float, Floats, Floats]


@dataclass(frozen=True)
class SwitchingTable:
    """`logits` is (2, 3 anisotropies, 2 temperatures, 5 fields, voltages, widths) float32, from P and from AP.

    Axes in units of B_k, kelvin, tesla, volts, seconds; `critical_voltage` in volts, 0 for spin torque alone;
    `shortest` is the width in seconds of a pulse that is all edges.
    `largest_error` and `rms_error` are of P, between the nodes.
    """

    digest: str
    critical_voltage: float
    shortest: float
    anisotropy: Floats
    temperature: Floats
    field: Floats
    voltage: Floats
    width: Floats
    logits: NDArray[np.float32]
    largest_error: float
    rms_error: float

    @takes(state=Count(0, 1))
    def probability(
        self,
        state: int,
        anisotropy: Floats,
        temperature: Floats,
        field: Floats,
        voltage: Floats,
        width: Floats,
    ) -> Floats:
        """P_sw of cells (n,) from `state` (0: P, 1: AP); `voltage` on a cell of nominal critical voltage.

        Below the lowest voltage 0; pulses shorter than their edges are triangles of proportionally less voltage.
        Raises DeviceError outside the axes: nothing is extrapolated.
        """
        runt = width < self.shortest
        voltage = np.where(runt, voltage * (width / max(self.shortest, 1e-30)), voltage)
        voltage = equivalent_voltage(voltage, anisotropy, self.critical_voltage)
        inside = np.where(runt, self.shortest, width)
        silent = voltage < self.voltage[0] if self.critical_voltage else np.zeros(len(voltage), bool)
        for name, unit, values, axis in (
            ("anisotropy", "B_k", anisotropy, self.anisotropy),
            ("temperature", "K", temperature, self.temperature),
            ("out-of-plane field", "T", field, self.field),
            ("pulse voltage", "V on a nominal cell", voltage[~silent], self.voltage),
            ("pulse width", "s on a nominal cell", inside, self.width),
        ):
            _check(name, unit, values, axis)
        warm = np.log(temperature / self.temperature[0]) / np.log(self.temperature[1] / self.temperature[0])
        out = np.empty(len(voltage))
        _interpolate(
            self.logits[state, :, 0], self.logits[state, :, 1], warm,
            self.anisotropy, _denominators(self.anisotropy), self.field, _denominators(self.field),
            self.voltage[0], self.voltage[1] - self.voltage[0], self.width[0], self.width[1] - self.width[0],
            anisotropy, field, np.maximum(voltage, self.voltage[0]), inside, out,
        )  # fmt: skip
        out[silent] = 0.0
        return out

    def save(self, path: Path) -> None:
        """Write it whole or not at all: a name of its own in the same folder, then a rename."""
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.stem, suffix=".part")
        try:
            mirrored = np.array_equal(self.logits[1], self.logits[0, :, :, ::-1])
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(
                    file, format=FORMAT, digest=self.digest, pulse=[self.critical_voltage, self.shortest],
                    anisotropy=self.anisotropy, temperature=self.temperature, field=self.field,
                    voltage=self.voltage, width=self.width, errors=[self.largest_error, self.rms_error],
                    logits=np.round(self.logits[:1] if mirrored else self.logits, 3),
                )  # fmt: skip
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    @classmethod
    def open(cls, path: Path, digest: str) -> "SwitchingTable | None":
        """The table in a file, or None where the file is missing, damaged or of other parameters."""
        try:
            # numpy would leave a damaged file open.
            with path.open("rb") as whole, np.load(whole, allow_pickle=False) as file:
                if int(file["format"]) != FORMAT or str(file["digest"]) != digest:
                    return None
                axes = {key: file[key] for key in ("anisotropy", "temperature", "field", "voltage", "width")}
                logits, errors = file["logits"], file["errors"]
                if len(logits) == 1:
                    logits = np.concatenate([logits, logits[:, :, :, ::-1]])
                critical, shortest = (float(value) for value in file["pulse"])
                return cls(
                    digest,
                    critical,
                    shortest,
                    **axes,
                    logits=logits,
                    largest_error=errors[0],
                    rms_error=errors[1],
                )
        except FileNotFoundError:
            return None
        except Exception as error:
            log.warning("the table %s cannot be read (%s): it is made again", path, error)
            return None


def table_of(parameters: DeviceParameters, progress: Progress | None = None) -> SwitchingTable:
    """The table of a device: shipped, from the user's cache, or made now (a minute or so) and kept there."""
    name = f"{parameters.digest[:16]}.npz"
    cache = Path(platformdirs.user_cache_dir("memtj", appauthor=False)) / "switching-tables" / name
    if (table := _shipped(parameters.digest) or SwitchingTable.open(cache, parameters.digest)) is not None:
        return table
    table = build_table(parameters, progress)
    try:
        cache.parent.mkdir(parents=True, exist_ok=True)
        table.save(cache)
    except OSError as error:
        log.warning("the table cannot be kept in %s: %s", cache, error)
    return table


@lru_cache
def _shipped(digest: str) -> SwitchingTable | None:
    # A shipped table carries the name of its set; its digest says whether the set is still the same.
    tables = (SwitchingTable.open(path, digest) for path in SHIPPED.glob("*.npz"))
    return next((table for table in tables if table is not None), None)


def build_table(parameters: DeviceParameters, progress: Progress | None = None) -> SwitchingTable:
    """Solve the Fokker-Planck equation at every node, on all processors, and measure the interpolation's error."""
    p = parameters
    low, high = p.anisotropy_range
    anisotropy = np.array([low, 1.0, high])
    temperature = np.array(p.table.temperature)
    field = np.linspace(-p.table.field, p.table.field, 5)
    voltage, width = (_steps(*axis) for axis in (p.table.voltage, p.table.width))
    # Without spin torque and own out-of-plane field the states mirror each other.
    mirrored = p.free_layer.spin_torque == 0 and p.field.out_of_plane == 0
    nodes = [(i, j, k) for i in range(3) for j in range(2) for k in range(2 if mirrored else 0, 5)]
    rng = np.random.default_rng(1)
    between = [
        (rng.uniform(low, high), rng.uniform(*temperature), rng.uniform(*field[[0, -1]]))
        for _ in range(_CHECKED_PLANES)
    ]
    tasks: list[_Task] = [(anisotropy[i], temperature[j], field[k], voltage, width) for i, j, k in nodes]
    half = [(axis[:-1] + axis[1:]) / 2 for axis in (voltage, width)]
    tasks += [(*conditions, half[0], half[1]) for conditions in between]
    planes = _solve(p, tasks, progress)
    logits = np.empty((2, 3, 2, 5, len(voltage), len(width)), np.float32)
    for (i, j, k), plane in zip(nodes, planes, strict=False):
        for state in (0, 1):
            logits[state, i, j, k] = logit(np.clip(plane[state], FLOOR, 1 - FLOOR))
            if mirrored:
                logits[1 - state, i, j, 4 - k] = logits[state, i, j, k]
    if p.free_layer.vcma and expit(logits[:, 1, 0, 2, 0].max()) > _SILENT:
        raise DeviceError(
            f"table.voltage begins at {voltage[0]:g} V, where cells of set {p.name!r} switch already: begin lower"
        )
    table = SwitchingTable(
        p.digest, p.critical_voltage if p.free_layer.vcma else 0.0, (p.pulse.rise + p.pulse.fall) / 2,
        anisotropy, temperature, field, voltage, width, logits, 0.0, 0.0,
    )  # fmt: skip
    errors = np.concatenate(
        [_errors(table, c, half, plane) for c, plane in zip(between, planes[len(nodes) :], strict=True)]
    )
    return replace(
        table, largest_error=float(np.abs(errors).max()), rms_error=float(np.sqrt((errors**2).mean()))
    )


def _solve(
    p: DeviceParameters, tasks: Sequence[_Task], progress: Progress | None
) -> list[tuple[Floats, Floats]]:
    """Every task's plane; an interruption (Ctrl-C) ends the ones that are being solved."""
    from threadpoolctl import threadpool_limits

    planes: list[tuple[Floats, Floats]] = []
    stop = threading.Event()
    # One plane a processor: linear algebra with threads of its own would only get in the way.
    with threadpool_limits(1), ThreadPoolExecutor(os.cpu_count()) as pool:
        solving = [pool.submit(_plane, p, *task, lambda: not stop.is_set()) for task in tasks]
        try:
            for plane in solving:
                planes.append(plane.result())
                if progress is not None:
                    progress(len(planes), len(tasks))
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return planes


def equivalent_voltage(voltage: Floats, anisotropy: Floats | float, critical: float) -> Floats:
    """The voltage that leaves a cell with the nominal B_k the anisotropy field that `voltage` leaves this one."""
    return critical * (1 - anisotropy * (1 - voltage / critical)) if critical else voltage


def own_voltage(equivalent: Floats, anisotropy: float, critical: float) -> Floats:
    """Undo `equivalent_voltage`."""
    return critical * (1 - (1 - equivalent / critical) / anisotropy) if critical else equivalent


def solver_degree(parameters: DeviceParameters) -> int:
    """Degree of harmonics that resolves the well and the spiral of its basin; without azimuth more costs little."""
    stability = parameters.free_layer.thermal_stability * max(1.0, 300.0 / parameters.table.temperature[0])
    factor = 9.0 if parameters.macrospin().axisymmetric else 7.6
    return int(np.clip(np.ceil(factor * np.sqrt(stability)), 32, 200))


def _plane(
    p: DeviceParameters,
    anisotropy: float,
    temperature: float,
    field: float,
    voltage: Floats,
    width: Floats,
    go_on: Callable[[], bool],
) -> tuple[Floats, Floats]:
    """P from both states, (equivalent voltages, widths) each."""
    spin = p.macrospin(anisotropy=anisotropy, temperature=temperature, out_of_plane=field)
    solver = FokkerPlanck(spin, solver_degree(p))
    voltage = own_voltage(voltage, anisotropy, p.critical_voltage if p.free_layer.vcma else 0.0)
    return solver.switching(
        voltage, width, rise=p.pulse.rise, fall=p.pulse.fall, settle=p.settle, go_on=go_on
    )


def _errors(
    table: SwitchingTable,
    conditions: tuple[float, float, float],
    axes: Sequence[Floats],
    solved: tuple[Floats, Floats],
) -> Floats:
    voltage, width = (axis.ravel() for axis in np.meshgrid(*axes, indexing="ij"))
    b, t, f = conditions
    one = np.ones(len(voltage))
    voltage = own_voltage(voltage, b, table.critical_voltage)
    out = []
    for state in (0, 1):
        found = table.probability(state, b * one, t * one, f * one, voltage, width)
        out.append(found - np.clip(solved[state].ravel(), FLOOR, 1 - FLOOR))
    return np.concatenate(out)


def _steps(low: float, high: float, step: float) -> Floats:
    return low + step * np.arange(round((high - low) / step) + 1)


def _check(name: str, unit: str, values: Floats, axis: Floats) -> None:
    slack = 1e-9 * (axis[-1] - axis[0])
    outside = (values < axis[0] - slack) | (values > axis[-1] + slack)
    if outside.any():
        raise DeviceError(
            f"a {name} of {values[outside][0]:.4g} {unit} is outside the switching table, "
            f"{axis[0]:.4g} to {axis[-1]:.4g}: widen [table] of the device file, or stay within"
        )


def _denominators(nodes: Floats) -> Floats:
    """One over the products of Lagrange's denominators."""
    differences = nodes[:, None] - nodes
    np.fill_diagonal(differences, 1.0)
    return 1 / differences.prod(axis=1)


@numba.njit(cache=True, nogil=True, inline="always")
def _lagrange(nodes, denominators, x, out):
    """Weights of the polynomial through all nodes at x."""
    for i in range(len(nodes)):
        weight = denominators[i]
        for j in range(len(nodes)):
            if j != i:
                weight *= x - nodes[j]
        out[i] = weight


@numba.njit(cache=True, nogil=True, inline="always")
def _cubic(start, step, count, x, out):
    """Weights of four neighbours, into `out`; returns the first of them."""
    u = (x - start) / step
    first = min(max(int(np.floor(u)) - 1, 0), count - 4)
    t = u - first
    out[0] = -(t - 1) * (t - 2) * (t - 3) / 6
    out[1] = t * (t - 2) * (t - 3) / 2
    out[2] = -t * (t - 1) * (t - 3) / 2
    out[3] = t * (t - 1) * (t - 2) / 6
    return first


@numba.njit(cache=True, nogil=True, fastmath=True)
def _interpolate(
    cold, hot, warm, anisotropies, over_anisotropies, fields, over_fields, voltage0, voltage_step, width0, width_step,
    anisotropy, field, voltage, width, out,
):  # fmt: skip
    wa, wf, wv, ww = np.empty(3), np.empty(5), np.empty(4), np.empty(4)
    for n in range(len(out)):
        _lagrange(anisotropies, over_anisotropies, anisotropy[n], wa)
        _lagrange(fields, over_fields, field[n], wf)
        v = _cubic(voltage0, voltage_step, cold.shape[2], voltage[n], wv)
        w = _cubic(width0, width_step, cold.shape[3], width[n], ww)
        total = 0.0
        for i in range(3):
            for j in range(5):
                part = 0.0
                for k in range(4):
                    low, high = 0.0, 0.0
                    for m in range(4):
                        low += ww[m] * cold[i, j, v + k, w + m]
                        high += ww[m] * hot[i, j, v + k, w + m]
                    part += wv[k] * (low + warm[n] * (high - low))
                total += wa[i] * wf[j] * part
        out[n] = 1.0 / (1.0 + np.exp(-total))
