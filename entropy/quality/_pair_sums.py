"""Sums over pairs of outcomes, and what they say of correlation and memory."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PairSums:
    """Sums over pairs (x, y) of an outcome and the one after it: how many, Σx, Σy, Σxy; arrays or scalars."""

    pairs: np.ndarray | np.integer
    first: np.ndarray | np.integer
    second: np.ndarray | np.integer
    both: np.ndarray | np.integer

    @property
    def correlation(self) -> np.ndarray:
        """Pearson's correlation of x and y; nan where one of them never changed."""
        n, x, y, xy = self.floats()
        with np.errstate(invalid="ignore", divide="ignore"):
            return (n * xy - x * y) / np.sqrt((n * x - x * x) * (n * y - y * y))

    @property
    def min_entropy(self) -> np.ndarray:
        """Min-entropy of a bit as a chain of two states; float64; nan where nothing was counted.

        −log₂ of the likeliest of staying at 0, staying at 1, and changing to and fro, per step: what the most
        probable long sequence of the chain leaves (SP 800-90B section 6.3.3, without its confidence bound). It is
        a first look at bias and memory of one step, not an assessment; counting noise lowers it a little.
        """
        n, x, y, xy = self.floats()
        with np.errstate(invalid="ignore", divide="ignore"):
            # A state that never occurred is never left: the other one decides.
            rise = np.where(n > x, (y - xy) / (n - x), 0.0)
            fall = np.where(x > 0, (x - xy) / x, 0.0)
            stay = np.maximum(np.where(n > x, 1 - rise, 0.0), np.where(x > 0, 1 - fall, 0.0))
            likeliest = np.maximum(stay, np.sqrt(rise * fall))
            return np.where(n > 0, -np.log2(likeliest), np.nan) + 0.0

    def floats(self) -> list[np.ndarray]:
        """Give the four sums in their order; float64."""
        return [np.asarray(part, np.float64) for part in (self.pairs, self.first, self.second, self.both)]
