"""The cells one by one: every cell by two counting estimators, a sample of them by all ten."""

from dataclasses import dataclass

import numpy as np

from entropy.arguments import Count, takes

from ..estimators import LEAST_BITS, MinEntropy, min_entropy
from ..estimators._counting import markov_of_counts, most_common_of_counts
from ..sp800_22 import Battery, judge, run_tests
from ..statistics import CellStatistics, cell_statistics
from ._ideal import ideal_estimates
from ._subject import StoreSubject

SAMPLE = 16  # cells whose bits stand one cell after the other
_COUNTED_BITS = 1 << 28  # that every cell's counts are taken from


@dataclass(frozen=True, eq=False)
class CellAssessment:
    """What was found cell by cell.

    `statistics`: counts of every cell; `most_common_value`, `markov`: those two estimators of every cell, float64,
    (cells,), NaN where a cell gave no bits; `sample`: the cells of the sequence that stands cell by cell, `series` its
    bits, uint8, and `lengths` how many each gave; `by_cell`, `sp800_22`: estimators and tests of that sequence;
    `single`: all ten of each cell of the sample, None where a cell gave fewer bits than they need, and `single_ideal`
    the lowest for as many software bits.
    """

    statistics: CellStatistics
    most_common_value: np.ndarray
    markov: np.ndarray
    sample: np.ndarray
    series: np.ndarray
    lengths: np.ndarray
    by_cell: MinEntropy
    sp800_22: Battery
    single: tuple[MinEntropy, ...] | None
    single_ideal: tuple[float, ...]


@takes(bits=Count(1))
def estimate_by_cell(subject: StoreSubject, statistics: CellStatistics, bits: int) -> MinEntropy:
    """Estimate by `bits` bits that stand cell by cell; raises NotEnoughBits where there are too few."""
    _, series = _by_cell(subject, statistics, bits)
    return min_entropy(np.concatenate(series) if series else np.empty(0, np.uint8))


def assess_cells(subject: StoreSubject, bits: int, ideal: int) -> CellAssessment:
    """Assess the cells of a store, by `bits` bits cell by cell, beside `ideal` software sequences.

    Raises NotEnoughBits where there are too few.
    """
    block = max(1.0, subject.bits / max(1, sum(map(len, subject.rows))))
    statistics = cell_statistics(
        subject.store, subject.buffers, max_blocks=max(1, int(_COUNTED_BITS / block))
    )
    pairs = statistics.cell_pairs
    sample, series = _by_cell(subject, statistics, bits)
    together = np.concatenate(series) if series else np.empty(0, np.uint8)
    by_cell = min_entropy(together)
    shortest = min(map(len, series))
    enough = shortest >= LEAST_BITS
    return CellAssessment(
        statistics=statistics,
        most_common_value=most_common_of_counts(statistics.ones, statistics.counts),
        markov=markov_of_counts(statistics.ones, statistics.counts, pairs),
        sample=sample,
        series=together,
        lengths=np.array(list(map(len, series))),
        by_cell=by_cell,
        sp800_22=judge([run_tests(together)], len(together)),
        single=tuple(min_entropy(each) for each in series) if enough else None,
        single_ideal=ideal_estimates(shortest, ideal) if enough else (),
    )


def _by_cell(
    subject: StoreSubject, statistics: CellStatistics, bits: int
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Choose cells evenly, at least `SAMPLE`, and give the outcomes of each in order of time."""
    given = np.flatnonzero(statistics.counts)
    attempts = max(1, subject.bits // max(1, len(given)))
    wanted = min(len(given), max(SAMPLE, -(-bits // attempts)))
    chosen = given[np.unique(np.linspace(0, len(given) - 1, wanted).round().astype(int))]
    parts: list[list[np.ndarray]] = [[] for _ in chosen]
    for outcomes, usable in subject.outcomes(-(-bits // len(chosen))):
        columns = np.ascontiguousarray(outcomes[:, chosen].T)
        kept = None if usable is None else np.ascontiguousarray(usable[:, chosen].T).view(bool)
        for number, part in enumerate(parts):
            part.append(columns[number] if kept is None else columns[number][kept[number]])
    each = -(-bits // len(chosen))
    return chosen, [np.concatenate(part)[:each] for part in parts]
