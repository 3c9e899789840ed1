"""V(P): at which voltage each cell switches with a probability, by the state that the pulse starts from."""

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, logit

Z95 = 1.959964


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

    def probability(self, volts: np.ndarray | float, antiparallel: np.ndarray | bool) -> np.ndarray:
        """Give with what probability each cell switches at its volts, (cells,); that of its ends beyond them."""
        volts = np.broadcast_to(volts, self.cells)
        state, cell = np.asarray(antiparallel).astype(int), np.arange(self.cells)
        curve = self.volts[state, cell]
        left = np.clip((curve <= volts[:, None]).sum(1) - 1, 0, len(self.logits) - 2)
        rise = curve[cell, left + 1] - curve[cell, left]
        share = np.clip((volts - curve[cell, left]) / np.maximum(rise, 1e-12), 0, 1)
        return expit(self.logits[left] + share * (self.logits[1] - self.logits[0]))

    def interval(
        self, p: np.ndarray | float, antiparallel: np.ndarray | bool
    ) -> tuple[np.ndarray, np.ndarray]:
        """Give the 95 % interval of the probability that is reached where `p` is asked for, (cells,) each."""
        volts, sigma = self.voltage(p, antiparallel)
        return (
            self.probability(volts - Z95 * sigma, antiparallel),
            self.probability(volts + Z95 * sigma, antiparallel),
        )
