"""The start-up test: samples of every cell pass the health tests before the first bit is recorded."""

import logging

import numpy as np

from entropy.quality.health import START_UP_SAMPLES, HealthFlag

from .._errors import BenchError
from ..array import Array, Stop, blocks_of
from ..tuning import Cells
from ._health import START_UP_PULSES, START_UP_ROUNDS, RecordingHealth, tests_named

log = logging.getLogger(__name__)


def start_up_test(array: Array, cells: Cells, health: RecordingHealth, stop: Stop) -> None:
    """Test at least 1,024 samples of each cell and of the stream (SP 800-90B section 4.3); they are not recorded.

    Cells that fail, or yield too few samples, are quarantined in `cells` and masked in the array, and another
    round follows; mode, thresholds, trims and mask are those of the recording, the output is on. Raises BenchError
    where no cell passes, or where the stream of those that pass fails.
    """
    flags = HealthFlag(0)
    for round_number in range(1, START_UP_ROUNDS + 1):
        blocks = list(blocks_of(array, START_UP_PULSES, stop))
        found, flags = health.test_start_up(blocks)
        few = cells.used & (health.cells.samples < START_UP_SAMPLES)
        for cell, why in found.items():
            cells.reason[cell] = why
        if round_number == START_UP_ROUNDS and few.any():
            cells.reason[few & cells.used] = "its resets fail too often for the start-up test"
            found |= dict.fromkeys(np.flatnonzero(few).tolist(), "")
            few[:] = False
        if found:
            if not cells.used.any():
                raise BenchError(
                    "no cell passes the start-up health test: the array is dead, or yields less min-entropy than "
                    f"the {health.cutoffs.min_entropy:g} bits per bit that are claimed for it; check pulse voltage "
                    "and contacts, or claim less"
                )
            log.warning("the start-up test leaves out %d cells", len(found))
            array.set_mask(cells.used)
        if not (found or flags or few.any()):
            return
    if flags:
        raise BenchError(
            f"the stream of bits fails the start-up health test ({tests_named(flags)}): neighbouring cells or pulses "
            "depend on each other, or the cells yield less min-entropy than is claimed; check what may disturb the "
            "array, or claim less"
        )
