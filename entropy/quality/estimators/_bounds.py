"""What the estimators of SP 800-90B share: the upper bound of a probability, and min-entropy."""

import math

Z_99 = 2.5758293035489008  # of the 99 % interval


def bounded(p: float, count: int) -> float:
    """Give the upper end of the 99 % interval of a probability that was seen in `count` trials."""
    return min(1.0, p + Z_99 * math.sqrt(p * (1 - p) / (count - 1)))


def min_entropy(p: float) -> float:
    """Turn the probability of the likeliest value into bits."""
    return max(-math.log2(p), 0.0) + 0.0
