"""Statistics of raw bits against plain numpy over every position."""

import math

import numpy as np
import pytest

from entropy import StoreError, cell_statistics
from entropy.quality.statistics import PairSums, wilson_interval


def expected(blocks, masks, count):
    """(ones, counts, lag-1) of each cell, by lists."""
    ones, counts, lag1 = [], [], []
    for cell in range(count):
        x, y, seen = [], [], []
        for block, mask in zip(blocks, masks, strict=True):
            outcome, usable = block.reshape(-1, count)[:, cell], mask.reshape(-1, count)[:, cell].astype(bool)
            seen += list(outcome[usable])
            both = usable[1:] & usable[:-1]
            x += list(outcome[:-1][both])
            y += list(outcome[1:][both])
        ones.append(sum(int(bit) for bit in seen))
        counts.append(len(seen))
        lag1.append(np.corrcoef(x, y)[0, 1])
    return np.array(ones), np.array(counts), np.array(lag1)


@pytest.mark.parametrize("loss", [0.0, 0.1])
def test_every_cell_and_the_stream_are_counted_exactly(store, made, loss):
    rng = np.random.default_rng(3)
    count = 20
    blocks = [rng.integers(0, 2, pulses * count, dtype=np.uint8) for pulses in (300, 509, 13)]
    masks = [(rng.random(len(block)) >= loss).astype(np.uint8) for block in blocks]
    with made.recording(store, cells=count) as record:
        for block, mask in zip(blocks, masks, strict=True):
            made.append(record, block, usable=mask if loss else None)
    found = cell_statistics(store)
    ones, counts, lag1 = expected(blocks, masks, count)
    np.testing.assert_array_equal(found.ones, ones)
    np.testing.assert_array_equal(found.counts, counts)
    np.testing.assert_allclose(found.lag1, lag1, atol=1e-12)
    np.testing.assert_allclose(found.p1, ones / counts)
    streams = [block[mask.astype(bool)] for block, mask in zip(blocks, masks, strict=True)]
    before = np.concatenate([stream[:-1] for stream in streams])
    after = np.concatenate([stream[1:] for stream in streams])
    assert found.stream_lag1 == pytest.approx(np.corrcoef(before, after)[0, 1], abs=1e-12)
    assert found.bits == sum(map(len, streams))
    assert found.ones_fraction == pytest.approx(sum(map(np.sum, streams)) / found.bits)


def test_part_of_the_blocks_is_spread_over_all(store, made):
    with made.recording(store) as record:
        for block in range(10):
            made.append(record, np.full(made.count, block >= 5, np.uint8))
    found = cell_statistics(store, [store.buffers()[0].uuid], max_blocks=4)
    assert found.blocks == 4
    assert found.ones_fraction == 0.5


@pytest.mark.parametrize(
    ("rise", "fall", "bits"),
    [
        (0.5, 0.5, 1.0),
        (0.6, 0.6, -np.log2(0.6)),
        (0.3, 0.7, -np.log2(0.7)),
        (0.47, 0.47, -np.log2(0.53)),
        (0.9, 0.9, -np.log2(0.9)),
    ],
)
def test_min_entropy_is_that_of_the_chain(rise, fall, bits):
    """Exact counts of a chain with these probabilities: the likeliest step decides, or the likeliest to and fro."""
    zeros, ones = fall / (rise + fall) * 1e9, rise / (rise + fall) * 1e9
    sums = PairSums(
        *(
            np.int64(round(x))
            for x in (zeros + ones, ones, zeros * rise + ones * (1 - fall), ones * (1 - fall))
        )
    )
    assert float(sums.min_entropy) == pytest.approx(bits, abs=1e-6)


def test_a_source_that_never_changes_has_no_entropy():
    for ones in (0, 1000):
        stuck = PairSums(np.int64(1000), np.int64(ones), np.int64(ones), np.int64(ones))
        assert float(stuck.min_entropy) == 0
    assert np.isnan(float(PairSums(*(np.int64(0),) * 4).min_entropy))


def test_nothing_and_different_arrays_are_refused(store, made):
    with pytest.raises(StoreError, match="no blocks"):
        cell_statistics(store)
    made.fill(store, [4])
    with made.recording(store, cells=7) as record:
        made.append(record, np.zeros(14, np.uint8))
    with pytest.raises(StoreError, match="other cells"):
        cell_statistics(store)


def test_wilson_interval_against_its_definition() -> None:
    ones, count, z = 417, 1000, 1.959963984540054
    for bound in wilson_interval(ones, count):
        # Each bound is a proportion at which the observed one lies exactly z standard errors away.
        assert abs(ones / count - bound) == pytest.approx(
            z * math.sqrt(bound * (1 - bound) / count), rel=1e-9
        )


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson_interval(0, 0) == (0.0, 1.0)
