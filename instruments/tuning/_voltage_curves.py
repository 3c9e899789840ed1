"""Curves of the voltage against the logit of P, one for each cell and direction, from few pulses each.

V(logit P) of an array's cells is a mean curve and few kinds of deviation, which both directions share. So mean and
covariance of the curves' values at nodes are estimated from all cells together, and each cell's curve is the posterior
mode under that law (empirical Bayes; functional principal components of Yao, Müller and Wang, JASA 100, 577, 2005, with
binomial counts in place of Gaussian ones). What a cell has of its own is believed as far as its pulses tell it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.optimize import isotonic_regression
from scipy.special import expit, logit

Floats = np.ndarray

NODES = np.concatenate((np.arange(-8.0, -4), np.linspace(-4, 4, 17), np.arange(5.0, 9)))  # logits
GRID = np.linspace(NODES[0], NODES[-1], 161)
_STEP = GRID[1] - GRID[0]
_SPLINE = CubicSpline(NODES, np.eye(len(NODES)), bc_type="natural")(GRID)  # (grid, nodes)
_LENGTH, _SHARED = (
    3.0,
    0.9,
)  # of the first guess: logits over which deviations go together; between directions
_JITTER = 1e-3  # of the volts per logit: deviations below are not told apart
_TOP = 0.9  # share of a scan above which a curve has risen; beyond, precession may take it down again
_RIDGE = 0.2  # how little is known of the mean where no cell tells it
_COUNTED, _MIDDLE = 4.0, 4.0  # variance of a count, and |logit|, where a residual tells of drift
_FLATTEST = 0.1  # of the mean rise: what looks flatter than that is noise
_AT_ONCE = 1024  # cells, so that large arrays fit into memory


@dataclass(frozen=True, eq=False)
class Counts:
    """What pulses showed: volts at the device, trials and switchings, (rounds, 2, cells) each, from P and from AP."""

    volts: Floats
    n: Floats
    k: Floats

    def and_(self, other: "Counts") -> "Counts":
        """Give these and other rounds."""
        return Counts(*(np.concatenate(pair) for pair in zip(self._all(), other._all(), strict=True)))

    def of(self, cells: slice) -> "Counts":
        """Give those of some cells."""
        return Counts(*(each[..., cells] for each in self._all()))

    def _all(self) -> tuple[Floats, Floats, Floats]:
        return self.volts, self.n, self.k


@dataclass(frozen=True, eq=False)
class Curves:
    """Volts at NODES, (cells, 2, nodes), the law that they are of, and how far they are known.

    `mean`, `covariance`: of both directions' nodes one after the other; `spread`: covariance of each cell's, (cells, 2,
    nodes, nodes); `wander`: variance (V²) by which a cell differs from round to round.
    """

    nodes: Floats
    mean: Floats
    covariance: Floats
    spread: Floats
    wander: float

    def volts(self) -> Floats:
        """Give them on GRID, rising: float64, (cells, 2, grid)."""
        return np.maximum.accumulate(self.nodes @ _SPLINE.T, axis=2)

    def sigma(self, rest: Callable[[], None]) -> Floats:
        """Give their standard errors on GRID, volts, (cells, 2, grid); `rest` is called a few times a second."""
        variance = np.empty((*self.spread.shape[:2], len(GRID)))
        for part in _parts(len(variance)):
            rest()
            variance[part] = ((_SPLINE @ self.spread[part]) * _SPLINE).sum(3)
        return np.sqrt(np.maximum(variance, 0) + self.wander)


def _parts(cells: int) -> Iterator[slice]:
    """Give the cells in parts that fit into memory."""
    return (slice(i, i + _AT_ONCE) for i in range(0, cells, _AT_ONCE))


def first_guess(counts: Counts) -> tuple[Curves, Counts]:
    """Guess curves from a scan at voltages that rise from round to round, the same for all cells.

    Each cell's place is the mean of its thresholds (Spearman 1908, Kärber 1931), the slope that of all cells about
    theirs. Gives the scan up to where each cell has risen too. Raises ValueError where the scan does not span the rise.
    """
    volts = counts.volts[:, 0, 0]
    step, nodes, rises, used = volts[1] - volts[0], [], [], []
    for n, k in zip(counts.n.swapaxes(0, 1), counts.k.swapaxes(0, 1), strict=True):
        share = np.where(n > 0, k / np.maximum(n, 1), 0.0)
        risen = np.logical_or.accumulate(share > _TOP, axis=0)
        if share[0].mean() > 0.5 or not risen[-1].mean() > 0.5:
            raise ValueError("the voltages of the scan do not span the range in which cells begin to switch")
        used.append(np.concatenate((np.ones_like(risen[:1]), ~risen[:-1])))
        share = np.where(risen, 1.0, share)
        place = volts[-1] + step / 2 - step * share.sum(0)
        away = (volts[:, None] - place).ravel()
        order = np.argsort(away)
        mean = isotonic_regression(share.ravel()[order]).x
        levels = np.arange(0.04, 0.97, 0.02)
        at = np.interp(levels, mean + 1e-12 * np.arange(len(mean)), away[order])
        rise, centre = np.polyfit(logit(levels), at, 1)
        nodes.append(place[:, None] + centre + rise * NODES)
        rises.append(rise)
    both, kept = np.stack(nodes, 1), np.stack(used, 1)
    cells, rise = both.shape[0], float(np.mean(rises))
    flat = both.reshape(cells, -1)
    deviation = max(float(flat.std(0).mean()), 0.3 * rise)
    alike = np.exp(-((NODES[:, None] - NODES) ** 2) / (2 * _LENGTH**2))
    covariance = deviation**2 * np.kron(np.array([[1, _SHARED], [_SHARED, 1]]), alike)
    covariance += np.eye(len(covariance)) * (_JITTER * rise) ** 2
    curves = Curves(both, flat.mean(0), covariance, np.zeros((cells, 2, *alike.shape)), 0.0)
    return curves, Counts(counts.volts, counts.n * kept, counts.k * kept)


def improve(curves: Curves, counts: Counts, times: int, rest: Callable[[], None]) -> Curves:
    """Fit curves to all counts so far: `times` steps of Newton for each cell and of EM for the law of all.

    `rest` is called a few times a second.
    """

    def one_step(cells: slice) -> tuple[Floats, tuple[float, float, float]]:
        rest()
        nodes[cells], spread[cells], within, sums = _one_step(
            curves.nodes[cells], curves, precision, counts.of(cells), rise
        )
        return within, sums

    # Some hundred MB on a large array: made once and filled part by part, since nothing rests while they are copied.
    nodes, spread = np.empty_like(curves.nodes), np.empty_like(curves.spread)
    rise = float(np.diff(curves.nodes[..., [0, -1]]).mean() / (NODES[-1] - NODES[0]))
    jitter = np.eye(len(curves.mean)) * (_JITTER * rise) ** 2
    for _ in range(times):
        precision = np.linalg.inv(curves.covariance)
        parts = [one_step(part) for part in _parts(len(nodes))]
        within = sum(each[0] for each in parts) / len(nodes)
        squares, freedom, weight = np.sum([each[1] for each in parts], axis=0)
        flat = nodes.reshape(len(nodes), -1)
        # The mean of shrunken curves is drawn to the old mean, and EM alone would be slow to leave it.
        shrunk = np.eye(len(precision)) * (1 + _RIDGE) - within @ precision
        mean = curves.mean + np.linalg.solve(shrunk, flat.mean(0) - curves.mean)
        covariance = within + (flat - mean).T @ (flat - mean) / len(flat) + jitter
        wander = max(0.0, (squares - freedom) / max(weight, 1e-12))
        curves = Curves(nodes.copy(), mean, covariance, spread, wander)
    return curves


def _one_step(
    nodes: Floats, law: Curves, precision: Floats, counts: Counts, furthest: float
) -> tuple[Floats, Floats, Floats, tuple[float, float, float]]:
    """Take one step of Newton: nodes, their covariances by direction, and the sums of all cells'.

    The sums are the covariances over both directions, and of the residuals: squares, degrees of freedom, weight.
    """
    cells, each = len(nodes), len(NODES)
    gradient = (law.mean - nodes.reshape(cells, -1)) @ precision
    information = np.zeros((cells, *precision.shape))
    squares = trials = weight = 0.0
    rising = np.maximum.accumulate(nodes @ _SPLINE.T, axis=2) + 1e-9 * np.arange(len(GRID))
    for state in (0, 1):
        part, curve = slice(state * each, (state + 1) * each), rising[:, state]
        volts, n, k = (values[:, state].T for values in (counts.volts, counts.n, counts.k))
        at = np.stack([np.interp(v, c, GRID) for v, c in zip(volts, curve, strict=True)])
        left = np.clip(((at - GRID[0]) / _STEP).astype(int), 0, len(GRID) - 2)
        share = ((at - GRID[0]) / _STEP - left)[..., None]
        basis = _SPLINE[left] * (1 - share) + _SPLINE[left + 1] * share
        rise = (np.take_along_axis(curve, left + 1, 1) - np.take_along_axis(curve, left, 1)) / _STEP
        rise = np.maximum(rise, _FLATTEST * furthest)
        inside = (at > GRID[0]) & (at < GRID[-1])
        p = expit(at)
        variance, away = n * p * (1 - p) * inside, (k - n * p) * inside
        drifting = 1 + variance * law.wander / rise**2
        gradient[:, part] -= np.einsum("cr,crj->cj", away / drifting / rise, basis)
        scaled = basis * np.sqrt(variance / drifting)[..., None] / rise[..., None]
        information[:, part, part] = scaled.swapaxes(1, 2) @ scaled
        told = (variance > _COUNTED) & (np.abs(at) < _MIDDLE)
        squares += float((away[told] ** 2 / variance[told]).sum())
        weight += float((variance / rise**2)[told].sum())
        trials += float(told.sum())
    covariance = np.linalg.inv(precision + information)
    step = np.einsum("cij,cj->ci", covariance, gradient)
    moved = nodes + np.clip(step, -furthest, furthest).reshape(nodes.shape)
    freedom = trials - float(np.einsum("cij,cji->", information, covariance))
    spread = np.stack([covariance[:, :each, :each], covariance[:, each:, each:]], 1)
    return moved, spread, covariance.sum(0), (squares, freedom, weight)
