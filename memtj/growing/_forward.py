"""The forward process in an array: pictures are written, then noised by one pulse a pixel and step, and read."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.stats

from instruments.array import BernoulliArray, SwitchingLaw
from sampler.processes import BinaryProcess, Bits

FAMILY = 1e-6
"""The chance that any of a process's steps is outside its interval, where each flips as it was asked to."""


@dataclass(frozen=True, eq=False)
class NoisedStep:
    """The pictures after step `t` (0: as written), uint8, and the share of `cells` that `flipped` in it.

    `asked`: β_t; `low`, `high`: between which the share is to be, by counting and by the calibration's own interval;
    flips by themselves are below what is told apart, or the array had been refused.
    """

    t: int
    x: Bits
    cells: int
    asked: float = 0.0
    flipped: float = 0.0
    low: float = 0.0
    high: float = 0.0

    @property
    def inside(self) -> bool:
        """Whether the share is in its interval."""
        return self.low <= self.flipped <= self.high


def noise_forward(
    draws: BernoulliArray, law: SwitchingLaw, process: BinaryProcess, clean: Bits
) -> Iterator[NoisedStep]:
    """Write pictures of bits, (pictures, …), and noise them; yields them as they are read, and after each step."""
    x = draws.write(clean)
    yield NoisedStep(0, x, x.size)
    alpha = FAMILY / (2 * process.steps)
    for t, beta in enumerate(process.flips, 1):
        state = draws.magnetisation.ravel()
        low, high = (each[draws.cells[: x.size]].mean() for each in law.interval(float(beta), state))
        before, x = x, draws.flip(np.full(x.shape, beta))
        yield NoisedStep(
            t, x, x.size, float(beta), float(np.mean(x != before)),
            float(scipy.stats.binom.ppf(alpha, x.size, low)) / x.size,
            float(scipy.stats.binom.isf(alpha, x.size, high)) / x.size,
        )  # fmt: skip
