"""The Fokker-Planck equation of a macrospin on the sphere, in spherical harmonics: probabilities without sampling.

The stochastic Landau-Lifshitz-Gilbert equation of `_trajectories` (Stratonovich) has the generator

    A f = sum_i B_i(m) (i g' L_i f + g' alpha G_i f) + D (Laplacian f),    g' = gamma / (1 + alpha^2),

with L = -i m x grad, G the tangential gradient, B the effective field (spin torque included) and
D = g' alpha k_B T / (M_s volume) (Brown 1963). A function f evolves backwards by df/dt = A f; the moments
r_lm = E[Y_lm] of a distribution evolve forwards by dr/dt = A' r, and E[f] = f . r. All matrices are sparse
and exact up to the truncation at degree `degree`; G follows from G_i = (Lap m_i - m_i Lap + 2 m_i) / 2.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numba
import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.special import sph_harm_y

from mock_hw._arguments import Count, Real, Reals, take_fields, takes
from mock_hw.physics._constants import BOLTZMANN, GAMMA

Floats = NDArray[np.floating]

_BACKWARD, _FORWARD = 0, 1  # ways to evolve: functions, moments


@dataclass(frozen=True)
class Macrospin:
    """One free layer without its pulse; fields in tesla, `moment` = M_s · volume in A m², `temperature` in kelvin.

    `anisotropy` is the perpendicular anisotropy field without the demagnetising field, `demagnetisation` the three
    demagnetising factors times mu_0 M_s. A voltage V adds `anisotropy_per_volt` · V to the first, and the spin torque
    field `torque_per_volt` · V · (m × z).
    """

    anisotropy: float
    demagnetisation: tuple[float, float, float]
    applied: tuple[float, float, float]
    moment: float
    damping: float
    temperature: float
    anisotropy_per_volt: float
    torque_per_volt: float

    def __post_init__(self) -> None:
        take_fields(
            self,
            anisotropy=Real(),
            moment=Real(above=0),
            damping=Real(0),
            temperature=Real(0),
            anisotropy_per_volt=Real(),
            torque_per_volt=Real(),
            demagnetisation=Reals(),
            applied=Reals(),
        )

    @property
    def axisymmetric(self) -> bool:
        """Whether nothing depends on the azimuth."""
        return self.applied[0] == self.applied[1] == 0 and self.demagnetisation[0] == self.demagnetisation[1]

    @takes(voltage=Real())
    def energy(self, m: Floats, voltage: float = 0.0) -> Floats:
        """Energy over k_B T of directions (..., 3); spin torque has none."""
        anisotropy = self.anisotropy + self.anisotropy_per_volt * voltage
        field = 0.5 * anisotropy * m[..., 2] ** 2 + m @ np.array(self.applied)
        field -= 0.5 * (m**2 @ np.array(self.demagnetisation))
        return -self.moment * field / (BOLTZMANN * self.temperature)


@dataclass(frozen=True)
class _Operators:
    """Real sparse matrices in the basis of real harmonics; in each pair (i L, G), for precession and damping.

    `constant[i]` for a constant field along i, `linear[i]` for a field m_i along i, `torque` for the field m x z.
    """

    constant: tuple["_Two", ...]
    linear: tuple["_Two", ...]
    torque: "_Two"
    laplacian: sparse.csr_array


_Two = tuple[sparse.csr_array, sparse.csr_array]


def _index(degree: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    ell = np.concatenate([np.full(2 * k + 1, k) for k in range(degree + 1)])
    m = np.concatenate([np.arange(-k, k + 1) for k in range(degree + 1)])
    return ell, m


@lru_cache(maxsize=4)
def _operators(degree: int, axisymmetric: bool) -> _Operators:
    """Build them two degrees larger and cut, so that no product is spoilt by the truncation."""
    big = degree + 2
    ell, m = _index(big)
    n = len(ell)
    at = np.arange(n)

    def matrix(values: NDArray, to_l: NDArray, to_m: NDArray) -> sparse.csr_array:
        inside = (to_l >= 0) & (to_l <= big) & (np.abs(to_m) <= to_l) & (values != 0)
        rows = (to_l**2 + to_l + to_m)[inside]
        return sparse.csr_array((values[inside], (rows, at[inside])), shape=(n, n), dtype=complex)

    def root(x: NDArray) -> NDArray:
        return np.sqrt(np.maximum(x, 0.0))

    up = matrix(root((ell - m) * (ell + m + 1.0)), ell, m + 1)
    turn = [(up + up.T) / 2, (up - up.T) / 2j, sparse.csr_array(sparse.diags(m.astype(complex)))]
    along = matrix(root(((ell + 1.0) ** 2 - m**2) / ((2 * ell + 1) * (2 * ell + 3))), ell + 1, m)
    across = matrix(
        root((ell - m) * (ell - m - 1.0) / np.maximum((2 * ell - 1.0) * (2 * ell + 1), 1)), ell - 1, m + 1
    ) - matrix(root((ell + m + 1.0) * (ell + m + 2) / ((2 * ell + 1) * (2 * ell + 3))), ell + 1, m + 1)
    times = [(across + across.T) / 2, (across - across.T) / 2j, along + along.T]
    laplacian = sparse.csr_array(sparse.diags(-(ell * (ell + 1.0)).astype(complex)))
    slope = [(laplacian @ t - t @ laplacian + 2 * t) / 2 for t in times]
    basis = _real_basis(ell, m)
    keep = (ell <= degree) & ((m == 0) | (not axisymmetric))

    def real(x: sparse.csr_array) -> sparse.csr_array:
        inside = sparse.csr_array(basis.conj().T @ x @ basis)[keep][:, keep]
        assert abs(inside.imag).max() < 1e-9 * max(1.0, abs(inside).max())
        out = sparse.csr_array(inside.real)
        out.data[np.abs(out.data) < 1e-13] = 0
        out.eliminate_zeros()
        return out

    both = [(1j * r, g) for r, g in zip(turn, slope, strict=True)]

    def pair(of: Callable[[int], sparse.csr_array]) -> _Two:
        return real(of(0)), real(of(1))

    x, y, _ = times
    return _Operators(
        constant=tuple(pair(lambda k, i=i: both[i][k]) for i in range(3)),
        linear=tuple(pair(lambda k, i=i: times[i] @ both[i][k]) for i in range(3)),
        torque=pair(lambda k: y @ both[0][k] - x @ both[1][k]),
        laplacian=real(laplacian),
    )


def _real_basis(ell: NDArray, m: NDArray) -> sparse.csr_array:
    """Columns: real harmonics in terms of the complex ones; sine for m < 0, cosine for m > 0."""
    at, minus = np.arange(len(ell)), ell**2 + ell - m
    sign = np.where(m % 2 == 0, 1.0, -1.0)
    half = np.sqrt(0.5)
    own = np.where(m == 0, 1.0, np.where(m > 0, sign * half, 1j * half))
    other = np.where(m == 0, 0.0, np.where(m > 0, half, -1j * sign * half))
    values, rows, columns = (
        np.concatenate([own, other]),
        np.concatenate([at, minus]),
        np.concatenate([at, at]),
    )
    return sparse.csr_array((values, (rows, columns)))


class Interrupted(Exception):
    """A solution that was told to stop."""


class FokkerPlanck:
    """The generator of one `Macrospin` up to harmonics of `degree`, and what follows from it."""

    @takes(degree=Count(1))
    def __init__(self, spin: Macrospin, degree: int) -> None:
        self.spin = spin
        self.degree = degree
        ops = _operators(degree, spin.axisymmetric)
        rate = GAMMA / (1 + spin.damping**2)
        diffusion = rate * spin.damping * BOLTZMANN * spin.temperature / spin.moment

        def along(two: _Two) -> sparse.csr_array:
            return rate * (two[0] + spin.damping * two[1])

        still = diffusion * ops.laplacian + spin.anisotropy * along(ops.linear[2])
        for i in range(3):
            still = still + spin.applied[i] * along(ops.constant[i])
            still = still - spin.demagnetisation[i] * along(ops.linear[i])
        volt = spin.anisotropy_per_volt * along(ops.linear[2]) + spin.torque_per_volt * along(ops.torque)
        self._dense_key: tuple[int, bytes, str] | None = None
        self._dense = np.empty(0)
        self._still, self._per_volt = sparse.csr_array(still), sparse.csr_array(volt)

    @takes(voltage=Real())
    def generator(self, voltage: float = 0.0) -> sparse.csr_array:
        """The matrix A at a constant voltage, 1/s; functions on the right, moments on the left."""
        return sparse.csr_array(self._still + voltage * self._per_volt)

    @cached_property
    def _quadrature(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Directions (thetas, phis, 3), weights (thetas,), and harmonics' two factors, (thetas, n) and (phis, n)."""
        # Boltzmann weights of high barriers are narrow: more nodes than the harmonics alone would need.
        count = 2 * self.degree + 32
        z, weights = np.polynomial.legendre.leggauss(2 * count)
        ell, m = _index(self.degree)
        phi = 2 * np.pi * np.arange(count) / count
        if self.spin.axisymmetric:
            ell, m, phi = ell[m == 0], m[m == 0], phi[:1]
        theta = np.arccos(z)
        polar = sph_harm_y(ell, np.abs(m), theta[:, None], 0.0).real
        sign = np.where(m % 2 == 0, 1.0, -1.0) * np.sqrt(2.0)
        turns = np.abs(m) * phi[:, None]
        azimuth = np.where(m == 0, 1.0, sign * np.where(m > 0, np.cos(turns), np.sin(turns)))
        s = np.sin(theta)[:, None]
        directions = (s * np.cos(phi), s * np.sin(phi), np.broadcast_to(z[:, None], (len(z), len(phi))))
        return np.stack(directions, axis=-1), weights * (2 * np.pi / len(phi)), polar, azimuth

    def coefficients(self, values: Floats) -> Floats:
        """Harmonic coefficients of a function given at `nodes`: values (thetas, phis)."""
        _, weights, polar, azimuth = self._quadrature
        return np.einsum("tn,tn->n", polar * weights[:, None], values @ azimuth)

    @property
    def nodes(self) -> Floats:
        """Directions (thetas, phis, 3) at which `coefficients` wants its values."""
        return self._quadrature[0]

    @takes(sign=Count(-1, 1))
    def equilibrium(self, sign: int) -> Floats:
        """Moments of the Boltzmann distribution without voltage, within the well m_z > 0 or m_z < 0 (0: both)."""
        energy = self.spin.energy(self.nodes)
        density = np.exp(-(energy - energy.min())) * (1.0 if sign == 0 else self.nodes[..., 2] * sign > 0)
        return self.coefficients(density) / (self._quadrature[1] @ density.sum(axis=1))

    @takes(settle=Real(0))
    def committor(self, settle: float) -> Floats:
        """Coefficients of the probability to be at m_z < 0 after `settle` seconds without voltage."""
        start = self.coefficients((self.nodes[..., 2] < 0).astype(float))
        return self._evolve(_BACKWARD, start[:, None], np.zeros(1), np.ones(1), settle)[:, 0]

    @takes(rise=Real(0), fall=Real(0), settle=Real(0))
    def switching(
        self,
        voltages: Floats,
        widths: Floats,
        *,
        rise: float,
        fall: float,
        settle: float,
        go_on: Callable[[], bool] = lambda: True,
    ) -> tuple[Floats, Floats]:
        """Switching probabilities from P (m_z > 0) and from AP, each (voltages, widths).

        A pulse rises and falls linearly; `widths` (seconds, at half maximum) rise from (rise + fall) / 2 or more.
        The state before is in equilibrium, the one after is the sign of m_z after `settle` seconds. `go_on` is asked
        now and then; `Interrupted` is raised when it says no.
        """
        ends_antiparallel = np.repeat(self.committor(settle)[:, None], len(voltages), axis=1)
        after = self._evolve(_BACKWARD, ends_antiparallel, voltages, _ramp(fall), fall)
        before = []
        for sign in (1, -1):
            start = np.repeat(self.equilibrium(sign)[:, None], len(voltages), axis=1)
            before.append(self._evolve(_FORWARD, start, voltages, _ramp(rise), rise))
        flat = widths - (rise + fall) / 2
        if not (flat[0] > -1e-15 and (np.diff(flat) > 0).all()):
            raise ValueError(f"widths must rise from (rise + fall) / 2 = {(rise + fall) / 2:g} s or more")
        probability = np.empty((2, len(voltages), len(widths)))
        for column, step in enumerate(np.diff(flat, prepend=0.0)):
            if not go_on():
                raise Interrupted
            after = self._evolve(_BACKWARD, after, voltages, np.ones(1), max(step, 0.0))
            for state in range(2):
                probability[state, :, column] = np.einsum("iv,iv->v", before[state], after)
        return probability[0], 1 - probability[1]

    def slowest_rate(self) -> float:
        """Smallest non-zero decay rate in 1/s: the sum of the two escape rates of a bistable layer."""
        values = np.linalg.eigvals(self.generator().toarray())
        return float(np.sort(-values.real)[1])

    def _scale(self, voltages: Floats) -> float:
        """A bound on the rates of the fastest modes at any of the voltages, 1/s."""
        spin = self.spin
        uniaxial = spin.anisotropy - (spin.demagnetisation[2] - spin.demagnetisation[0])
        fields = np.abs(uniaxial + spin.anisotropy_per_volt * voltages) + np.abs(
            spin.torque_per_volt * voltages
        )
        field = float(fields.max()) + float(np.linalg.norm(spin.applied))
        field += abs(spin.demagnetisation[1] - spin.demagnetisation[0])
        rate = GAMMA / (1 + spin.damping**2)
        diffusion = rate * spin.damping * BOLTZMANN * spin.temperature / spin.moment
        # Without azimuth nothing precesses.
        turns = spin.damping if spin.axisymmetric else 1.0
        return rate * field * turns * self.degree + diffusion * self.degree * (self.degree + 1)

    def _evolve(self, way: int, start: Floats, voltages: Floats, shape: Floats, seconds: float) -> Floats:
        """Functions (coefficients, voltages) back over `seconds`, or moments forward over them.

        `shape` is the pulse's height in equal parts.
        """
        if seconds == 0 or not len(shape):
            return start
        if self.spin.axisymmetric and len(shape) == 1:
            # Steps of a plateau, many of the same length: without azimuth the propagator is small and worth having.
            return np.einsum("vij,jv->iv", self._propagators(way, voltages * shape[0], seconds), start)
        scale = self._scale(voltages[:, None] * shape)
        return _evolve_sparse(self._matrices[way], start, voltages, shape, seconds, scale)

    def _propagators(self, way: int, voltages: Floats, seconds: float) -> Floats:
        """exp(A seconds) of every voltage, (voltages, n, n)."""
        key = (way, voltages.tobytes(), f"{seconds:.9e}")
        if self._dense_key != key:
            from scipy.linalg import expm  # a lab that has its tables starts without it

            still, volt = self._still.toarray(), self._per_volt.toarray()
            generators = still + voltages[:, None, None] * volt
            self._dense = expm((generators.transpose(0, 2, 1) if way else generators) * seconds)
            self._dense_key = key
        return self._dense

    @cached_property
    def _matrices(self) -> tuple["_Pair", "_Pair"]:
        still, volt = self._still, self._per_volt
        return _Pair.of(still, volt), _Pair.of(sparse.csr_array(still.T), sparse.csr_array(volt.T))


def _ramp(seconds: float) -> Floats:
    """Heights, as fractions, of the parts into which a rising edge is cut: the mean of each."""
    parts = 8 if seconds else 0
    return (np.arange(parts) + 0.5) / max(parts, 1)


@dataclass(frozen=True)
class _Pair:
    """Two sparse matrices on one pattern: A = still + voltage · per_volt."""

    starts: NDArray[np.int64]
    columns: NDArray[np.int64]
    still: Floats
    per_volt: Floats

    @classmethod
    def of(cls, still: sparse.csr_array, per_volt: sparse.csr_array) -> "_Pair":
        pattern = sparse.csr_array(abs(still) + abs(per_volt))
        pattern.sort_indices()
        rows = np.repeat(np.arange(len(pattern.indptr) - 1), np.diff(pattern.indptr))
        values = [np.asarray(x[rows, pattern.indices]).ravel() for x in (still, per_volt)]
        return cls(pattern.indptr.astype(np.int64), pattern.indices.astype(np.int64), *values)


def _evolve_sparse(
    pair: _Pair, start: Floats, voltages: Floats, shape: Floats, seconds: float, scale: float
) -> Floats:
    """Multiply the columns of `start` by exp(A seconds), the voltages following `shape` in equal parts."""
    x = np.ascontiguousarray(start, np.float32).copy()
    part = seconds / len(shape)
    # Taylor polynomials of degree 8 are stable up to 3.39 on the imaginary axis, where most of the spectrum lies.
    steps = max(1, int(np.ceil(part * scale / 2.8)))
    dt = part / steps
    for height in shape:
        volts = (voltages * height).astype(np.float32)
        _taylor(pair.starts, pair.columns, pair.still * dt, pair.per_volt * dt, volts, x, steps)
    return x


@numba.njit(cache=True, nogil=True, fastmath=True)
def _taylor(starts, columns, still, per_volt, voltages, x, steps):
    """x becomes the product of `steps` Taylor polynomials of exp(still + voltage · per_volt) and x."""
    n, width = x.shape
    term, following = np.empty((n, width), np.float32), np.empty((n, width), np.float32)
    for _ in range(steps):
        term[:] = x
        for order in range(1, 9):
            inverse = np.float32(1.0 / order)
            for i in range(n):
                row = following[i]
                row[:] = np.float32(0.0)
                for j in range(starts[i], starts[i + 1]):
                    a, b = np.float32(still[j]) * inverse, np.float32(per_volt[j]) * inverse
                    other = term[columns[j]]
                    if b == np.float32(0.0):
                        for v in range(width):
                            row[v] += a * other[v]
                    else:
                        for v in range(width):
                            row[v] += (a + b * voltages[v]) * other[v]
                for v in range(width):
                    x[i, v] += row[v]
            term, following = following, term
