"""The health of draws: bits that were each asked for with a probability of its own are held against it.

Sums of x - p over the draws of a cell are a martingale whose steps are below 1; Freedman's inequality (Ann. Probab. 3,
100, 1975) bounds the chance that it is ever beyond t while its variance, the sum of p(1 - p), is at most v, by
exp(-t² / (2(v + t / 3))). So a cell may be judged after every draw.
"""

import math
from dataclasses import dataclass

import numpy as np

from ..arguments import Count, Real, takes


@dataclass(frozen=True, eq=False)
class DrawVerdict:
    """What fails after a step: `cells`, int (failed,), those that did not before; `stream`: whether all together do."""

    cells: np.ndarray
    stream: bool


class DrawHealth:
    """Holds the outcomes of each cell, and of all together, against the probabilities they were drawn with.

    `cell_error` and `stream_error`: by how much P may be off on average, of one cell and of the mean over the cells
    that draw; calibration is never exact. `exponent`: of the false-alarm rate 2^-a, for one cell or the stream, over
    the whole run. A cell that is stuck fails once the draws that it owes are beyond chance: a few dozen at P = 1/2,
    the more the rarer they are.
    """

    @takes(cells=Count(1), cell_error=Real(0, 1), stream_error=Real(0, 1), exponent=Real(above=0))
    def __init__(
        self, cells: int, *, cell_error: float = 0.1, stream_error: float = 0.01, exponent: float = 40
    ) -> None:
        self.excess = np.zeros(cells)  # sum of x - p, per cell
        self.variance = np.zeros(cells)  # sum of p(1 - p)
        self.draws = np.zeros(cells, np.int64)
        self._failed = np.zeros(cells, bool)
        self._errors = cell_error, stream_error
        self._exponent = exponent

    @property
    def failed(self) -> np.ndarray:
        """The cells that have failed, int (failed,)."""
        return np.flatnonzero(self._failed)

    def take(self, p: np.ndarray, ones: np.ndarray, drawn: np.ndarray) -> DrawVerdict:
        """Judge a step: commanded probabilities, outcomes and who drew, float, bool and bool, each (cells,).

        Raises ValueError for what is no such array, or a probability outside 0 to 1.
        """
        if not (
            p.shape == ones.shape == drawn.shape == self.excess.shape
            and drawn.dtype == ones.dtype == np.bool_
        ):
            raise ValueError(f"a step is p, ones and drawn of {len(self.excess)} cells, the last two bool")
        if not bool(((p >= 0) & (p <= 1))[drawn].all()):
            raise ValueError("a probability lies between 0 and 1")
        self.excess += np.where(drawn, ones - p, 0)
        self.variance += np.where(drawn, p * (1 - p), 0)
        self.draws += drawn
        of_cell, of_stream = self._errors
        beyond = np.abs(self.excess) > self._most(self.variance, self.draws, of_cell)
        fresh = np.flatnonzero(beyond & ~self._failed)
        self._failed |= beyond
        return DrawVerdict(fresh, self._stream_fails(of_stream))

    def _stream_fails(self, error: float) -> bool:
        kept = ~self._failed  # what a bad cell did says nothing of the others
        total, variance, draws = (
            each[kept].sum(keepdims=True) for each in (self.excess, self.variance, self.draws)
        )
        return bool(abs(total) > self._most(variance, draws, error))

    def _most(self, variance: np.ndarray, draws: np.ndarray, error: float) -> np.ndarray:
        """How far a sum may be from 0 at a variance, both signs and every variance up to it allowed for.

        The bound is for one v; variances are taken by powers of two, and the k-th of them has 1/(k(k + 1)) of the
        alarms. `draws` that are each off by `error` move the sum by their product, and the variance by no more.
        """
        v = variance + draws * error * (1 - error)
        power = np.ceil(np.log2(np.maximum(v, 1))) + 1
        a = (self._exponent + 1) * math.log(2) + np.log(power * (power + 1))
        third = a / 3
        return error * draws + third + np.sqrt(third**2 + 2 * a * 2.0 ** (power - 1))
