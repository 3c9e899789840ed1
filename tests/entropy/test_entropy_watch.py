"""Watching bits: nothing is found in ideal ones, and what is built into others is found at its size."""

import numpy as np
import pytest

from entropy.quality.watch import Estimate, Watch, WatchReport, proportion

CELLS, COLUMNS, PULSES, LOOKS = 256, 16, 1024, 4


def watched(outcomes: list[np.ndarray], valid: list[np.ndarray] | None = None) -> WatchReport:
    cells = outcomes[0].shape[1]
    watch = Watch(cells, COLUMNS)
    masks = valid or [np.ones_like(each) for each in outcomes]
    ones = sum((each * mask).sum(0) for each, mask in zip(outcomes, masks, strict=True))
    samples = sum(mask.sum(0) for mask in masks)
    with np.errstate(invalid="ignore"):
        p1 = ones / samples
    for each, mask in zip(outcomes, masks, strict=True):
        packed = None if valid is None else np.packbits(mask)
        watch.look(np.packbits(each), packed, each.size, p1)
    return watch.report(ones, samples)


def fair(random: np.random.Generator, p1: np.ndarray | float = 0.5, cells: int = CELLS) -> np.ndarray:
    return (random.random((PULSES, cells)) < p1).astype(np.uint8)


def near(estimate: Estimate, expected: float) -> bool:
    """Within 5.3 standard deviations: false alarm 1e-7."""
    sigma = (estimate.high - estimate.low) / 2 / 1.959964
    return abs(estimate.value - expected) < 5.3 * sigma


@pytest.mark.parametrize("masked", [False, True])
def test_biased_cells_that_know_nothing_of_each_other_do_not_correlate(masked: bool):
    random = np.random.default_rng(1)
    p1 = random.uniform(0.3, 0.7, CELLS)
    outcomes = [fair(random, p1) for _ in range(LOOKS)]
    valid = [fair(random, 0.97) for _ in range(LOOKS)] if masked else None
    if valid is not None:
        for mask in valid:
            mask[:, 5] = 0  # left out throughout
    report = watched(outcomes, valid)
    assert all(near(each, 0) for each in (*report.in_time, *report.along, report.rows_apart, report.common))
    assert report.pair is not None
    assert report.pair.cells[0] < report.pair.cells[1]
    assert abs(report.pair.correlation.value) < 6.5 / np.sqrt(
        report.pair.correlation.samples
    )  # of 2,016 pairs
    pairs = report.in_time[2].samples
    assert (
        pairs == LOOKS * (PULSES - 3) * CELLS if valid is None else sum((m[3:] & m[:-3]).sum() for m in valid)
    )


def test_correlation_in_time_is_found_at_its_lag():
    random = np.random.default_rng(2)
    outcomes = [fair(random) for _ in range(LOOKS)]
    for each in outcomes:
        repeats = random.random(each.shape) < 0.1
        for t in range(7, PULSES):
            each[t] = np.where(repeats[t], each[t - 7], each[t])
    report = watched(outcomes)
    assert report.in_time_largest is not None
    assert report.in_time_largest.lag == 7
    assert report.in_time_largest.correlation.excludes_zero
    assert near(report.in_time[6], 0.1)
    assert near(report.in_time[5], 0)
    assert all(near(each, 0) for each in (*report.along, report.common))


def test_neighbours_that_correlate_are_found():
    random = np.random.default_rng(3)
    outcomes = [fair(random) for _ in range(LOOKS)]
    for each in outcomes:
        for row in range(1, CELLS // COLUMNS):
            begin, end = row * COLUMNS, (row + 1) * COLUMNS
            repeats = random.random((PULSES, COLUMNS)) < 0.05
            each[:, begin:end] = np.where(repeats, each[:, begin - COLUMNS : begin], each[:, begin:end])
    report = watched(outcomes)
    rows = CELLS // COLUMNS
    assert near(report.rows_apart, 0.05 * (rows - 1) / rows)  # the first row of a pulse has none above it
    assert report.along_largest is not None
    assert report.along_largest.lag == COLUMNS
    assert all(near(each, 0) for each in report.in_time)


def test_what_all_cells_have_in_common_is_found_where_no_pair_shows_it():
    random = np.random.default_rng(4)
    outcomes = [fair(random, 0.5 + 0.02 * random.standard_normal((PULSES, 1))) for _ in range(LOOKS)]
    report = watched(outcomes)
    assert report.common.excludes_zero
    assert report.common.value == pytest.approx(
        4 * 0.02**2, rel=0.2
    )  # 64 pulses' worth of scatter is 0.03 of it
    assert not any(np.abs(each.value) > 0.02 for each in report.along)


def test_two_cells_that_copy_each_other_are_named():
    random = np.random.default_rng(5)
    outcomes = [fair(random, cells=48) for _ in range(LOOKS)]
    for each in outcomes:
        each[:, 31] = np.where(random.random(PULSES) < 0.3, each[:, 4], each[:, 31])
    report = watched(outcomes)
    assert report.pair is not None
    assert report.pair.cells == (4, 31)
    assert report.pair.correlation.low < 0.3 < report.pair.correlation.high
    assert report.pairs_looked_at == 48 * 47 // 2


def test_intervals_hold_as_often_as_they_say():
    """The largest of 64 lags excludes 0 in 5 % of ideal recordings: more than 21 of 100 do so once in 1e8."""
    random = np.random.default_rng(6)
    wrong = 0
    for _ in range(100):
        report = watched([(random.random((128, 64)) < 0.5).astype(np.uint8)])
        assert report.in_time_largest is not None
        wrong += report.in_time_largest.correlation.excludes_zero
    assert wrong <= 21


def test_fractions_have_wilson_intervals():
    found = proportion(8, 20)
    assert (found.low, found.high) == (pytest.approx(0.2188, abs=1e-4), pytest.approx(0.6134, abs=1e-4))
    assert np.isnan(proportion(0, 0).value)


def test_it_keeps_to_its_share_of_the_time():
    watch = Watch(64, 8, share=0.5)
    assert watch.due()
    watch.seconds = 100.0
    assert not watch.due()
