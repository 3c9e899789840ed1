"""Where a switching curve crosses a probability, from counts: a scan that finds it, and a local fit that places it.

Every column is one curve (a cell, in one direction); all columns are worked on at once. Offsets are what is added to
the pulse, volts or seconds. Probabilities are fitted as logits, η = log(p / (1 − p)), which is nearly linear in the
offset over the few hundredths in p that matter.
"""

import math
from dataclasses import dataclass

import numba
import numpy as np

Floats = np.ndarray

_CONTRAST = 3.0  # standard errors by which both sides of a crossing must differ
_STEPS, _CONVERGED = 12, 1e-12  # of Newton's method, and the step at which it is over
_FLATTEST = 0.1  # of the expected slope: a flatter curve has no place at the target that could be told


def logit(p: float | Floats) -> Floats:
    """Compute log(p / (1 − p))."""
    p = np.asarray(p, float)
    return np.log(p / (1 - p))


@dataclass(frozen=True)
class Crossing:
    """Where each column's scan crosses the target: offset, d logit / d offset, and whether it does at all."""

    root: Floats
    slope: Floats
    found: np.ndarray


def crossing(offsets: Floats, n: Floats, k: Floats, target: float) -> Crossing:
    """Find the clearest crossing of `target` in scans: `offsets` (points,), switched `k` of `n` (points, columns).

    A crossing lies between two points; its contrast is how far the two points on either side of it (one at an end)
    are on the right sides of the target, in logits. Root and slope come from a line through those points.
    """
    eta = np.log((k + 0.5) / (n - k + 0.5)) - logit(target)
    p = (k + 0.5) / (n + 1)
    variance = 1 / np.maximum((n + 1) * p * (1 - p), 1e-9)
    best = np.zeros(n.shape[1])
    root, slope = np.zeros_like(best), np.zeros_like(best)
    for left in range(len(offsets) - 1):
        points = slice(max(left - 1, 0), left + 3)
        side = np.where(np.arange(len(offsets))[points] <= left, -1.0, 1.0)[:, None]
        contrast = (side * eta[points]).sum(0)
        sign = np.sign(contrast)
        # Both next to the crossing must be on their sides, as far as their noise lets one tell.
        near = np.minimum(
            -sign * eta[left] / np.sqrt(variance[left]), sign * eta[left + 1] / np.sqrt(variance[left + 1])
        )
        score = np.abs(contrast) / np.sqrt(variance[points].sum(0))
        score = np.where(near > -1.0, score, 0.0)
        better = score > best
        at, steep = _line(offsets[points], eta[points], 1 / (variance[points] + 0.05))
        best = np.where(better, score, best)
        root, slope = np.where(better, at, root), np.where(better, steep, slope)
    step = float(np.diff(offsets).max())
    inside = (
        (root > offsets[0] - step) & (root < offsets[-1] + step) & (np.abs(slope) > 0) & np.isfinite(root)
    )
    return Crossing(root, slope, (best > _CONTRAST) & inside & (n.min(0) > 0))


def _line(x: Floats, y: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Fit a line to each column; gives where it is 0, and its slope."""
    total = weight.sum(0)
    mean_x, mean_y = (weight * x[:, None]).sum(0) / total, (weight * y).sum(0) / total
    away = x[:, None] - mean_x
    slope = (weight * away * (y - mean_y)).sum(0) / (weight * away**2).sum(0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return mean_x - mean_y / slope, slope


@dataclass(frozen=True)
class Fit:
    """A parabola through the logits near the target, for each column.

    `root`: offset at which it is at the target; `slope`, `bend`: first and half the second derivative there, with
    the expected slope as unit, and their standard deviations; `sigma`: that of the logit at the root; `sound`: whether
    it reaches the target within the window, rising as expected.
    """

    root: Floats
    slope: Floats
    slope_sigma: Floats
    bend: Floats
    bend_sigma: Floats
    sigma: Floats
    sound: np.ndarray
    residuals: "Residuals"


@dataclass(frozen=True)
class Residuals:
    """How far the batches of a fit are from it; (columns,) each.

    `squares`: sum of squares by their counting noise; `freedom`: what is expected of it where nothing but counting
    is at work, the trace of (1 − H)ᵀ W (1 − H) / W; `weight`: how much more for a variance of 1 of the logit from
    batch to batch, the trace of (1 − H)ᵀ W (1 − H); `concentration`: Σ w² / (Σ w)² of the batches' weights.
    """

    squares: Floats
    freedom: Floats
    weight: Floats
    concentration: Floats


@dataclass(frozen=True)
class Prior:
    """What is expected of slope and bend, relative to the scale: means and standard deviations, (columns,) or one."""

    slope: Floats | float = 1.0
    slope_sigma: Floats | float = 0.5
    bend: Floats | float = 0.0
    bend_sigma: Floats | float = 0.7


def fit(
    offsets: Floats,
    n: Floats,
    k: Floats,
    target: float,
    *,
    centre: Floats,
    scale: Floats,
    prior: Prior,
    window: float,
) -> Fit:
    """Fit logit(p) = logit(target) + a + b x + c x² to batches `k` of `n` at `offsets`, all (batches, columns).

    x = (offset − `centre`) · `scale`, where `scale` is the expected d logit / d offset. b and c have normal priors.
    Batches beyond |x| = `window` are left out, and the root stays within. The posterior's mode by Newton's method,
    its covariance by the inverse Hessian.
    """
    x = (offsets - centre) * scale
    inside = np.abs(x) <= window
    columns = len(centre)
    theta = np.stack([np.broadcast_to(each, columns) for each in (0.0, prior.slope, prior.bend)], 1).astype(
        float
    )
    loose = np.stack(
        [np.broadcast_to(each, columns) for each in (5.0, prior.slope_sigma, prior.bend_sigma)], 1
    )
    covariance, residuals = np.empty((columns, 3, 3)), np.empty((4, columns))
    _fit_columns(
        np.where(inside, x, 0.0), np.where(inside, n, 0.0), np.where(inside, k, 0.0), float(logit(target)),
        1 / loose.astype(float) ** 2, theta, covariance, residuals,
    )  # fmt: skip
    return _at_the_root(theta.T, covariance, centre, scale, window, Residuals(*residuals))


@numba.njit(cache=True, nogil=True)
def _fit_columns(x, n, k, base, precision, theta, covariance, residuals):
    """Fit every column of x, n, k (batches, columns), from its prior in `theta` (columns, 3), which is overwritten.

    `precision`: of the prior. Gives the covariances (columns, 3, 3) and what `Residuals` holds (4, columns). H is what
    a fit makes of the logits; with weights n p q, the residuals are k − n p.
    """
    batches, columns = x.shape
    weight, away = np.empty(batches), np.empty(batches)
    gradient, step, hessian = np.empty(3), np.empty(3), np.empty((3, 3))
    for c in range(columns):
        mean, now, inverse = theta[c].copy(), theta[c], covariance[c]
        for _ in range(_STEPS):
            for i in range(3):
                gradient[i] = -precision[c, i] * (now[i] - mean[i])
                hessian[i] = 0.0
                hessian[i, i] = precision[c, i]
            for b in range(batches):
                at = x[b, c]
                eta = min(max(base + now[0] + at * (now[1] + at * now[2]), -30.0), 30.0)
                p = 1 / (1 + math.exp(-eta))
                weight[b], away[b] = n[b, c] * p * (1 - p), k[b, c] - n[b, c] * p
                power = 1.0
                for i in range(3):
                    gradient[i] += power * away[b]
                    beyond = power * power
                    for j in range(i, 3):
                        hessian[i, j] += beyond * weight[b]
                        beyond *= at
                    power *= at
            _invert(hessian, inverse)
            moved = 0.0
            for i in range(3):
                step[i] = 0.0
                for j in range(3):
                    step[i] += inverse[i, j] * gradient[j]
                now[i] += min(max(step[i], -1.5), 1.5)
                moved = max(moved, abs(step[i]))
            if moved < _CONVERGED:
                break
        squares = freedom = spread = total = most = 0.0
        for a in range(batches):
            total += weight[a]
            most += weight[a] ** 2
            if not weight[a] > 0:
                continue
            squares += away[a] ** 2 / max(weight[a], 1e-12)
            for b in range(batches):
                if weight[b] > 0:
                    hat = 0.0
                    for i in range(3):
                        for j in range(3):
                            hat += x[a, c] ** i * inverse[i, j] * x[b, c] ** j
                    left = (1.0 if a == b else 0.0) - hat * weight[b]
                    spread += left * left * weight[a]
                    freedom += left * left * weight[a] / max(weight[b], 1e-12)
        residuals[0, c], residuals[1, c], residuals[2, c] = squares, freedom, spread
        residuals[3, c] = most / max(total, 1e-12) ** 2


@numba.njit(cache=True, nogil=True, inline="always")
def _invert(m, out):
    """Invert a symmetric matrix (3, 3), of which the upper half is given."""
    a, b, c, d, e, f = m[0, 0], m[0, 1], m[0, 2], m[1, 1], m[1, 2], m[2, 2]
    out[0, 0], out[0, 1], out[0, 2] = d * f - e * e, c * e - b * f, b * e - c * d
    out[1, 1], out[1, 2], out[2, 2] = a * f - c * c, b * c - a * e, a * d - b * b
    over = 1 / (a * out[0, 0] + b * out[0, 1] + c * out[0, 2])
    out[1, 0], out[2, 0], out[2, 1] = out[0, 1], out[0, 2], out[1, 2]
    for i in range(3):
        for j in range(3):
            out[i, j] *= over


def _at_the_root(
    theta: Floats, covariance: Floats, centre: Floats, scale: Floats, window: float, residuals: Residuals
) -> Fit:
    a, b, c = theta
    discriminant = b * b - 4 * a * c
    steep = np.sqrt(np.maximum(discriminant, _FLATTEST**2))
    # The one of the two roots at which the parabola rises; this form has no difference of large numbers.
    x = -2 * a / np.maximum(b + steep, _FLATTEST)
    sound = (discriminant > _FLATTEST**2) & (b + steep > _FLATTEST) & (np.abs(x) <= window)
    x = np.clip(x, -window, window)
    powers, slopes = (
        np.stack([np.ones_like(x), x, x * x]),
        np.stack([np.zeros_like(x), np.ones_like(x), 2 * x]),
    )

    def deviation(vector: Floats) -> Floats:
        return np.sqrt(((covariance @ vector.T[:, :, None])[:, :, 0] * vector.T).sum(1))

    return Fit(
        root=centre + x / scale,
        slope=b + 2 * c * x,
        slope_sigma=deviation(slopes),
        bend=c,
        bend_sigma=np.sqrt(covariance[:, 2, 2]),
        sigma=deviation(powers),
        sound=sound,
        residuals=residuals,
    )
