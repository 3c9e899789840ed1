"""The Fréchet distance between two clouds of features, each taken for a Gaussian."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError


@dataclass(frozen=True)
class Moments:
    """Mean (d,) and covariance (d, d) of features, float64, of n pictures (divisor n − 1)."""

    mean: npt.NDArray[np.float64]
    covariance: npt.NDArray[np.float64]
    n: int


def moments(values: npt.NDArray[np.floating]) -> Moments:
    """Mean and covariance of features (n, d), computed in float64. Raises SamplerError for fewer than two."""
    if len(values) < 2:
        raise SamplerError(f"a covariance takes at least two pictures, not {len(values)}")
    exact = values.astype(np.float64)
    mean = exact.mean(axis=0)
    centred = exact - mean
    return Moments(mean, centred.T @ centred / (len(values) - 1), len(values))


def weighted_moments(
    centred: npt.NDArray[np.float64],
    centre: npt.NDArray[np.float64],
    counts: npt.NDArray[np.integer],
) -> Moments:
    """Moments of a sample that holds row i of `centred` + `centre` counts[i] times: a bootstrap replicate.

    Args:
        centred: (n, d) features less `centre` (any point near their mean: it keeps the digits).
        centre: (d,).
        counts: (n,) whole numbers.
    """
    n = int(counts.sum())
    weights = counts.astype(np.float64)
    mean = weights @ centred / n
    second = centred.T @ (centred * weights[:, None])
    return Moments(centre + mean, (second - n * np.outer(mean, mean)) / (n - 1), n)


class FrechetDistance:
    """Fréchet distances to one fixed reference: |μ − μ_r|² + tr(Σ + Σ_r − 2 (Σ Σ_r)^½).

    The trace of the root is the sum of the roots of the eigenvalues of Σ_r^½ Σ Σ_r^½, which is symmetric and has the
    eigenvalues of the product Σ Σ_r; so no root of an unsymmetric matrix is taken, and rank-deficient covariances
    (fewer pictures than features) are exact too. Source: Dowson and Landau, J. Multivariate Anal. 12, 450 (1982);
    Heusel et al., NeurIPS 2017 (arXiv 1706.08500), equation 6. All in float64.
    """

    def __init__(self, reference: Moments) -> None:
        self.reference = reference
        values, vectors = np.linalg.eigh(reference.covariance)
        self._root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T

    def __call__(self, found: Moments) -> float:
        """The distance of moments to the reference; at least zero up to rounding."""
        shift = found.mean - self.reference.mean
        product = self._root @ found.covariance @ self._root
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0))
        spread = np.trace(found.covariance) + np.trace(self.reference.covariance)
        return float(shift @ shift + spread - 2 * roots.sum())
