"""V(P) of every cell and direction, from few pulses: which pulses to give, and the law that they tell."""

from collections.abc import Callable
from typing import Protocol

import numpy as np
from scipy.special import logit

from ..array import SwitchingLaw
from ._voltage_curves import GRID, Counts, Curves, first_guess, improve

_SCAN_VOLTAGES, _SCAN_SHARE = 24, 0.06  # of the pulses
_ROUNDS, _EXTREME = 40, 6.5  # batches at places of their own for each cell; logits, at most
_SEARCH_VOLTAGES, _SEARCH_PULSES = 48, 16
_NONE, _NEARLY, _BEYOND = 1e-3, 3e-3, 1.12  # shares of all cells; volts, over those of the top
_BELOW, _ABOVE = 0.9, 1.05  # as cells differ by some per cent
_PRESENT = 1.3  # of what cells wander from round to round: as in the search of a tuning


class VoltagePulser(Protocol):
    """Gives write pulses of volts of their own to all cells, without resets."""

    cells: int

    def pulse(self, volts: np.ndarray, pulses: int) -> tuple[np.ndarray, np.ndarray]:
        """Give each cell `pulses` pulses, by its state of (2, cells) volts; trials and switchings, (2, cells) each."""
        ...

    def rest(self) -> None:
        """Be told, a few times a second, that curves are being computed between pulses."""
        ...


def find_voltages(pulser: VoltagePulser, least: float, most: float) -> tuple[float, float]:
    """Find between which volts to calibrate: from where hardly a cell switches to where the most of them do.

    Both directions get the same volts, which rise from `least`, and end well before `most` where precession takes the
    cells down again. Raises ValueError where they do not begin to switch on the way.
    """
    lowest = highest = None
    top = 0.0
    for volts in np.linspace(least, most, _SEARCH_VOLTAGES):
        n, k = pulser.pulse(np.full((2, pulser.cells), volts), _SEARCH_PULSES)
        share = float(k.sum() / max(n.sum(), 1))
        if share < _NONE and top < 0.5:
            lowest = volts
        if share > top + _NEARLY:
            highest = volts
            top = share
        if highest is not None and top > 0.5 and volts > _BEYOND * highest:
            break
    if lowest is None or highest is None or top < 0.5:
        raise ValueError(
            f"cells do not begin to switch between {least:g} and {most:g} V: choose another width, or look at the "
            "limits of the bench"
        )
    return max(least, _BELOW * float(lowest)), min(most, _ABOVE * float(highest))


def calibrate(
    pulser: VoltagePulser,
    lowest: float,
    highest: float,
    pulses: int,
    *,
    seed: int = 0,
    report: Callable[[int], None] = lambda given: None,
) -> SwitchingLaw:
    """Find V(P) of each cell, from P and from AP, with at most `pulses` pulses a cell of `lowest` to `highest` volts.

    A scan at voltages that are the same for all; then batches at probabilities from 0.001 to 0.998, spaced as sin², in
    an order of its own for each cell (so that drift does not look like a shape), at the voltages of the best curves so
    far. `report` is told the pulses given. Raises ValueError where cells do not begin to switch within the voltages,
    or there are fewer than 2,000 pulses.
    """
    if pulses < 2000:
        raise ValueError(f"{pulses} pulses a cell are too few to find a curve: allow 2,000 or more")
    cells, rng = pulser.cells, np.random.default_rng(seed)
    given = 0

    def counted(volts: np.ndarray, many: int) -> Counts:
        nonlocal given
        n, k = pulser.pulse(volts, many)
        given += many
        report(given)
        return Counts(volts[None], n[None], k[None])

    per_voltage = int(_SCAN_SHARE * pulses / _SCAN_VOLTAGES)
    scan = [
        counted(np.full((2, cells), v), per_voltage) for v in np.linspace(lowest, highest, _SCAN_VOLTAGES)
    ]
    curves, counts = first_guess(_joined(scan))
    curves = improve(curves, counts, 8, pulser.rest)
    levels = np.sin(np.pi * (np.arange(_ROUNDS) + 0.5) / (2 * _ROUNDS)) ** 2
    places = np.searchsorted(GRID, np.clip(logit(levels), -_EXTREME, _EXTREME))
    order = rng.permuted(np.tile(np.arange(_ROUNDS), (cells, 1)), axis=1)
    for turn in range(_ROUNDS):
        at = places[order[:, turn]][:, None, None]
        volts = np.take_along_axis(curves.volts(), np.broadcast_to(at, (cells, 2, 1)), 2)[..., 0].T
        counts = counts.and_(counted(np.clip(volts, lowest, highest), (pulses - given) // (_ROUNDS - turn)))
        if turn in (1, 3) or turn % 8 == 7:
            curves = improve(curves, counts, 4, pulser.rest)
    curves = improve(curves, counts, 20, pulser.rest)
    return _law(curves, lowest, highest, pulser.rest)


def _joined(rounds: list[Counts]) -> Counts:
    return Counts(*(np.concatenate([getattr(r, name) for r in rounds]) for name in ("volts", "n", "k")))


def _law(curves: Curves, lowest: float, highest: float, rest: Callable[[], None]) -> SwitchingLaw:
    """Give what is within the voltages; the drift of the present counts more than that from round to round."""
    volts, sigma = curves.volts(), curves.sigma(rest)
    sigma = np.sqrt(sigma**2 + (_PRESENT - 1) * curves.wander)
    kept = np.abs(GRID) <= _EXTREME + 0.5
    volts, sigma = (each[..., kept].swapaxes(0, 1) for each in (volts, sigma))
    return SwitchingLaw(GRID[kept], volts, sigma, lowest, highest)
