"""What the demo measures of an array, from its raw bits."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from memtj.pages.assessment_words import word
from memtj.pages.demo_report import ArrayEvidence

if TYPE_CHECKING:
    from entropy import CellStatistics, Store


@dataclass(frozen=True)
class Measured:
    """What the raw bits of a store say: the summary's `numbers`, and what the report's figures are drawn from."""

    numbers: dict[str, Any]
    evidence: ArrayEvidence


def measure(store: "Store") -> Measured:
    """Measure all raw bits of a store."""
    from entropy.quality.statistics import cell_statistics, wilson_interval

    buffers = [buffer.uuid for buffer in store.buffers()]
    statistics = cell_statistics(store, buffers)
    ones, counted = int(statistics.ones.sum()), int(statistics.counts.sum())
    pairs = int(np.sum(statistics.cell_pairs.pairs))
    lag1 = _pooled_lag1(statistics)
    reach = 1.959964 / np.sqrt(max(pairs, 1))
    numbers = {
        "ones_fraction": ones / counted,
        "ones_fraction_interval": wilson_interval(ones, counted),
        "lag1": lag1,
        "lag1_interval": (lag1 - reach, lag1 + reach),
        "lag1_pairs": pairs,
        **_min_entropy(store, statistics),
    }
    blocks = np.concatenate([store.rows(buffer) for buffer in buffers])
    readings = np.concatenate([store.resistances(buffer) for buffer in buffers])
    return Measured(numbers, ArrayEvidence(statistics, blocks, readings))


def _pooled_lag1(statistics: "CellStatistics") -> float:
    """Return the mean of the cells' lag-1 correlations, weighted by their pairs: no cell's bias enters it."""
    pairs = np.asarray(statistics.cell_pairs.pairs, np.float64)
    known = np.isfinite(statistics.lag1) & (pairs > 0)
    return float(np.average(statistics.lag1[known], weights=pairs[known])) if known.any() else 0.0


def _min_entropy(store: "Store", statistics: "CellStatistics") -> dict[str, Any]:
    """Estimate the raw bits by the ten estimators, as recorded and cell by cell, and find a word for the lowest.

    `min_entropy_ideal` is the lowest of the ten for as many software bits: never 1, since the bounds allow for chance.
    """
    from entropy import NotEnoughBits
    from entropy.quality.assessment import STANDARD_BITS, StoreSubject, estimate_by_cell, ideal_estimates
    from entropy.quality.estimators import min_entropy

    subject = StoreSubject(store)
    bits = min(subject.bits, STANDARD_BITS)
    try:
        orders = {
            "as recorded": min_entropy(subject.read(0, bits)),
            "cell by cell": estimate_by_cell(subject, statistics, bits),
        }
    except NotEnoughBits:
        return {
            "min_entropy": 0.0,
            "min_entropy_ideal": 1.0,
            "min_entropy_by": "too few bits",
            "verdict": "useless",
        }
    order = min(orders, key=lambda name: orders[name].assessed)
    value, ideal = orders[order].assessed, min(ideal_estimates(bits, 2))
    by = f"{orders[order].lowest.replace('_', ' ')}, {order}, {bits:,} bits"
    return {
        "min_entropy": value,
        "min_entropy_ideal": ideal,
        "min_entropy_by": by,
        "verdict": word(value, ideal),
    }
