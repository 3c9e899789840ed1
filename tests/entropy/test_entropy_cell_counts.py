"""Counting cells in packed bits, against plain sums."""

import numpy as np
import pytest

from entropy.quality.cell_counts import count_cells, count_pairs


@pytest.mark.parametrize(("cells", "pulses"), [(128, 700), (15, 40), (100, 1), (1, 9), (65, 600)])
@pytest.mark.parametrize("masked", [False, True])
def test_counts_are_those_of_a_plain_sum(cells: int, pulses: int, masked: bool):
    rng = np.random.default_rng(cells)
    valid = rng.random((pulses, cells)) < (0.8 if masked else 2.0)
    bits = (rng.random((pulses, cells)) < rng.random(cells)) & valid
    packed, mask = np.packbits(bits), np.packbits(valid) if masked else None
    counts, pairs = (each(packed, mask, cells, pulses) for each in (count_cells, count_pairs))
    both = valid[1:] & valid[:-1]
    np.testing.assert_array_equal(counts.ones, bits.sum(0))
    np.testing.assert_array_equal(counts.usable, valid.sum(0))
    np.testing.assert_array_equal(pairs.pairs, both.sum(0))
    np.testing.assert_array_equal(pairs.first, (bits[:-1] & both).sum(0))
    np.testing.assert_array_equal(pairs.second, (bits[1:] & both).sum(0))
    np.testing.assert_array_equal(pairs.both, (bits[1:] & bits[:-1]).sum(0))
