"""The law of a simulated array's cells as its physics has it: what a perfect calibration would find."""

import numpy as np
from scipy.special import logit

from instruments.array import SwitchingLaw
from mock_hw import Lab

LOGITS = np.linspace(-7.0, 7.0, 57)
WIDTHS = {"C": (0.58e-9, 0.35, 1.1), "D": (4.5e-9, 1.0, 1.32)}  # s, and the volts within which it is asked


def truth(lab: Lab, volts: np.ndarray, width: float) -> np.ndarray:
    """Probability of each cell to switch at its volts, from P and from AP, (2, cells)."""
    board = lab.boxes["board"]
    device = lab.arrays["board"].device
    return np.stack(
        [
            device.switching_probability(volts, width, board.protection.temperature, 0.0, bool(state))
            for state in (0, 1)
        ]
    )


def true_law(lab: Lab, width: float, lowest: float, highest: float) -> SwitchingLaw:
    """The law between two voltages, up to where each cell's curve is highest."""
    cells = lab.arrays["board"].device.cells
    at = np.linspace(lowest, highest, 400)
    p = np.stack([truth(lab, np.full(cells, v), width) for v in at], axis=-1)
    rising = np.maximum.accumulate(logit(np.clip(p, 1e-9, 1 - 1e-9)), axis=2) + 1e-9 * np.arange(len(at))
    curves = [[np.interp(LOGITS, one, at) for one in state] for state in rising]
    volts = np.array(curves)
    return SwitchingLaw(LOGITS, volts, np.full(volts.shape, 1e-4), lowest, highest)


def true_thresholds(lab: Lab) -> np.ndarray:
    """Half-way between the two readings of each cell, (cells,)."""
    return np.mean(lab.arrays["board"].device.resistances(0.1, 300.0, 6e-9, 1e-6), axis=0)
