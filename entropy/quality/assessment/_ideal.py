"""What perfect bits look like to the estimators: the fewer, the more room the bounds leave for chance."""

import numpy as np

from entropy.arguments import Count, takes

from ..estimators import min_entropy

# Of the million bits that the standard asks for, the seeds 0, 1 …: each takes the estimators a second.
_KNOWN_COUNT = 1_000_000
_KNOWN = (0.8220291232874944, 0.8653611531576691, 0.8255515066693241, 0.8476522470722966)


@takes(count=Count(1), sequences=Count())
def ideal_estimates(count: int, sequences: int) -> tuple[float, ...]:
    """Give the lowest of the ten estimates for `count` bits of a software generator, once for each of its seeds.

    The generator is Philox with the seeds 0, 1 …, so that the same call gives the same numbers.
    """
    known = _KNOWN[:sequences] if count == _KNOWN_COUNT else ()
    return *known, *(_estimate(count, seed) for seed in range(len(known), sequences))


def _estimate(count: int, seed: int) -> float:
    generator = np.random.Generator(np.random.Philox(seed))
    packed = generator.integers(0, 256, (count + 7) // 8, dtype=np.uint8)
    return min_entropy(np.unpackbits(packed, count=count)).assessed
