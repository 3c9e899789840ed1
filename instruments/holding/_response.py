"""How cells answer to a change of their pulse."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Response:
    """How cells answer to a change of the volts of their pulse, as a tuning measured it.

    `slopes`: P per volt, (2, cells), from P and from AP, NaN where another quantity was trimmed; `target`: P that they
    were tuned to; `prior`: as well as by so many pulses is P known of a typical cell.
    """

    slopes: np.ndarray
    target: float
    prior: float

    @classmethod
    def of(cls, per_volt: np.ndarray, low: np.ndarray, high: np.ndarray, target: float) -> "Response":
        """From slopes of the logit, 1/V, and 95 % intervals of P, (2, cells) each."""
        with np.errstate(invalid="ignore"):
            sigma = (high - low)[np.isfinite(per_volt) & (high > low)] / 3.92
        variance = float(np.median(sigma)) ** 2 if len(sigma) else 0.25
        return cls(per_volt * target * (1 - target), target, 0.25 / variance)
