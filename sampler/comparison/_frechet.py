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
        product = self._root @ found.covariance @ self._root
        return self._distance(found.mean, float(np.trace(found.covariance)), product)

    def of_replicates(
        self, values: npt.NDArray[np.floating], counts: npt.NDArray[np.integer]
    ) -> npt.NDArray[np.float64]:
        """Distances of samples that hold row i of `values` counts[r, i] times, for every r: bootstrap replicates.

        Args:
            values: (n, d) features.
            counts: (replicates, n) whole numbers, each row of sum n.

        Returns (replicates,) float64. One matrix product and one set of eigenvalues each.
        """
        exact = values.astype(np.float64)
        centre = exact.mean(axis=0)
        centred = exact - centre  # keeps the digits
        turned = centred @ self._root
        lengths = np.einsum("ij,ij->i", centred, centred)
        n = len(values)
        found = []
        for count in counts:
            weights = count.astype(np.float64)
            mean = weights @ centred / n
            turned_mean = mean @ self._root
            product = turned.T @ (turned * weights[:, None]) - n * np.outer(turned_mean, turned_mean)
            trace = float(weights @ lengths - n * (mean @ mean)) / (n - 1)
            found.append(self._distance(centre + mean, trace, product / (n - 1)))
        return np.array(found)

    def _distance(
        self, mean: npt.NDArray[np.float64], trace: float, product: npt.NDArray[np.float64]
    ) -> float:
        """Give the distance from mean, trace of the covariance, and Σ_r^½ Σ Σ_r^½."""
        shift = mean - self.reference.mean
        roots = np.sqrt(np.maximum(np.linalg.eigvalsh(product), 0))
        return float(shift @ shift + trace + np.trace(self.reference.covariance) - 2 * roots.sum())
