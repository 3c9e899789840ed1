"""How often each cell was pulsed and switched, by the state that each pulse started from."""

from collections.abc import Iterable

import numpy as np

from entropy.quality.cell_counts import count_cells, count_pairs
from entropy.quality.statistics import PairSums

from ._block import Block


def count_switchings(blocks: Iterable[Block], cells: int, toggle: bool) -> tuple[np.ndarray, np.ndarray]:
    """Count each cell's usable pulses and its switchings, by the state it came from: P, AP; float64 (2, cells) each.

    With a reset every pulse that counts starts from P. The first pulse of a block is not counted where `toggle`.
    """
    n, k = np.zeros((2, cells)), np.zeros((2, cells))
    for block in blocks:
        if not toggle:
            counts = count_cells(block.bits, block.valid, cells, block.pulses)
            n[0] += counts.usable
            k[0] += counts.ones
            continue
        trials, hits = by_state(count_pairs(block.bits, block.valid, cells, block.pulses))
        n += trials
        k += hits
    return n, k


def by_state(sums: PairSums) -> tuple[np.ndarray, np.ndarray]:
    """Give the pulses of a toggle and their switchings by the state that they came from: P, AP; (2, cells) each."""
    return (
        np.stack([sums.pairs - sums.first, sums.first]),
        np.stack([sums.second - sums.both, sums.first - sums.both]),
    )
