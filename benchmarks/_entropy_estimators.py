"""How many bits a second the estimators of SP 800-90B and the tests of SP 800-22 take, for benchmarks.entropy."""

import time
from collections.abc import Callable

import numpy as np

from benchmarks._entropy_rows import Row
from entropy.quality.assessment import health_of
from entropy.quality.estimators import min_entropy
from entropy.quality.estimators._counting import collision, compression, markov, most_common_value
from entropy.quality.estimators._predictors import lag, lz78y, multi_mcw, multi_mmc
from entropy.quality.estimators._tuples import tuples
from entropy.quality.iid._permutations import _Shuffler
from entropy.quality.sp800_22 import TESTS, run_tests

BITS = 1_000_000
_RUNS = 3
_WANTED = BITS / 2.0  # bit/s: a million bits take at most two seconds


def rows(bits: int = BITS) -> list[Row]:
    """Measure on seeded fair bits: all ten estimators together, each alone, SP 800-22 together and test by test."""
    packed = np.random.default_rng(0).integers(0, 256, (bits + 7) // 8, dtype=np.uint8)
    sequence = np.unpackbits(packed, count=bits)
    shuffler = _Shuffler(sequence, float(sequence.mean()), 0, 0)
    estimators: list[Callable[[np.ndarray], object]] = [
        most_common_value, collision, markov, compression, tuples, multi_mcw, lag, multi_mmc, lz78y,
    ]  # fmt: skip
    together = _rate(min_entropy, sequence)
    found = [
        Row("ten estimators, SP 800-90B", together, "a million bits in 2 s", together / _WANTED),
        Row("SP 800-22, all tests", _rate(run_tests, sequence)),
        Row("health tests of a finished sequence", _rate(lambda each: health_of(each, 0.9), sequence)),
        Row("IID permutation, compression left out", _rate(lambda _: shuffler.next(False), sequence)),
    ]
    found += [Row(f"estimator {each.__name__}", _rate(each, sequence)) for each in estimators]
    found += [Row(f"SP 800-22 {name}", _rate(test, sequence)) for name, test in TESTS.items()]
    return found


def _rate(function: Callable[[np.ndarray], object], bits: np.ndarray) -> float:
    function(bits)  # compiles, or loads what was compiled
    best = float("inf")
    for _ in range(_RUNS):
        start = time.perf_counter()
        function(bits)
        best = min(best, time.perf_counter() - start)
    return len(bits) / best
