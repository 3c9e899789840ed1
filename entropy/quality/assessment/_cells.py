"""The cells one by one: every cell by two counting estimators, a sample of them by all ten."""

import math
from dataclasses import dataclass

import numpy as np

from entropy.arguments import Count, takes

from ..estimators import LEAST_BITS, MinEntropy, min_entropy
from ..sp800_22 import Battery, judge, run_tests
from ..statistics import CellStatistics, PairSums, cell_statistics
from ._ideal import ideal_estimates
from ._subject import StoreSubject

SAMPLE = 16  # cells whose bits stand one cell after the other
_COUNTED_BITS = 1 << 28  # that every cell's counts are taken from
_Z = 2.5758293035489008
_LENGTH = 128


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
        most_common_value=_most_common_value(statistics.ones, statistics.counts),
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


def _most_common_value(ones: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Apply section 6.3.1 to every cell."""
    with np.errstate(invalid="ignore", divide="ignore"):
        p = np.maximum(ones, counts - ones) / counts
        bound = np.minimum(1.0, p + _Z * np.sqrt(p * (1 - p) / (counts - 1)))
        return np.where(counts > 1, -np.log2(bound) + 0.0, np.nan)


def markov_of_counts(ones: np.ndarray, counts: np.ndarray, pairs: PairSums) -> np.ndarray:
    """Apply section 6.3.3, the likeliest sequence of 128 bits of a chain of two states, to every cell; float64."""
    n, x, y, xy = (
        np.asarray(part, np.float64) for part in (pairs.pairs, pairs.first, pairs.second, pairs.both)
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        share = ones / counts
        first = np.log2([1 - share, share])
        change = np.nan_to_num([(y - xy) / (n - x), (x - xy) / x])
        seen = np.array([n - x, x]) > 0
        stay = np.log2(np.where(seen, 1 - change, 0.0))
        change = np.log2(change)
        half = _LENGTH // 2
        paths = [first[v] + (_LENGTH - 1) * stay[v] for v in (0, 1)]
        paths += [first[v] + half * change[v] + (half - 1) * change[1 - v] for v in (0, 1)]
        paths += [first[v] + change[v] + (_LENGTH - 2) * stay[1 - v] for v in (0, 1)]
        found = np.minimum(1.0, -np.fmax.reduce(paths) / _LENGTH) + 0.0
    return np.where(n > 0, found, math.nan)
