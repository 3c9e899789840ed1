"""The health tests over a sequence that is all there (SP 800-90B, 4.4.1 and 4.4.2)."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

_WINDOW = 1024
_FALSE_ALARM = 40  # 2^-40 a test, as while recording


@dataclass(frozen=True)
class Health:
    """Repetition-count and adaptive-proportion tests of `bits` bits, with cutoffs for `min_entropy` bits each."""

    bits: int
    min_entropy: float
    repetition_cutoff: int
    longest_repetition: int
    repetition_alarms: int
    window: int
    proportion_cutoff: int
    highest_proportion: int
    proportion_alarms: int

    @property
    def ok(self) -> bool:
        """Whether neither test raised an alarm."""
        return self.repetition_alarms == self.proportion_alarms == 0


def health_of(bits: np.ndarray, h: float) -> Health | None:
    """Run both tests over bits that are taken to have min-entropy `h` each; None where h is 0: nothing is left to test.

    `bits`: uint8, 0 or 1, (n,).
    """
    if h <= 0:
        return None
    cutoff = 1 + math.ceil(_FALSE_ALARM / h)
    changes = np.flatnonzero(np.diff(bits)) + 1
    runs = np.diff(np.concatenate([[0], changes, [len(bits)]]))
    proportion = 1 + int(binom.ppf(1 - 2.0**-_FALSE_ALARM, _WINDOW, 2.0**-h))
    windows = bits[: len(bits) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    counts = (windows == windows[:, :1]).sum(axis=1)
    return Health(
        bits=len(bits),
        min_entropy=h,
        repetition_cutoff=cutoff,
        longest_repetition=int(runs.max()),
        repetition_alarms=int(np.count_nonzero(runs >= cutoff)),
        window=_WINDOW,
        proportion_cutoff=proportion,
        highest_proportion=int(counts.max(initial=0)),
        proportion_alarms=int(np.count_nonzero(counts >= proportion)),
    )
