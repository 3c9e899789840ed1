"""How long a state lasts at rest: escape rates over the barrier.

Kramers' theory for the magnetisation (Brown 1963; Coffey, Garanin and McCarthy, Adv. Chem. Phys. 117, 528, 2001): the
Langer rate of intermediate to high damping times Mel'nikov's depopulation factor, with the saddle's azimuth integrated
exactly instead of as a Gaussian; without an in-plane field Brown's formula for the axial case.
"""

from functools import lru_cache

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.special import i0e

from mock_hw._arguments import Real, takes
from mock_hw.physics._constants import BOLTZMANN, GAMMA
from mock_hw.physics._parameters import REFERENCE_TEMPERATURE, DeviceParameters

Floats = NDArray[np.floating]


@takes(moment=Real(above=0), damping=Real(0), temperature=Real(0))
def escape_rate(
    anisotropy: Floats,
    in_plane: Floats,
    out_of_plane: Floats,
    moment: float,
    damping: float,
    temperature: float,
) -> Floats:
    """Rate in 1/s of leaving the well m_z > 0; fields (cells,) in tesla, `moment` in A m².

    For barriers of a few k_B T or more. `anisotropy` is B_k; turn the sign of `out_of_plane` for the other well. Where
    the field leaves no well the rate is the attempt frequency, γ B_k / 2π, and 0 where it leaves this one alone.
    """
    return EscapeRates(anisotropy, in_plane, out_of_plane, moment, damping)(temperature)


class EscapeRates:
    """The rates of `escape_rate` at any temperature: what the fields alone decide is found once."""

    def __init__(
        self, anisotropy: Floats, in_plane: Floats, out_of_plane: Floats, moment: float, damping: float
    ) -> None:
        fields = (anisotropy, in_plane, out_of_plane)
        self._k, self._x, self._z = (np.ascontiguousarray(field, np.float64) for field in fields)
        self._moment, self._damping = moment, damping
        self._over = np.empty((3, len(self._k))) if self._x.any() else None
        if self._over is not None:
            _over_the_barrier(self._k, self._x, self._z, damping, *_action_grid(), self._over)

    def __call__(self, temperature: float) -> Floats:
        """Rates in 1/s at so many kelvin, (cells,)."""
        thermal, out = BOLTZMANN * temperature / self._moment, np.empty(len(self._k))
        if self._over is None:
            _axial(self._k, self._z, thermal, self._damping, out)
        else:
            _transverse(self._k, self._x, thermal, self._over, *_depopulation_grid(), *_azimuth_grid(), out)
        return out


@takes(seconds=Real(0), temperature=Real(above=0))
def hysteresis(
    parameters: DeviceParameters,
    fields: Floats,
    seconds: float,
    *,
    temperature: float = REFERENCE_TEMPERATURE,
) -> Floats:
    """Probability of AP after each of the out-of-plane `fields` (steps,) in tesla, held for `seconds` one by one.

    The free layer starts in equilibrium at the first field. Two states and their escape rates: for sweeps that are slow
    beside the free layer's precession.
    """
    p = parameters
    k, x = np.full(len(fields), p.anisotropy_field), np.full(len(fields), p.field.in_plane)
    z = np.asarray(fields, np.float64) + p.field.out_of_plane
    rates = [escape_rate(k, x, sign * z, p.moment, p.free_layer.damping, temperature) for sign in (1.0, -1.0)]
    out, now = np.empty(len(fields)), rates[0][0] / (rates[0][0] + rates[1][0])
    for step, (leave, back) in enumerate(zip(*rates, strict=True)):
        settled = leave / (leave + back)
        now = settled + (now - settled) * np.exp(-(leave + back) * seconds)
        out[step] = now
    return out


@numba.njit(cache=True, nogil=True)
def _axial(k, z, thermal, damping, out):
    for n in range(len(out)):
        stability, h = k[n] / (2 * thermal), z[n] / k[n]
        out[n] = GAMMA * k[n] / (2 * np.pi)
        if h > -1:
            rate = GAMMA * damping / (1 + damping**2) * k[n] * np.sqrt(stability / np.pi)
            rate *= max(1 - h * h, 0.0) * (1 + h) * np.exp(-stability * (1 + h) ** 2)
            out[n] = min(out[n], rate)


@numba.njit(cache=True, nogil=True)
def _over_the_barrier(k, x, z, damping, action_at, action, out):
    """Langer's rate without its Boltzmann factor, the barrier and the loss of energy in a turn, tesla: (3, cells)."""
    for n in range(len(k)):
        # What has no well leaves at the attempt frequency, which is the smaller of the two.
        out[0, n], out[1, n], out[2, n] = np.inf, 0.0, 1.0
        h = x[n] / k[n]
        if h >= 0.999:
            continue
        well, well_t, well_p = _stationary(k[n], x[n], z[n], np.arcsin(h))
        top, top_t, top_p = _stationary(k[n], x[n], z[n], np.pi / 2)
        barrier = _energy(k[n], x[n], z[n], top) - _energy(k[n], x[n], z[n], well)
        if not (barrier > 0 and well_t * well_p > 0 and top_t < 0 < top_p):
            if z[n] > 0:  # the well that a strong field leaves alone
                out[0, n] = 0.0
            continue
        growth = -top_t - top_p + np.sqrt((top_t - top_p) ** 2 - 4 * top_t * top_p / damping**2)
        growth *= GAMMA * damping / (2 * (1 + damping**2))
        out[0, n] = growth / (2 * np.pi) * np.sqrt(well_t * well_p / (-top_t * top_p))
        out[1, n], out[2, n] = barrier, damping * _between(action_at, action, h) * k[n]


@numba.njit(cache=True, nogil=True)
def _transverse(k, x, thermal, over, loss_at, depopulation, azimuth_at, azimuth_factor, out):
    for n in range(len(out)):
        langer = over[0, n] * _between(azimuth_at, azimuth_factor, np.log(x[n] / thermal))
        depopulated = _between(loss_at, depopulation, np.log(over[2, n] / thermal))
        out[n] = min(GAMMA * k[n] / (2 * np.pi), langer * np.exp(depopulated - over[1, n] / thermal))


@numba.njit(cache=True, nogil=True, inline="always")
def _energy(k, x, z, theta):
    """Energy over the moment, in tesla, in the plane of the fields."""
    c = np.cos(theta)
    return -0.5 * k * c * c - x * np.sin(theta) - z * c


@numba.njit(cache=True, nogil=True)
def _stationary(k, x, z, theta):
    """The stationary point near `theta`, and the energy's curvatures along theta and across it."""
    s, c, along = np.sin(theta), np.cos(theta), 0.0
    for _ in range(5):
        along = k * (c * c - s * s) + x * s + z * c
        theta -= (k * c * s - x * c + z * s) / along
        s, c = np.sin(theta), np.cos(theta)
    return theta, along, x / s


@numba.njit(cache=True, nogil=True)
def _between(nodes, values, x):
    """Linear interpolation on evenly spaced nodes; the ends beyond them."""
    u = (x - nodes[0]) / (nodes[1] - nodes[0])
    i = min(max(int(u), 0), len(nodes) - 2)
    t = min(max(u - i, 0.0), 1.0)
    return values[i] + t * (values[i + 1] - values[i])


@lru_cache(maxsize=1)
def _azimuth_grid() -> tuple[Floats, Floats]:
    """The saddle's azimuth integrated exactly over the Gaussian, over the logarithm of B_x · moment / k_B T."""
    at = np.linspace(np.log(1e-6), np.log(1e6), 2000)
    x = np.exp(at)
    return at, np.sqrt(2 * np.pi * x) * i0e(x)


@lru_cache(maxsize=1)
def _action_grid() -> tuple[Floats, Floats]:
    """`_action` over h, to be interpolated: an array has many cells."""
    h = np.linspace(1e-6, 0.999, 1000)
    return h, np.concatenate([_action(part) for part in np.array_split(h, 125)])  # in the processor's cache


@lru_cache(maxsize=1)
def _depopulation_grid() -> tuple[Floats, Floats]:
    """Logarithm of A(d)² / A(2 d), two wells that exchange, over the logarithm of the loss d."""
    loss = np.linspace(np.log(1e-4), np.log(1e4), 1000)
    d = np.exp(loss)
    return loss, 2 * np.log(_depopulation(d)) - np.log(_depopulation(2 * d))


def _action(h: Floats) -> Floats:
    """Energy lost in one turn on the separatrix of a well, over damping and moment · B_k, for h = B_x / B_k.

    On it m_z² = 2 h (1 − m_x), so with m_x as the parameter the integral of |m × B| |dm| = |m × B|² dt is one of
    elementary functions; dt = dm_x / |B_k m_z m_y|.
    """
    t = (np.arange(2000) + 0.5) / 2000
    h = np.clip(np.asarray(h, np.float64), 1e-6, 0.999)[..., None]
    # m_x from 2 h − 1, where m_y vanishes, to the saddle at 1.
    low = 2 * h - 1
    # The substitution takes away the square-root singularity at the turning point.
    u = low + (1 - low) * t * t
    du = (1 - low) * 2 * t / len(t)
    mz2 = 2 * h * (1 - u)
    my2 = np.maximum(1 - u * u - mz2, 1e-30)
    torque2 = np.maximum(h * h + mz2 - (h * u + mz2) ** 2, 0)
    speed = np.sqrt(np.maximum(mz2 * my2, 1e-60))
    # Both halves of the turn, m_y > 0 and m_y < 0.
    return 2 * np.sum(torque2 / speed * du, axis=-1)


def _depopulation(loss: Floats) -> Floats:
    """Mel'nikov's factor A: 1 for strong damping, the energy lost in a turn over k_B T for weak."""
    x = (np.arange(400) + 0.5) / 400
    # Lambda from 0 to infinity by lambda = tan(pi x / 2) / 2; the integrand is even.
    lam = np.tan(np.pi * x / 2) / 2
    square = lam**2 + 0.25
    loss = np.asarray(loss, np.float64)[..., None]
    # d lambda / (lambda² + 1/4) = pi dx under this substitution.
    return np.exp(np.sum(np.log1p(-np.exp(-loss * square)), axis=-1) / len(x))
