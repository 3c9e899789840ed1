"""Macrospin trajectories: the stochastic Landau-Lifshitz-Gilbert equation, many cells at once.

    dm/dt = -g/(1 + alpha^2) [ m x B + alpha m x (m x B) ],   B = B_applied + B_demag + B_PMA(V) m_z z + B_thermal
                                                                  + a(V) (m x z)

The last term is the spin torque. The thermal field has independent components of variance
2 alpha k_B T / (g M_s volume dt) per step (Brown 1963), read in the sense of Stratonovich: Heun's method with
renormalisation converges to it. Its random numbers take three values, sqrt(1/2p) and its negative with probability p
= 171/1024 each and else 0: mean, variance and skewness are those of a normal number, the fourth moment is 2.994 instead
of 3, so the distribution converges as fast as with normal numbers (weak order, Kloeden and Platen 1992, section 14.1).
They are a function of seed, cell and step alone, so no result depends on how cells are grouped into threads.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import ArrayLike, NDArray

from mock_hw._arguments import Count, Real, takes
from mock_hw.physics._constants import BOLTZMANN, GAMMA, MU_0
from mock_hw.physics._parameters import REFERENCE_TEMPERATURE, DeviceError, DeviceParameters

Floats = NDArray[np.floating]
Singles = NDArray[np.float32]

# Cells that one inner loop runs over: whole vector registers, and small enough for the first cache.
GROUP = 256
_P = 171
_KICK = math.sqrt(1024 / (2 * _P))
_F0, _F1 = np.float32(0.0), np.float32(1.0)
_LARGEST_TURN = 0.2  # rad in a step: the renormalisation is good for small ones


@dataclass(frozen=True)
class Trajectories:
    """`times` (n,) in seconds; `m` (n, cells, 3) float32, unit vectors; n = 1, the end, unless `every` was given."""

    times: Floats
    m: Singles

    @property
    def final(self) -> Singles:
        """The last directions, (cells, 3)."""
        return self.m[-1]


@takes(
    width=Real(0),
    settle=Real(0),
    temperature=Real(0),
    step=Real(above=0),
    every=Count(1),
    seed=Count(),
    threads=Count(1),
)
def simulate(
    parameters: DeviceParameters,
    start: ArrayLike,
    *,
    voltage: ArrayLike = 0.0,
    width: float = 0.0,
    settle: float = 0.0,
    temperature: float = REFERENCE_TEMPERATURE,
    out_of_plane: ArrayLike = 0.0,
    anisotropy: ArrayLike = 1.0,
    in_plane: ArrayLike = 1.0,
    step: float | None = None,
    every: int | None = None,
    seed: int = 0,
    threads: int = 1,
) -> Trajectories:
    """Integrate one pulse and what follows it for many cells.

    `start` (cells, 3): directions before the pulse. `voltage` in volts and `out_of_plane` field in tesla (on top of the
    device's own), `anisotropy` and `in_plane` field relative to the device's: one number, or one for each cell. The
    pulse rises and falls linearly as `parameters.pulse` says and has `width` seconds at half maximum; `settle` seconds
    without voltage follow. `temperature` in kelvin (0: no noise), `step` in seconds (None: `default_step`). With
    `every` the directions after each so many steps are kept. Raises DeviceError for a pulse shorter than its edges or
    an unusable step.
    """
    step = default_step(parameters) if step is None else step
    m0 = np.ascontiguousarray(start, np.float64)
    if m0.ndim != 2 or m0.shape[1] != 3:
        raise DeviceError(f"start has the shape {m0.shape}; (cells, 3) is wanted")
    longest = _LARGEST_TURN / (GAMMA * max(parameters.anisotropy_field, parameters.field.in_plane))
    if not 0 < step <= longest:
        raise DeviceError(f"a step of {step:g} s is not between 0 and {longest:.3g} s")
    m0 = m0 / np.linalg.norm(m0, axis=1, keepdims=True)
    cells = len(m0)
    heights = pulse_heights(parameters, width, settle, step)
    padded = -(-cells // GROUP) * GROUP

    def per_cell(values: ArrayLike, fill: float) -> Singles:
        out = np.full(padded, fill, np.float32)
        out[:cells] = np.broadcast_to(np.asarray(values, np.float64), (cells,))
        return out

    spin = parameters.macrospin(temperature=temperature)
    x, y, _ = spin.demagnetisation
    factor = per_cell(anisotropy, 1.0)
    volts = per_cell(voltage, 0.0)
    noise = 2 * spin.damping * BOLTZMANN * temperature / (GAMMA * spin.moment * step)
    fields = np.stack(
        [
            parameters.field.in_plane * per_cell(in_plane, 1.0),
            parameters.field.out_of_plane + per_cell(out_of_plane, 0.0),
            # A field along m does nothing: x m may be added to the demagnetising field, and two terms are left.
            parameters.anisotropy_field * factor + np.float32((y - x) / 2),
            parameters.anisotropy_per_volt * volts * factor,
            parameters.torque_per_volt * volts * factor,
        ]
    ).astype(np.float32)
    m = np.zeros((3, padded), np.float32)
    m[2] = 1.0
    m[:, :cells] = m0.T
    keep = every or len(heights)
    kept = np.empty((len(heights) // keep if keep else 0, 3, padded), np.float32)
    key = np.random.SeedSequence([seed, 0x5713]).generate_state(2, np.uint32)
    constants = np.array(
        [GAMMA * step / (1 + spin.damping**2), spin.damping, y - x, math.sqrt(noise) * _KICK], np.float32
    )
    bounds = np.linspace(0, padded // GROUP, max(1, threads) + 1).astype(int)

    def work(part: int) -> None:
        _integrate(
            m, fields, heights, constants, key[0], key[1], temperature > 0, keep, kept, bounds[part], bounds[part + 1]
        )  # fmt: skip

    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))
    else:
        work(0)
    if every is None:
        return Trajectories(np.array([len(heights) * step]), m[None, :, :cells].transpose(0, 2, 1).copy())
    times = step * every * (1 + np.arange(len(kept)))
    return Trajectories(times, kept[:, :, :cells].transpose(0, 2, 1).copy())


def default_step(parameters: DeviceParameters) -> float:
    """1 ps, or less where the anisotropy field turns the free layer by more than 0.016 rad in that time."""
    return min(1e-12, 0.016 / (GAMMA * parameters.anisotropy_field))


@takes(cells=Count(1), temperature=Real(above=0), seed=Count())
def equilibrium(
    parameters: DeviceParameters,
    cells: int,
    *,
    antiparallel: bool | None,
    temperature: float = REFERENCE_TEMPERATURE,
    out_of_plane: ArrayLike = 0.0,
    anisotropy: ArrayLike = 1.0,
    in_plane: ArrayLike = 1.0,
    seed: int = 0,
) -> Floats:
    """Directions (cells, 3) drawn from the Boltzmann distribution without voltage, by rejection.

    `antiparallel` True or False keeps to the well m_z < 0 or m_z > 0, None to neither. The others as in `simulate`.
    """
    layer = parameters.free_layer
    x, y, _ = (MU_0 * layer.magnetisation * factor for factor in layer.demagnetisation)

    def per_cell(values: ArrayLike) -> Floats:
        return np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.float64), (cells,)))

    out = np.empty((cells, 3))
    _boltzmann(
        parameters.anisotropy_field * per_cell(anisotropy) + (y - x) / 2,
        parameters.field.in_plane * per_cell(in_plane),
        parameters.field.out_of_plane + per_cell(out_of_plane),
        y - x,
        BOLTZMANN * temperature / parameters.moment,
        0 if antiparallel is None else -1 if antiparallel else 1,
        int(np.random.SeedSequence([seed, 0xB017]).generate_state(1)[0]),
        out,
    )
    return out


@numba.njit(cache=True, nogil=True)
def _boltzmann(k, x, z, in_plane_difference, thermal, sign, seed, out):
    np.random.seed(seed)
    low, high = (-1.0, 1.0) if sign == 0 else (0.0, 1.0) if sign > 0 else (-1.0, 0.0)
    energies = np.empty(181)
    lowest, first, last = 0.0, low, high
    for n in range(len(out)):
        if n == 0 or k[n] != k[n - 1] or x[n] != x[n - 1] or z[n] != z[n - 1]:
            # The lowest energy at each height, which is in the plane of the fields.
            step = (high - low) / 180.0
            for i in range(181):
                c = low + step * i
                energies[i] = -0.5 * k[n] * c * c - x[n] * np.sqrt(max(1 - c * c, 0.0)) - z[n] * c
            # Between the heights of that search it may be a little lower, and with an in-plane anisotropy too.
            lowest = energies.min() - 1e-4 * k[n] - max(0.0, -0.5 * in_plane_difference)
            # Heights at which the weight is not negligible (exp(-30)).
            inside = np.flatnonzero(energies < lowest + 30 * thermal)
            first = max(low, low + step * (inside[0] - 1))
            last = min(high, low + step * (inside[-1] + 1))
        while True:
            c = np.random.uniform(first, last)
            phi = np.random.uniform(0.0, 2 * np.pi)
            s = np.sqrt(1 - c * c)
            mx, my = s * np.cos(phi), s * np.sin(phi)
            energy = -0.5 * k[n] * c * c - x[n] * mx - z[n] * c + 0.5 * in_plane_difference * my * my
            if np.random.random() < np.exp((lowest - energy) / thermal):
                out[n, 0], out[n, 1], out[n, 2] = mx, my, c
                break


def pulse_heights(parameters: DeviceParameters, width: float, settle: float, step: float) -> Singles:
    """The pulse's mean height, as a fraction, in every step: a trapezoid with `width` at half maximum, then nothing."""
    rise, fall = parameters.pulse.rise, parameters.pulse.fall
    flat = width - (rise + fall) / 2
    if width and flat < -1e-15:
        raise DeviceError(f"a pulse of {width:g} s is shorter than its edges, {(rise + fall) / 2:g} s")
    whole = max(0.0, flat) + rise + fall if width else 0.0
    steps = math.ceil((whole + settle) / step - 1e-9)
    corners = np.array([0.0, rise, rise + max(flat, 0.0), whole]) + 1e-30 * np.arange(4)
    at = step * np.arange(steps + 1)
    fine = np.unique(np.concatenate([at, corners[corners < at[-1]]])) if width else at
    heights = np.interp(fine, corners, [0.0, 1.0, 1.0, 0.0], left=0.0, right=0.0) if width else 0.0 * fine
    if width and rise == 0:
        heights = np.where((fine >= 0) & (fine <= whole), np.maximum(heights, fine <= corners[2]), heights)
    area = np.concatenate([[0.0], np.cumsum((heights[1:] + heights[:-1]) / 2 * np.diff(fine))])
    return (np.diff(np.interp(at, fine, area)) / step).astype(np.float32)


@numba.njit(cache=True, nogil=True, inline="always")
def _hash(x):
    """A finaliser of 32 bits (Mueller's, with Wellons' constants): every bit of x changes half of the result."""
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


@numba.njit(cache=True, nogil=True, inline="always")
def _three(bits):
    """0, 1 or -1 from the low ten bits."""
    low = np.int32(bits & np.uint32(1023))
    return np.float32(np.int32(low < np.int32(171)) - np.int32(low >= np.int32(853)))


@numba.njit(cache=True, nogil=True, fastmath=True, error_model="numpy")
def _integrate(m, fields, heights, constants, key, key2, noisy, keep, kept, first, last):
    dt, alpha, in_plane_difference, kick = constants[0], constants[1], constants[2], constants[3]
    half = np.float32(0.5)
    mx, my, mz = np.empty(GROUP, np.float32), np.empty(GROUP, np.float32), np.empty(GROUP, np.float32)
    bx, bz = np.empty(GROUP, np.float32), np.empty(GROUP, np.float32)
    bk, bv, ba = np.empty(GROUP, np.float32), np.empty(GROUP, np.float32), np.empty(GROUP, np.float32)
    lanes = np.empty(GROUP, np.uint32)
    for g in range(first, last):
        at = g * GROUP
        for j in range(GROUP):
            mx[j], my[j], mz[j] = m[0, at + j], m[1, at + j], m[2, at + j]
            bx[j], bz[j], bk[j] = fields[0, at + j], fields[1, at + j], fields[2, at + j]
            bv[j], ba[j] = fields[3, at + j], fields[4, at + j]
            lanes[j] = _hash(np.uint32(at + j) ^ key)
        saved = 0
        for step in range(len(heights)):
            height = heights[step]
            salt = _hash(np.uint32(step) ^ key2)
            for j in range(GROUP):
                x, y, z = mx[j], my[j], mz[j]
                uni = bk[j] + bv[j] * height
                torque = ba[j] * height
                hx, hy, hz = bx[j], _F0, bz[j]
                if noisy:
                    bits = _hash(lanes[j] ^ salt)
                    hx += kick * _three(bits)
                    hy += kick * _three(bits >> np.uint32(10))
                    hz += kick * _three(bits >> np.uint32(20))
                # Predictor.
                ex = hx + torque * y
                ey = hy - in_plane_difference * y - torque * x
                ez = hz + uni * z
                cx, cy, cz = y * ez - z * ey, z * ex - x * ez, x * ey - y * ex
                fx, fy, fz = ex + alpha * cx, ey + alpha * cy, ez + alpha * cz
                ax, ay, az = z * fy - y * fz, x * fz - z * fx, y * fx - x * fy
                px, py, pz = x + dt * ax, y + dt * ay, z + dt * az
                # Corrector.
                ex = hx + torque * py
                ey = hy - in_plane_difference * py - torque * px
                ez = hz + uni * pz
                cx, cy, cz = py * ez - pz * ey, pz * ex - px * ez, px * ey - py * ex
                fx, fy, fz = ex + alpha * cx, ey + alpha * cy, ez + alpha * cz
                ax += pz * fy - py * fz
                ay += px * fz - pz * fx
                az += py * fx - px * fy
                x += half * dt * ax
                y += half * dt * ay
                z += half * dt * az
                # A Newton step towards 1 / |m|: a step changes |m|² by 1e-6 or so, and square roots are slow.
                excess = half * (x * x + y * y + z * z - _F1)
                mx[j], my[j], mz[j] = x - x * excess, y - y * excess, z - z * excess
            if (step + 1) % keep == 0 and saved < len(kept):
                for j in range(GROUP):
                    kept[saved, 0, at + j], kept[saved, 1, at + j] = mx[j], my[j]
                    kept[saved, 2, at + j] = mz[j]
                saved += 1
        for j in range(GROUP):
            m[0, at + j], m[1, at + j], m[2, at + j] = mx[j], my[j], mz[j]
