"""What perfect bits look like to the estimators: the fewer, the more room the bounds leave for chance."""

import numpy as np

from entropy.arguments import Count, takes

from ..estimators import min_entropy


@takes(count=Count(1), sequences=Count())
def ideal_estimates(count: int, sequences: int) -> tuple[float, ...]:
    """Give the lowest of the ten estimates for `count` bits of a software generator, once for each of its seeds.

    The generator is Philox with the seeds 0, 1 …, so that the same call gives the same numbers.
    """
    found = []
    for seed in range(sequences):
        generator = np.random.Generator(np.random.Philox(seed))
        packed = generator.integers(0, 256, (count + 7) // 8, dtype=np.uint8)
        found.append(min_entropy(np.unpackbits(packed, count=count)).assessed)
    return tuple(found)
