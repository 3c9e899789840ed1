"""Whether an array keeps what is stored in it for as long as the network thinks."""

import time
from dataclasses import dataclass

import numpy as np
import scipy.stats

from instruments.array import BernoulliArray
from memtj._errors import CommandError

MOST_STRAYING = 1e-3
"""The share of the cells that may flip by themselves in a step."""
_TOLD = 10  # flips at that share, so that it can be told
_ALIVE = 0.2  # s
_CHANCE = 5e-7  # that the rate is higher than `most`


@dataclass(frozen=True)
class Straying:
    """Cells that flip by themselves: the `share` of them in a step, and `most`, 1/s, the rate of a cell at most."""

    share: float
    most: float


def refuse_forgetting(draws: BernoulliArray, step: float, held: float) -> Straying:
    """Watch an array that is switched on, and say how many of its cells flip by themselves in `step` seconds.

    It is read twice, a step apart, or longer where cells are few; no cell has a pulse. Raises CommandError where the
    share is above 1e-3. `held`: volts, for what it says.
    """
    cells = len(draws.cells)
    seconds = step * max(1.0, _TOLD / (MOST_STRAYING * cells))
    before, end = draws.read(), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        draws.array.keep_alive()
        time.sleep(min(left, _ALIVE))
    flips = int(np.sum(draws.read() != before))
    share = flips / cells * step / seconds
    if share > MOST_STRAYING:
        raise CommandError(
            f"{share:.2g} of the cells flip by themselves in a step of {step:.2g} s with {held:g} V held, and "
            f"{MOST_STRAYING:g} is the most: hold a voltage that keeps them ('memtj calibrate --hold', for example "
            "-0.5), or draw fewer pictures at a time, so that a step is shorter."
        )
    most = float(scipy.stats.chi2.isf(_CHANCE, 2 * (flips + 1))) / 2 / cells / seconds
    return Straying(share, most)
