"""Bootstrap over the runs of an arm and, within them, over pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from entropy.arguments import Count, Real, takes
from sampler.comparison._bootstrap import LEVEL, Interval, generator
from sampler.comparison._evaluate import Evaluation

RESAMPLES = 9_999


@dataclass(frozen=True)
class RunSpread:
    """How the mean Fréchet distance of an arm's runs varies.

    `mean` over the runs; `deviations` (resamples,) of the bootstrap from it, bias included; `between` and `within`:
    the parts of the mean's variance that are between runs and within them; `runs`: how many.
    """

    mean: float
    deviations: npt.NDArray[np.float64]
    between: float
    within: float
    runs: int


def spread_over_runs(
    evaluations: Sequence[Evaluation], random: np.random.Generator, resamples: int = RESAMPLES
) -> RunSpread:
    """Resample runs and, within them, pictures (by their stored replicates).

    Resampling R runs as they are would give (R − 1)/R of the variance between them, two thirds of it for three runs,
    and would count the variance of pictures twice, as the runs' distances vary by their pictures too. So the variance
    between runs is estimated first (that of their distances less that of their replicates, at least 0), and the
    resampled runs' deviations are scaled to it (Davison and Hinkley 1997, section 3.8). With one run, the spread is
    that of its pictures alone.
    """
    values = np.array([each.frechet for each in evaluations])
    replicates = [np.array(each.frechet_replicates) for each in evaluations]
    runs = len(values)
    within = float(np.mean([each.var(ddof=1) for each in replicates]))
    observed = float(values.var(ddof=1)) if runs > 1 else 0.0
    between = max(0.0, observed - within)
    scale = np.sqrt(between / ((runs - 1) / runs * observed)) if between > 0 else 0.0
    total = np.zeros(resamples)
    for column in random.integers(runs, size=(runs, resamples)):
        total += scale * (values[column] - values.mean())
        for run, own in enumerate(replicates):
            at = np.flatnonzero(column == run)
            total[at] += own[random.integers(len(own), size=len(at))] - values[run]
    return RunSpread(float(values.mean()), total / runs, between / runs, within / runs, runs)


def freedom(spreads: Sequence[RunSpread]) -> float:
    """Satterthwaite's degrees of freedom of the arms' summed variance (Biometrics Bull. 2, 110, 1946).

    Infinite where no variance between runs is seen: that of pictures is known well.
    """
    total = sum(s.between + s.within for s in spreads)
    uncertain = sum((s.between + s.within) ** 2 / (s.runs - 1) for s in spreads if s.between > 0)
    return float(total**2 / uncertain) if uncertain > 0 else np.inf


def student(share: float, degrees: float) -> float:
    """Student's quantile; the normal one for infinitely many degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(degrees, share) if np.isfinite(degrees) else special.ndtri(share))


def stretch(level: float, degrees: float) -> float:
    """Student's over the normal quantile: widens bootstrap deviations where few runs give their variance."""
    return student((1 + level) / 2, degrees) / student((1 + level) / 2, np.inf)


@takes(key=Count(most=1 << 128), level=Real(above=0, most=1))
def arm_frechet(evaluations: Sequence[Evaluation], key: int, level: float = LEVEL) -> Interval:
    """The Fréchet distance of an arm: bias-corrected mean over its runs with its interval, over runs and pictures.

    Args:
        evaluations: the arm's runs, at least one.
        key: 128-bit key of the resampling.
        level: of the interval.
    """
    spread = spread_over_runs(evaluations, generator(key))
    bias = float(spread.deviations.mean())
    about = stretch(level, freedom([spread])) * (spread.deviations - bias)
    low, high = np.quantile(about, [(1 - level) / 2, (1 + level) / 2])
    value = spread.mean - bias
    return Interval(value, float(value - high), float(value - low))
