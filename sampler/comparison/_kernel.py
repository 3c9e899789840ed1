"""The kernel distance (KID): the unbiased squared maximum mean discrepancy with a cubic kernel."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from entropy.arguments import Real, takes
from sampler._errors import SamplerError

_ROWS = 1000


@dataclass(frozen=True)
class KernelDistance:
    """An unbiased estimate of MMD², which may be negative, and its standard error over the pictures."""

    value: float
    error: float


def cubic_kernel(x: npt.NDArray[np.floating], y: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
    """(x·y / d + 1)³ of features (n, d) and (m, d): (n, m) float64 (Bińkowski et al., arXiv 1801.01401)."""
    kernel = x.astype(np.float64) @ y.astype(np.float64).T
    kernel /= x.shape[1]
    kernel += 1
    # Two products: a power by pow() is twenty times slower.
    return kernel * kernel * kernel


@dataclass(frozen=True)
class _Pairs:
    """Means of the kernel over pairs of different pictures.

    `of` (n,) numbers each picture's label from 0, `sizes` (labels,) counts them; `rows` (n, labels) sums picture i's
    kernel over the other pictures of each label; `means` (labels, labels) is the mean over pairs.
    """

    of: npt.NDArray[np.int64]
    sizes: npt.NDArray[np.int64]
    rows: npt.NDArray[np.float64]
    means: npt.NDArray[np.float64]

    @property
    def shares(self) -> npt.NDArray[np.float64]:
        return self.sizes / self.sizes.sum()

    @property
    def mean(self) -> float:
        return float(self.shares @ self.means @ self.shares)

    def without_each(self) -> npt.NDArray[np.float64]:
        """`mean` without picture i, for every i, at the same shares of labels: (n,) float64."""
        n, share = self.sizes[self.of], self.shares[self.of]
        own = self.rows[np.arange(len(self.of)), self.of]
        mean_own = self.means[self.of, self.of]
        fallen_own = mean_own - (mean_own * n * (n - 1) - 2 * own) / ((n - 1) * (n - 2))
        fallen = (self.rows / self.sizes - self.means[self.of]) / (n - 1)[:, None]
        others = fallen @ self.shares - fallen[np.arange(len(n)), self.of] * share
        return self.mean - 2 * share * others - share**2 * fallen_own


def own_mean(values: npt.NDArray[np.floating], labels: npt.NDArray[np.integer] | None = None) -> float:
    """The unbiased mean of the kernel over pairs of features (n, d): a reference's own term, computed once."""
    return _pairs(values, _one_label(values) if labels is None else labels).mean


@takes(reference_mean=Real())
def kernel_distance(
    values: npt.NDArray[np.floating],
    reference: npt.NDArray[np.floating],
    reference_mean: float | None = None,
    labels: npt.NDArray[np.integer] | None = None,
) -> KernelDistance:
    """The kernel distance of features (n, d) to reference features (m, d), over all pairs of pictures.

    The usual KID averages over random subsets of 1,000, which adds noise of its own; all pairs give the same
    expectation with less variance. It also takes pictures for independent draws. Where so many of each label were
    asked for, they are not, and the usual estimate lies too low by what labels differ by (on real digits, by six of
    its standard errors). With `labels`, pairs within a label count n_l/(n_l − 1) times as much as those of two
    labels, which makes the estimate unbiased for that design: with ν the shares of labels and k̄ means over pairs of
    different pictures, Σ ν_a ν_b k̄_ab, instead of one mean over all pairs.

    The standard error is the jackknife's within labels, exact from row sums: the estimate without picture i for every
    i, and for each label (n_l − 1)/n_l times their sum of squares about their mean (Efron and Stein, Ann. Stat. 9,
    586, 1981). It holds the reference fixed, as every arm meets the same one.

    Args:
        values, reference: of one feature space.
        reference_mean: `own_mean` of the reference with its labels, where it is known already.
        labels: (n,) where their numbers were chosen, not drawn; None for independent draws, the usual KID.

    Raises SamplerError where a label has fewer than three pictures.
    """
    strata = _one_label(values) if labels is None else labels
    pairs = _pairs(values, strata)
    if pairs.sizes.min() < 3:
        raise SamplerError(
            f"a kernel distance takes at least 3 pictures of each label, not {pairs.sizes.min()}"
        )
    own = own_mean(reference) if reference_mean is None else reference_mean
    cross = np.concatenate(
        [cubic_kernel(values[i : i + _ROWS], reference).mean(axis=1) for i in range(0, len(values), _ROWS)]
    )
    means = np.bincount(pairs.of, cross) / pairs.sizes
    mean = float(pairs.shares @ means)
    sizes, shares = pairs.sizes[pairs.of], pairs.shares[pairs.of]
    without = pairs.without_each() - 2 * shares * (means[pairs.of] - cross) / (sizes - 1)
    centred = without - (np.bincount(pairs.of, without) / pairs.sizes)[pairs.of]
    error = np.sqrt(np.sum((sizes - 1) / sizes * centred**2))
    return KernelDistance(pairs.mean + own - 2 * mean, float(error))


def _one_label(values: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    return np.zeros(len(values), np.int64)


def _pairs(values: npt.NDArray[np.floating], labels: npt.NDArray[np.integer]) -> _Pairs:
    of, sizes = np.unique(labels, return_inverse=True, return_counts=True)[1:]
    if sizes.min() < 2:
        raise SamplerError("an unbiased mean over pairs takes at least 2 pictures of each label")
    member = np.eye(len(sizes))[of]
    rows = np.concatenate(
        [cubic_kernel(values[i : i + _ROWS], values) @ member for i in range(0, len(values), _ROWS)]
    )
    exact = values.astype(np.float64)
    rows[np.arange(len(of)), of] -= (np.einsum("ij,ij->i", exact, exact) / values.shape[1] + 1) ** 3
    pairs = np.outer(sizes, sizes) - np.diag(sizes)
    return _Pairs(of, sizes, rows, member.T @ rows / pairs)
