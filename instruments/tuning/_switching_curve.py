"""Where a switching curve crosses a probability, from counts: a scan that finds it, and a local fit that places it.

Every column is one curve (a cell, in one direction); all columns are worked on at once. Offsets are what is added to
the pulse, volts or seconds. Probabilities are fitted as logits, η = log(p / (1 − p)), which is nearly linear in the
offset over the few hundredths in p that matter.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit

Floats = np.ndarray

_CONTRAST = 3.0  # standard errors by which both sides of a crossing must differ
_STEPS = 12  # of Newton's method; it has converged after five or six
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
    x, n, k = np.where(inside, x, 0.0), np.where(inside, n, 0.0), np.where(inside, k, 0.0)
    powers = np.stack([np.ones_like(x), x, x * x])
    columns = len(centre)
    mean = np.stack([np.broadcast_to(each, columns) for each in (0.0, prior.slope, prior.bend)]).astype(float)
    loose = np.stack([np.broadcast_to(each, columns) for each in (5.0, prior.slope_sigma, prior.bend_sigma)])
    precision = 1 / loose.astype(float) ** 2
    theta, base = mean.copy(), float(logit(target))
    hessian = np.empty((columns, 3, 3))
    p = weight = np.zeros_like(x)
    for _ in range(_STEPS):
        p = expit(np.clip(base + np.einsum("ic,ibc->bc", theta, powers), -30, 30))
        weight = n * p * (1 - p)
        gradient = np.einsum("ibc,bc->ic", powers, k - n * p) - precision * (theta - mean)
        hessian[:] = np.einsum("ibc,jbc,bc->cij", powers, powers, weight)
        hessian[:, range(3), range(3)] += precision.T
        step = np.linalg.solve(hessian, gradient.T[:, :, None])[:, :, 0].T
        theta = theta + np.clip(step, -1.5, 1.5)
    covariance = np.linalg.inv(hessian)
    residuals = _residuals(powers, covariance, k - n * p, weight)
    return _at_the_root(theta, covariance, centre, scale, window, residuals)


def _residuals(powers: Floats, covariance: Floats, away: Floats, weight: Floats) -> Residuals:
    """Compute from residuals `away` and weights n p q, (batches, columns); H is what a fit makes of the logits."""
    hat = np.einsum("iac,cij,jbc,bc->cab", powers, covariance, powers, weight, optimize=True)
    left = np.eye(len(away)) - hat
    left = left * ((weight[:, None] > 0) & (weight[None] > 0)).transpose(2, 0, 1)
    total = np.maximum(weight.sum(0), 1e-12)
    noise = np.where(weight > 0, 1 / np.maximum(weight, 1e-12), 0.0)
    return Residuals(
        squares=np.where(weight > 0, away**2 / np.maximum(weight, 1e-12), 0.0).sum(0),
        freedom=np.einsum("cab,ac,cab,bc->c", left, weight, left, noise, optimize=True),
        weight=np.einsum("cab,ac,cab->c", left, weight, left),
        concentration=(weight**2).sum(0) / total**2,
    )


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
        return np.sqrt(np.einsum("ic,cij,jc->c", vector, covariance, vector))

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
