"""Changes of the trims on the way: what of them a new segment has to say."""

import numpy as np

from ._format import ACTION_DTYPE, FROM_BOTH, FROM_P


class Changes:
    """The sum of all changes so far, by cell and state."""

    def __init__(self) -> None:
        self._sums: dict[tuple[int, int], tuple[float, float]] = {}

    def add(self, actions: np.ndarray) -> None:
        """Add rows of ACTION_DTYPE."""
        for row in actions:
            key = int(row["cell"]), int(row["state"])
            voltage, width = self._sums.get(key, (0.0, 0.0))
            self._sums[key] = voltage + float(row["voltage"]), width + float(row["width"])

    def rows(self) -> np.ndarray:
        """Give the sums as rows of ACTION_DTYPE, of generation 0 and without an estimate."""
        rows = np.zeros(len(self._sums), ACTION_DTYPE)
        for row, ((cell, state), (voltage, width)) in zip(rows, self._sums.items(), strict=True):
            row["cell"], row["state"], row["voltage"], row["width"] = cell, state, voltage, width
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
