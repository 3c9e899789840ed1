"""The restart tests of NIST SP 800-90B (2018), section 3.1.4: is every start of the source as good as its running?"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from .._errors import NotEnoughBits
from ..arguments import Count, Real, takes
from .estimators import LEAST_BITS, MinEntropy, checked_bits, min_entropy

RESTARTS = SAMPLES = 1000  # the standard's matrix
_FALSE_ALARM = 0.01


@dataclass(frozen=True)
class RestartTests:
    """What a matrix of restarts says of an initial estimate.

    `rows`, `columns`: restarts, and bits of each; `most`: the highest count of one value in a row or column, worst
    beside its `cutoff`; `sane`: the sanity check (3.1.4.3); `by_row`, `by_column`: the estimates of the matrix read
    along rows and along columns; `initial`: the estimate that it was put to.
    """

    rows: int
    columns: int
    most: int
    cutoff: int
    sane: bool
    by_row: MinEntropy
    by_column: MinEntropy
    initial: float

    @property
    def standard(self) -> bool:
        """Whether it was the standard's matrix of 1,000 restarts by 1,000 bits."""
        return self.rows == RESTARTS and self.columns == SAMPLES

    @property
    def passed(self) -> bool:
        """Whether the check held and neither reading gives less than half of the initial estimate (3.1.4.2)."""
        return self.sane and min(self.by_row.assessed, self.by_column.assessed) >= self.initial / 2

    @property
    def assessed(self) -> float:
        """The min-entropy per bit after the restarts: 0 where they failed."""
        return min(self.by_row.assessed, self.by_column.assessed, self.initial) if self.passed else 0.0


@takes(initial=Real(0, 1))
def restart_tests(matrix: np.ndarray, initial: float) -> RestartTests:
    """Put an initial estimate of min-entropy per bit to a matrix of restarts.

    `matrix`: uint8, 0 or 1, (restarts, bits of each); the standard wants 1,000 x 1,000. Raises NotEnoughBits where
    it has too few bits for the estimators, ValueError where it is no such matrix or `initial` is not in 0 … 1.
    """
    if matrix.ndim != 2 or not 0 <= initial <= 1:
        raise ValueError("the restart tests take a matrix of bits, and an estimate from 0 to 1 bit")
    if matrix.size < LEAST_BITS:
        raise NotEnoughBits(LEAST_BITS, matrix.size, "in the matrix of restarts")
    along_rows = checked_bits(matrix.ravel())
    along_columns = checked_bits(np.ascontiguousarray(matrix.T).ravel())
    rows, columns = matrix.shape
    checks = [_worst(matrix, 1, initial), _worst(matrix, 0, initial)]
    most, cutoff = max(checks, key=lambda check: check[0] - check[1])
    return RestartTests(
        rows,
        columns,
        most,
        cutoff,
        most <= cutoff,
        min_entropy(along_rows),
        min_entropy(along_columns),
        initial,
    )


def _worst(matrix: np.ndarray, axis: int, initial: float) -> tuple[int, int]:
    """Give the highest count of one value along an axis, and the cutoff for it."""
    length = matrix.shape[axis]
    ones = matrix.sum(axis=axis, dtype=np.int64)
    most = int(np.maximum(ones, length - ones).max())
    return most, cutoff_of(length, sum(matrix.shape), initial)


@takes(length=Count(1), sequences=Count(1), initial=Real(0, 1))
def cutoff_of(length: int, sequences: int, initial: float) -> int:
    """Give the highest count of one value among `length` bits that is still no surprise.

    For bits of which the likelier value has probability 2^-initial, all of so many rows and columns stay at or below
    it with 99 %. NIST's program finds it by simulation, this is exact.
    """
    alpha = -math.expm1(math.log1p(-_FALSE_ALARM) / sequences)
    p = 2.0**-initial
    counts = np.arange(length // 2, length + 1)
    beyond = binom.sf(counts, length, p) + binom.cdf(length - counts - 1, length, p)
    return int(counts[np.argmax(beyond <= alpha)])
