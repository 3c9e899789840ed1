"""All tests on one sequence, and the two criteria over many sequences (SP 800-22, 4.2)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincc
from scipy.stats import binom

from entropy.arguments import Count, takes

from ._algebra import linear_complexity, rank, spectral
from ._counts import block_frequency, frequency, longest_run, runs
from ._patterns import approximate_entropy, serial, universal
from ._sequence import PValues, TooShort
from ._templates import non_overlapping_template, overlapping_template
from ._walk import cumulative_sums, random_excursions, random_excursions_variant

TESTS: Mapping[str, Callable[[np.ndarray], PValues]] = {
    test.__name__: test
    for test in (
        frequency, block_frequency, runs, longest_run, rank, spectral, non_overlapping_template,
        overlapping_template, universal, linear_complexity, serial, approximate_entropy, cumulative_sums,
        random_excursions, random_excursions_variant,
    )
}  # fmt: skip

ALPHA = 0.01  # a p-value below it fails
SEQUENCES_FOR_UNIFORMITY = 55  # fewer p-values say nothing about uniformity (4.2.2)
_UNIFORM = 1e-4  # the least p-value of uniformity
_BINS = 10
_FAMILY = 1e-3  # how often ideal bits are called bad


@dataclass(frozen=True)
class SequenceResult:
    """The p-values of one sequence by name, and why tests were not run."""

    p_values: PValues
    skipped: Mapping[str, str]


@dataclass(frozen=True, eq=False)
class Criterion:
    """What the p-values of one test say together.

    `p_values`: float64, one a sequence; `passed`: how many are at least `ALPHA`; `least`: the least proportion of
    them that the standard accepts; `uniformity`: p-value of χ² over ten bins, None for fewer than 55 sequences;
    `chance`: bound on how likely ideal bits do as badly in number of failures, smallest p-value or uniformity.
    """

    test: str
    name: str
    p_values: np.ndarray
    passed: int
    least: float
    uniformity: float | None
    chance: float

    @property
    def proportion(self) -> float:
        """The proportion of sequences that passed."""
        return self.passed / len(self.p_values)

    @property
    def proportion_ok(self) -> bool:
        """Whether the standard accepts that proportion (4.2.1)."""
        return self.proportion >= self.least

    @property
    def uniform_ok(self) -> bool | None:
        """Whether the standard takes the p-values for uniform (4.2.2); None where they are too few to say."""
        return None if self.uniformity is None else self.uniformity >= _UNIFORM


@dataclass(frozen=True)
class Battery:
    """The two criteria of every test over `sequences` sequences of `bits` bits each, and why tests were not run."""

    sequences: int
    bits: int
    criteria: tuple[Criterion, ...]
    skipped: Mapping[str, str]

    @property
    def failed(self) -> tuple[str, ...]:
        """Names of the p-values that miss one of the standard's criteria; a few of so many do so by chance."""
        return tuple(c.name for c in self.criteria if not c.proportion_ok or c.uniform_ok is False)

    @property
    def chance(self) -> float:
        """Bound on the probability that any test of ideal bits is as bad as the worst one here (Bonferroni)."""
        return min(1.0, len(self.criteria) * min((c.chance for c in self.criteria), default=1.0))

    @property
    def ok(self) -> bool:
        """Whether all tests together are what ideal bits give; those miss it one time in a thousand."""
        return self.chance >= _FAMILY


def run_tests(bits: np.ndarray) -> SequenceResult:
    """Run all tests on one sequence; those that it is too short for are left out and named."""
    found: PValues = {}
    skipped = {}
    for name, test in TESTS.items():
        try:
            found |= test(bits)
        except TooShort as error:
            skipped[name] = str(error)
    return SequenceResult(found, skipped)


def uniformity(p_values: np.ndarray) -> float:
    """Test p-values for uniformity: χ² over ten equal bins (4.2.2)."""
    seen = np.bincount(np.minimum((p_values * _BINS).astype(int), _BINS - 1), minlength=_BINS)
    expected = len(p_values) / _BINS
    return float(gammaincc((_BINS - 1) / 2, ((seen - expected) ** 2 / expected).sum() / 2))


@takes(bits=Count())
def judge(results: Sequence[SequenceResult], bits: int) -> Battery:
    """Put the p-values of sequences of `bits` bits each to the two criteria."""
    by_name: dict[str, list[float]] = {}
    skipped: dict[str, str] = {}
    for result in results:
        skipped |= result.skipped
        for name, value in result.p_values.items():
            by_name.setdefault(name, []).append(value)
    criteria = tuple(_criterion(name, np.array(values)) for name, values in by_name.items())
    ran = {criterion.test for criterion in criteria}
    return Battery(
        len(results), bits, criteria, {name: why for name, why in skipped.items() if name not in ran}
    )


def _criterion(name: str, values: np.ndarray) -> Criterion:
    count = len(values)
    passed = int(np.count_nonzero(values >= ALPHA))
    uniform = uniformity(values) if count >= SEQUENCES_FOR_UNIFORMITY else None
    # how odd the number of failures is, the smallest p-value, and their uniformity; the worst of them decides
    odds = [float(binom.sf(count - passed - 1, count, ALPHA)), min(1.0, count * _smallest(name, values))]
    odds += [] if uniform is None else [uniform]
    if count == 1:
        odds = odds[1:]
    return Criterion(
        test=max((test for test in TESTS if name.startswith(test)), key=len),
        name=name,
        p_values=values,
        passed=passed,
        least=1 - ALPHA - 3 * math.sqrt(ALPHA * (1 - ALPHA) / count),
        uniformity=uniform,
        chance=min(1.0, len(odds) * min(odds)),
    )


def _smallest(name: str, values: np.ndarray) -> float:
    """Give the smallest p-value; a 0 of the runs test means that it was not worth running, which the others show."""
    counted = values[values > 0] if name == runs.__name__ else values
    return float(counted.min(initial=1.0))
