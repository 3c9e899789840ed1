"""The fifteen tests of NIST SP 800-22 rev. 1a, and what many sequences say together.

Every test takes `bits`, uint8 of 0 and 1, shape (n,), and returns its p-values by name, uniform for ideal bits; where
a sequence is too short for it, it raises TooShort, saying what would do. Section numbers are the standard's.
"""

from ._algebra import COMPLEXITY_AS_PRINTED, linear_complexity, rank, spectral
from ._battery import (
    ALPHA,
    SEQUENCES_FOR_UNIFORMITY,
    TESTS,
    Battery,
    Criterion,
    SequenceResult,
    judge,
    run_tests,
    uniformity,
)
from ._counts import block_frequency, frequency, longest_run, runs
from ._patterns import approximate_entropy, serial, universal
from ._sequence import PValues, TooShort
from ._templates import OVERLAPPING_LIMIT, non_overlapping_template, overlapping_template
from ._walk import cumulative_sums, random_excursions, random_excursions_variant

__all__ = [
    "ALPHA",
    "COMPLEXITY_AS_PRINTED",
    "OVERLAPPING_LIMIT",
    "SEQUENCES_FOR_UNIFORMITY",
    "TESTS",
    "Battery",
    "Criterion",
    "PValues",
    "SequenceResult",
    "TooShort",
    "approximate_entropy",
    "block_frequency",
    "cumulative_sums",
    "frequency",
    "judge",
    "linear_complexity",
    "longest_run",
    "non_overlapping_template",
    "overlapping_template",
    "random_excursions",
    "random_excursions_variant",
    "rank",
    "run_tests",
    "runs",
    "serial",
    "spectral",
    "uniformity",
    "universal",
]
