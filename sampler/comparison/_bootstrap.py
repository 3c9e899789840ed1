"""Bootstrap over pictures, and the keys that make it repeat."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from entropy.quality.statistics import wilson_interval
from sampler.comparison._json import JsonRecord

LEVEL = 0.95


@dataclass(frozen=True)
class Interval(JsonRecord):
    """An estimate with the two ends of its interval."""

    value: float
    low: float
    high: float


def bootstrap_key(*names: object) -> int:
    """A 128-bit key of numpy's Philox generator from names: the same names give the same numbers."""
    said = "\x1f".join(str(name) for name in names).encode()
    return int.from_bytes(hashlib.sha256(said).digest()[:16], "big")


def generator(key: int) -> np.random.Generator:
    """The generator of a key. These numbers choose replicates and permutations; they never become noise."""
    return np.random.Generator(np.random.Philox(key=key))


def resampled_counts(labels: npt.NDArray[np.integer], replicates: int, key: int) -> npt.NDArray[np.int64]:
    """How often each picture is in each replicate: (replicates, n) int64.

    Pictures are drawn with replacement within their label: how many of each label an arm has was chosen, not drawn,
    so it must not vary between replicates.
    """
    random = generator(key)
    counts = np.zeros((replicates, len(labels)), np.int64)
    for label in np.unique(labels):
        at = np.flatnonzero(labels == label)
        drawn = random.integers(len(at), size=(replicates, len(at)))
        flat = drawn + len(at) * np.arange(replicates)[:, None]
        counts[:, at] = np.bincount(flat.ravel(), minlength=replicates * len(at)).reshape(replicates, -1)
    return counts


def basic_interval(value: float, replicates: npt.NDArray[np.float64], level: float = LEVEL) -> Interval:
    """The basic (pivot) bootstrap interval, about the bias-corrected value 2 θ̂ − mean(θ*).

    A Fréchet distance of n pictures lies too high by a bias of order 1/n. A replicate, drawn from the n pictures, has
    that bias once more, so the replicates lie about θ̂ + bias, and their percentiles miss the truth by twice the bias,
    on the wrong side: percentile intervals are wrong here. The pivot takes θ* − θ̂ for the law of θ̂ − θ, bias
    included: [2 θ̂ − q(1 − α/2), 2 θ̂ − q(α/2)] covers the distance of infinitely many pictures to the same reference.
    Source: Davison and Hinkley, Bootstrap Methods and their Application (1997), sections 2.4 and 5.2.
    """
    low, high = np.quantile(replicates, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(2 * value - replicates.mean()), float(2 * value - high), float(2 * value - low))


def share_interval(hits: npt.NDArray[np.bool_], level: float = LEVEL) -> Interval:
    """A share with its Wilson interval, which holds near 0 and 1 too."""
    return Interval(float(hits.mean()), *wilson_interval(int(hits.sum()), len(hits), level))


def mean_interval(values: npt.NDArray[np.floating], level: float = LEVEL) -> Interval:
    """A mean with its normal interval."""
    exact = values.astype(np.float64)
    half = NormalDist().inv_cdf((1 + level) / 2) * exact.std(ddof=1) / np.sqrt(len(exact))
    return Interval(float(exact.mean()), float(exact.mean() - half), float(exact.mean() + half))
