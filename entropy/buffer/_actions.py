"""Changes of the trims on the way: what of them a new segment has to say."""

import numpy as np

from ._format import ACTION_DTYPE, FROM_BOTH, FROM_P


class Changes:
    """The sum of all changes so far, by cell and state."""

    def __init__(self) -> None:
        self._sums = np.zeros(
            (FROM_BOTH + 1, 1, 2)
        )  # state; every cell, then one cell after the other; volts, seconds
        self._seen = np.zeros((FROM_BOTH + 1, 1), bool)

    def add(self, actions: np.ndarray) -> None:
        """Add rows of ACTION_DTYPE."""
        if not len(actions):
            return
        more = int(actions["cell"].max()) + 2 - self._sums.shape[1]
        if more > 0:
            self._sums = np.pad(self._sums, ((0, 0), (0, more), (0, 0)))
            self._seen = np.pad(self._seen, ((0, 0), (0, more)))
        at = actions["state"], actions["cell"] + 1
        np.add.at(self._sums, at, np.stack([actions["voltage"], actions["width"]], axis=1))
        self._seen[at] = True

    def rows(self) -> np.ndarray:
        """Give the sums as rows of ACTION_DTYPE, of generation 0 and without an estimate."""
        states, cells = np.nonzero(self._seen)
        rows = np.zeros(len(states), ACTION_DTYPE)
        rows["cell"], rows["state"] = cells - 1, states
        rows["voltage"], rows["width"] = self._sums[states, cells].T
        rows["p_estimate"] = np.nan
        return rows


def refuse_odd_actions(actions: np.ndarray, cells: int) -> None:
    """Raise ValueError for rows that no reader would believe."""
    if actions.dtype != ACTION_DTYPE or actions.ndim != 1:
        raise ValueError("actions are a list of elements of entropy.ACTION_DTYPE")
    if ((actions["cell"] < -1) | (actions["cell"] >= cells)).any():
        raise ValueError(f"the cell of an action is from 0 to {cells - 1}, or -1 for every cell")
    if ((actions["state"] < FROM_P) | (actions["state"] > FROM_BOTH)).any():
        raise ValueError("the state of an action is FROM_P, FROM_AP or FROM_BOTH")
    if not (np.isfinite(actions["voltage"]) & np.isfinite(actions["width"])).all():
        raise ValueError("volts and seconds of an action are finite")
