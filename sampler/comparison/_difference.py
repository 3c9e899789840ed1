"""The test for a difference: permutations of the pictures of two arms."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from statistics import NormalDist

import numpy as np
import numpy.typing as npt
from pydantic import computed_field

from entropy.arguments import Count, Real, takes
from sampler._errors import SamplerError
from sampler.comparison._bootstrap import generator
from sampler.comparison._json import JsonRecord
from sampler.comparison._kernel import cubic_kernel

PERMUTATIONS = 9_999
ALPHA = 1e-3
# Permutations and rows at a time: they bound the memory, and keep a product in the cache.
_COLUMNS = 500
_ROWS = 500
_ITERATIONS = 30


@dataclass(frozen=True)
class Difference(JsonRecord):
    """Outcome of the permutation test.

    `statistic` is the unbiased MMD² between the arms, `p_value` the share of permutations that reach it, itself
    counted in (so at least 1/(permutations + 1)); `found`: p below `alpha`. `critical` is the statistic that p = alpha
    takes, and `detectable_80`, `detectable_90` the true MMD² that this test finds with a probability of 0.8 and 0.9.
    """

    statistic: float
    p_value: float
    permutations: int
    pictures: tuple[int, int]
    alpha: float
    critical: float
    detectable_80: float
    detectable_90: float

    @computed_field
    @property
    def found(self) -> bool:
        """Whether the arms differ at level alpha."""
        return self.p_value < self.alpha


@takes(key=Count(most=1 << 128), permutations=Count(1), alpha=Real(above=0, most=1))
def difference(
    first: npt.NDArray[np.float32],
    second: npt.NDArray[np.float32],
    first_labels: npt.NDArray[np.integer],
    second_labels: npt.NDArray[np.integer],
    key: int,
    *,
    permutations: int = PERMUTATIONS,
    alpha: float = ALPHA,
) -> Difference:
    """Test whether two arms of pictures, (n, d) and (m, d) features, were drawn from one law.

    The statistic is the unbiased MMD² with the cubic kernel of KID; the pictures change places within their label, as
    how many of each label an arm has was chosen. Under equal laws the p-value is uniform, exactly, whatever the
    features' law is: p = (1 + permutations that reach the statistic) / (1 + permutations) (Phipson and Smyth, Stat.
    Appl. Genet. Mol. Biol. 9, 39, 2010; Gretton et al., JMLR 13, 723, 2012, for MMD). Pictures of several runs are
    pooled: the test asks whether pictures differ, not whether a difference goes beyond that between runs of one arm.

    The estimate is unbiased for so many of each label (see `kernel_distance`). With P = H K H (the kernel matrix,
    centred) and a 0/1 column z that says which pictures are in the first arm, zᵀPz = a, and both (1 − z)ᵀP(1 − z) = a
    and zᵀP(1 − z) = −a: one matrix product gives the statistic of every permutation.

    The detectable MMD² θ solves θ = c + z √(s² + 4 λ θ (1/n + 1/m)) for the critical value c, the permutations'
    standard deviation s, and z = 0.84 or 1.28. The second term is the variance that a difference adds (Gretton et al.,
    theorem 8), 4 Var(h)(1/n + 1/m) with h the witness function; Var(h) is at most λ θ, λ being the largest eigenvalue
    of the covariance of the kernel's features within labels. So the power is at least the one named.

    Memory: 4 bytes × (n + m)². Raises SamplerError for fewer than 2 pictures of a label in an arm, or 99 permutations.
    """
    n, m = len(first), len(second)
    labels = np.concatenate([first_labels, second_labels])
    order = np.argsort(labels, kind="stable")
    member = (order < n).astype(np.float32)
    _check(labels[order], member, permutations)
    statistic = _Statistic(np.concatenate([first, second])[order], labels[order], member)
    observed = float(statistic(member[:, None])[0])
    random = generator(key)
    drawn = np.concatenate(
        [
            statistic(_permuted(member, statistic.blocks, min(_COLUMNS, permutations - done), random))
            for done in range(0, permutations, _COLUMNS)
        ]
    )
    # Equal up to rounding is a tie, and a tie counts against a difference.
    reached = int(np.sum(drawn >= observed - 1e-6 * abs(observed)))
    critical = float(np.quantile(drawn, 1 - alpha))
    slope = 4 * statistic.largest_variance(random) * (1 / n + 1 / m)
    eighty, ninety = (_detectable(critical, float(drawn.std()), slope, share) for share in (0.8, 0.9))
    return Difference(
        observed,
        (1 + reached) / (1 + permutations),
        permutations,
        (n, m),
        alpha,
        critical,
        eighty,
        ninety,
    )


def holm(p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """P-values of several tests, adjusted so that one false alarm among all keeps its level (Holm, 1979)."""
    order = np.argsort(p_values)
    stepped = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1)
    return adjusted


def _check(labels: npt.NDArray[np.integer], member: npt.NDArray[np.float32], permutations: int) -> None:
    fewest = min(int(np.sum(member[labels == label] == arm)) for label in np.unique(labels) for arm in (0, 1))
    if fewest < 2 or permutations < 99:
        raise SamplerError(
            "a permutation test takes at least 2 pictures of each label in each arm and 99 permutations, not "
            f"{fewest} and {permutations}"
        )


class _Statistic:
    """The unbiased MMD² between the two parts of a pooled set of features (n + m, d) that is sorted by label.

    Args:
        values: the features.
        labels: (n + m,), sorted.
        member: (n + m,) 0 or 1: how many of each label are in the first arm.
    """

    def __init__(
        self,
        values: npt.NDArray[np.float32],
        labels: npt.NDArray[np.integer],
        member: npt.NDArray[np.float32],
    ) -> None:
        starts = [*np.unique(labels, return_index=True)[1].tolist(), len(labels)]
        self.blocks = [slice(a, b) for a, b in pairwise(starts)]
        self.kernel = _centred_kernel(values)
        self.n = int(member.sum())
        self.m = len(member) - self.n

    def __call__(self, members: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """The statistic of each column of 0/1 members (n + m, columns): (columns,) float64."""
        n, m = self.n, self.m
        inside = np.zeros(members.shape[1])
        within = np.zeros(members.shape[1])
        for block in self.blocks:
            here = members[block]
            square = self.kernel[block, block]
            # The kernel is symmetric: what lies right of the block counts twice, what lies left of it not at all.
            own = square @ here
            right = self.kernel[block, block.stop :] @ members[block.stop :]
            quadratic = _column_sums(own, here)
            inside += quadratic + 2 * _column_sums(right, here)
            diagonal, ones = square.diagonal().astype(np.float64), int(here[:, 0].sum())
            first = diagonal @ here
            others = square.sum(dtype=np.float64) - 2 * (square.sum(axis=1, dtype=np.float64) @ here)
            second = quadratic + others - (diagonal.sum() - first)
            within += ((quadratic - first) / (ones - 1) - first) / n**2
            within += (second / (len(here) - ones - 1) - (diagonal.sum() - first)) / m**2
        return within + inside * (1 / n + 1 / m) ** 2

    def largest_variance(self, random: np.random.Generator) -> float:
        """Largest eigenvalue of the covariance of the kernel's features within labels, by power iteration."""
        vector = random.standard_normal(self.n + self.m).astype(np.float32)
        size = 0.0
        for _ in range(_ITERATIONS):
            for block in self.blocks:
                vector[block] -= vector[block].mean()
            vector /= np.linalg.norm(vector)
            vector = self.kernel @ vector
            size = float(np.linalg.norm(vector))
        return size / (self.n + self.m)


def _detectable(critical: float, spread: float, slope: float, share: float) -> float:
    """Solve θ = critical + z √(spread² + slope θ) for θ, z being the normal quantile of `share`."""
    z = NormalDist().inv_cdf(share)
    half = critical + z * z * slope / 2
    return half + float(np.sqrt(half * half - critical * critical + z * z * spread * spread))


def _column_sums(x: npt.NDArray[np.float32], y: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    return (x * y).sum(axis=0, dtype=np.float64)


def _centred_kernel(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """H K H in float32, rows and columns of zero mean; the means are taken in float64."""
    total = len(values)
    kernel = np.empty((total, total), np.float32)
    means = np.empty(total)
    for row in range(0, total, _ROWS):
        part = cubic_kernel(values[row : row + _ROWS], values)
        means[row : row + _ROWS] = part.mean(axis=1)
        kernel[row : row + _ROWS] = part - means[row : row + _ROWS, None]
    kernel -= (means - means.mean()).astype(np.float32)
    return kernel


def _permuted(
    member: npt.NDArray[np.float32], blocks: list[slice], columns: int, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Permutations of `member` (n,) within blocks of equal label: (n, columns) float32."""
    permuted = np.empty((len(member), columns), np.float32)
    for block in blocks:
        rows = np.tile(member[block], (columns, 1))
        permuted[block] = random.permuted(rows, axis=1, out=rows).T
    return permuted
