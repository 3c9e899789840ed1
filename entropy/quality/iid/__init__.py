"""Whether bits may be taken as independent and identically distributed: NIST SP 800-90B (2018), section 5."""

from ._chi_square import ChiSquare, RepeatTest, goodness_of_fit, independence, longest_repeat_test
from ._permutations import PERMUTATIONS, STATISTICS, PermutationTests, permutation_tests

__all__ = [
    "PERMUTATIONS",
    "STATISTICS",
    "ChiSquare",
    "PermutationTests",
    "RepeatTest",
    "goodness_of_fit",
    "independence",
    "longest_repeat_test",
    "permutation_tests",
]
