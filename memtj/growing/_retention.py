"""Whether an array keeps what is stored in it for as long as the network thinks."""

import time

import numpy as np

from instruments.array import BernoulliArray
from memtj._errors import CommandError

MOST_STRAYING = 1e-3
"""The share of the cells that may flip by themselves in a step."""
_TOLD = 10  # flips at that share, so that it can be told
_ALIVE = 0.2  # s


def refuse_forgetting(draws: BernoulliArray, step: float, held: float) -> float:
    """Watch an array that is switched on, and give the share of its cells that flip by themselves in `step` seconds.

    It is read twice, a step apart, or longer where cells are few; no cell has a pulse. Raises CommandError where the
    share is above 1e-3. `held`: volts, for what it says.
    """
    cells = len(draws.cells)
    seconds = step * max(1.0, _TOLD / (MOST_STRAYING * cells))
    before, end = draws.read(), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        draws.array.keep_alive()
        time.sleep(min(left, _ALIVE))
    share = float(np.mean(draws.read() != before)) * step / seconds
    if share > MOST_STRAYING:
        raise CommandError(
            f"{share:.2g} of the cells flip by themselves in a step of {step:.2g} s with {held:g} V held, and "
            f"{MOST_STRAYING:g} is the most: hold a voltage that keeps them ('memtj calibrate --hold', for example "
            "-0.5), or draw fewer pictures at a time, so that a step is shorter."
        )
    return share
