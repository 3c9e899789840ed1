"""V(P): at which voltage each cell switches with a probability, by the state that the pulse starts from."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit, logit

Z95 = 1.959964
_STEEPEST = 1e-6  # V between two logits: what is steeper is a jump


@dataclass(frozen=True, eq=False)
class SwitchingLaw:
    """Monotone curves of the volts at the device against the logit of P, and their standard errors.

    `logits`: evenly spaced, rising; `volts`, `sigma`: (2, cells, logits), from P and from AP; straight between them.
    `lowest`, `highest`: the volts within which pulses were given. Raises ValueError where a curve falls, or is none.
    """

    logits: np.ndarray
    volts: np.ndarray
    sigma: np.ndarray
    lowest: float
    highest: float

    def __post_init__(self) -> None:
        if self.volts.shape != self.sigma.shape or self.volts.shape[::2] != (2, len(self.logits)):
            raise ValueError("volts and sigma are a curve for each state and cell, a value at each logit")
        if not (np.isfinite(self.volts).all() and np.isfinite(self.sigma).all()):
            raise ValueError("volts and sigma are finite numbers")
        if (np.diff(self.volts, axis=2) < 0).any() or (np.diff(self.logits) <= 0).any():
            raise ValueError("a curve of the volts falls: it must rise with P")

    @property
    def cells(self) -> int:
        """How many cells it knows."""
        return self.volts.shape[1]

    def narrowed(self, least: float) -> "SwitchingLaw":
        """Give it with no more volts than all cells need for P from `least` to 1 - `least`: codes are finer then."""
        ends = [self.voltage(p, state)[0] for p in (least, 1 - least) for state in (False, True)]
        return replace(self, lowest=float(np.min(ends)), highest=float(np.max(ends)))

    def voltage(
        self, p: np.ndarray | float, antiparallel: np.ndarray | bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the volts at which each cell switches with `p`, and their standard errors; (cells,) each.

        What is beyond the ends of a cell's curve, or needs volts beyond the calibrated ones, is clipped to them.
        """
        with np.errstate(divide="ignore"):
            at = np.broadcast_to(logit(np.asarray(p, float)), self.cells)
        step = self.logits[1] - self.logits[0]
        place = np.clip((at - self.logits[0]) / step, 0, len(self.logits) - 1)
        left = np.minimum(place.astype(int), len(self.logits) - 2)
        share, state, cell = place - left, np.asarray(antiparallel).astype(int), np.arange(self.cells)
        volts, sigma = (
            each[state, cell, left] * (1 - share) + each[state, cell, left + 1] * share
            for each in (self.volts, self.sigma)
        )
        return np.clip(volts, self.lowest, self.highest), sigma

    def response(
        self, volts: np.ndarray | float, antiparallel: np.ndarray | bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give with what probability each cell switches at its volts, and the slope of its logit, 1/V; (cells,) each.

        Beyond the ends of a cell's curve the probability is that of the end, and the slope 0, as where it jumps.
        """
        volts = np.broadcast_to(np.asarray(volts, float), self.cells)
        state, cell = np.asarray(antiparallel).astype(int), np.arange(self.cells)
        last = len(self.logits) - 1
        left = np.zeros(self.cells, int)
        for power in range(last.bit_length() - 1, -1, -1):  # the last value that is not above, by halves
            ahead = np.minimum(left + (1 << power), last - 1)
            left = np.where(self.volts[state, cell, ahead] <= volts, ahead, left)
        low = self.volts[state, cell, left]
        rise = np.maximum(self.volts[state, cell, left + 1] - low, _STEEPEST)
        share, step = (volts - low) / rise, self.logits[1] - self.logits[0]
        slope = np.where((share >= 0) & (share <= 1) & (rise > _STEEPEST), step / rise, 0.0)
        return expit(self.logits[left] + np.clip(share, 0, 1) * step), slope

    def probability(self, volts: np.ndarray | float, antiparallel: np.ndarray | bool) -> np.ndarray:
        """Give with what probability each cell switches at its volts, (cells,); that of its ends beyond them."""
        return self.response(volts, antiparallel)[0]

    def interval(
        self, p: np.ndarray | float, antiparallel: np.ndarray | bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the 95 % interval of the probability that is reached where `p` is asked for, (cells,) each."""
        volts, sigma = self.voltage(p, antiparallel)
        return (
            self.probability(volts - Z95 * sigma, antiparallel),
            self.probability(volts + Z95 * sigma, antiparallel),
        )
