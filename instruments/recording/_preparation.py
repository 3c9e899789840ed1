"""What comes before the first bit of a recording: its cells are measured, trimmed and tested."""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from entropy.quality.health import Cutoffs

from .._errors import BenchError
from ..array import Array, Stop
from ..tuning import (
    Cells,
    Tuning,
    apply_tuning,
    fraction_at_neither_state,
    measure_probability,
    measure_states,
    tune,
)
from ._health import RecordingHealth
from ._settings import Settings
from ._start_up import start_up_test

log = logging.getLogger(__name__)

# What is claimed of a raw bit where nothing else is: a trimmed cell is used when its P is within this of the target; an
# untrimmed one is used as it is, and only what hardly switches fails.
_OFF_TARGET, _CLAIM_UNTRIMMED = 0.1, 0.1
_CALIBRATED = 0.03  # of the probability, to which the start-up tunes where no tuning is given
_MOST_ELSEWHERE = 0.05  # of the cells that read neither of their resistances: more is no noise of the reading


@dataclass(frozen=True, eq=False)
class Prepared:
    """An array whose output is on and whose cells are measured, trimmed and tested; a recording may begin.

    `used_at_start`: bool, (cells,); cells that fail later are noted in `cells` and `health`.
    """

    array: Array
    cells: Cells
    health: RecordingHealth
    used_at_start: np.ndarray
    simulated: bool


def prepare(
    array: Array, settings: Settings, known: Cells | None, stop: Stop, at: Callable[[str], None]
) -> Prepared:
    """Measure, trim and test the cells of an array whose output is on; raises Stopped where the user stops it.

    `known`: what `rehearse` gave; `at` is told each stage.
    """
    at("thresholds")
    cells = known
    if cells is None:
        cells = measure_states(array, stop)
        cells.refuse_if_none()
        cells.apply_to(array)
    at("trims")
    if settings.tuning is not None:
        refuse_changed_cells(array, cells, "they were tuned")
    elif settings.calibrate:
        tune(array, cells, stop, target=0.5, tolerance=_CALIBRATED, accept=_OFF_TARGET)
        cells.refuse_if_none()
        cells.apply_to(array)
    measure_probability(array, cells, stop)
    at("start-up test")
    columns = array.shape[1]
    health = RecordingHealth(
        Cutoffs.from_claim(settings.min_entropy, settings.false_alarm),
        cells.used,
        columns,
        most_failing_cells=settings.most_failing_cells,
        most_failing_blocks=settings.most_failing_blocks,
    )
    start_up_test(array, cells, health, stop)
    for row, column, reason in cells.quarantined(columns)[:20]:
        log.warning("cell %d, %d is left out: %s", row, column, reason)
    return Prepared(array, cells, health, cells.used.copy(), array.simulated)


def rehearse(array: Array, tuning: Tuning | None) -> Cells | None:
    """Set what a tuning knows, with the output off; what bench or array refuse is refused here."""
    array.set_mask(True)
    if tuning is None:
        return None
    cells = apply_tuning(array, tuning)
    cells.refuse_if_none()
    cells.apply_to(array)
    return cells


def least_claim(tuning: Tuning | None, calibrate: bool) -> float:
    """Say what every cell that is used must be worth: bits of min-entropy per bit."""
    if tuning is None and not calibrate:
        return _CLAIM_UNTRIMMED
    target = 0.5 if tuning is None else tuning.conditions.target
    likeliest = min(max(target, 1 - target) + _OFF_TARGET, 0.99)
    return round(-0.95 * math.log2(likeliest), 2)


def refuse_changed_cells(array: Array, cells: Cells, since: str) -> None:
    """Read every cell once: raises BenchError where what was known of them does not hold any more."""
    fraction = fraction_at_neither_state(cells, array.resistances())
    if fraction > _MOST_ELSEWHERE:
        raise BenchError(
            f"since {since}, {fraction:.1%} of the cells of the {array.name!r} read neither of their two "
            "resistances any more: check the contacts, and start again with a new tuning, or without one"
        )
