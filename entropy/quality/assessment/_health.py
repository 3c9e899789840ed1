"""The health tests over a sequence that is all there (SP 800-90B, 4.4.1 and 4.4.2)."""

from dataclasses import dataclass

import numpy as np

from entropy.arguments import Real, takes

from ..health import Cutoffs


@dataclass(frozen=True)
class Health:
    """Repetition-count and adaptive-proportion tests of `bits` bits, with the cutoffs of a recording for `min_entropy`
    bits each."""

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


@takes(h=Real())
def health_of(bits: np.ndarray, h: float) -> Health | None:
    """Run both tests over bits that are taken to have min-entropy `h` each; None where h is 0: nothing is left to test.

    `bits`: uint8, 0 or 1, (n,).
    """
    if h <= 0:
        return None
    cutoffs = Cutoffs.from_claim(h)
    changes = np.flatnonzero(np.diff(bits)) + 1
    runs = np.diff(np.concatenate([[0], changes, [len(bits)]]))
    windows = bits[: len(bits) // cutoffs.window * cutoffs.window].reshape(-1, cutoffs.window)
    counts = (windows == windows[:, :1]).sum(axis=1)
    return Health(
        bits=len(bits),
        min_entropy=h,
        repetition_cutoff=cutoffs.repetition,
        longest_repetition=int(runs.max()),
        repetition_alarms=int(np.count_nonzero(runs >= cutoffs.repetition)),
        window=cutoffs.window,
        proportion_cutoff=cutoffs.proportion,
        highest_proportion=int(counts.max(initial=0)),
        proportion_alarms=int(np.count_nonzero(counts >= cutoffs.proportion)),
    )
