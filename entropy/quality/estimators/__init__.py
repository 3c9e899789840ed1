"""The ten min-entropy estimators of NIST SP 800-90B (2018), section 6.3, for bits that may depend on each other."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields

import numpy as np

from entropy._errors import NotEnoughBits

from ._counting import collision, compression, markov, most_common_value
from ._predictors import lag, lz78y, multi_mcw, multi_mmc
from ._tuples import longest_repeat, tuples

__all__ = ["ESTIMATORS", "LEAST_BITS", "MinEntropy", "checked_bits", "longest_repeat", "min_entropy"]

LEAST_BITS = 6_012  # the compression estimate learns from 1,000 blocks of six bits and needs two more
_THREADS = 2


@dataclass(frozen=True)
class MinEntropy:
    """Min-entropy of a bit as each estimator sees it, from 0 to 1; 1 where one cannot say anything."""

    most_common_value: float
    collision: float
    markov: float
    compression: float
    t_tuple: float
    lrs: float
    multi_mcw: float
    lag: float
    multi_mmc: float
    lz78y: float

    @property
    def assessed(self) -> float:
        """The lowest of the ten, which is what the standard takes (3.1.3)."""
        return min(asdict(self).values())

    @property
    def lowest(self) -> str:
        """The name of the estimator that gave the lowest."""
        return min(asdict(self), key=asdict(self).__getitem__)

    def as_dict(self) -> dict[str, float]:
        """Give the ten by name, and the lowest as `min`."""
        return {**asdict(self), "min": self.assessed}


ESTIMATORS = tuple(field.name for field in fields(MinEntropy))


def checked_bits(bits: np.ndarray) -> np.ndarray:
    """Give bits as contiguous uint8; raises ValueError unless they are a vector of 0 and 1."""
    if bits.ndim != 1 or bits.dtype not in (np.uint8, np.bool_) or (bits.size and bits.max() > 1):
        raise ValueError("bits are a vector of uint8, 0 or 1 each (numpy.unpackbits gives that)")
    return np.ascontiguousarray(bits, np.uint8)


def min_entropy(bits: np.ndarray) -> MinEntropy:
    """Estimate the min-entropy of a bit by all ten estimators, as NIST's own program does on bit strings.

    `bits`: uint8, 0 or 1, shape (n,), the standard wants n = 1,000,000 or more; its sequence is what is judged.
    Raises NotEnoughBits below `LEAST_BITS`, ValueError where they are no bits.
    """
    bits = checked_bits(bits)
    if len(bits) < LEAST_BITS:
        raise NotEnoughBits(LEAST_BITS, len(bits), "there: the estimators cannot say anything about so few")
    # the kernels let go of the interpreter; the longest first
    with ThreadPoolExecutor(_THREADS) as threads:
        two = threads.submit(tuples, bits)
        one = {name: threads.submit(estimator, bits) for name, estimator in _SINGLE.items()}
        t_tuple, lrs = two.result()
        return MinEntropy(t_tuple=t_tuple, lrs=lrs, **{name: found.result() for name, found in one.items()})


_SINGLE: Mapping[str, Callable[[np.ndarray], float]] = {
    "multi_mmc": multi_mmc,
    "lz78y": lz78y,
    "lag": lag,
    "multi_mcw": multi_mcw,
    "compression": compression,
    "markov": markov,
    "collision": collision,
    "most_common_value": most_common_value,
}
