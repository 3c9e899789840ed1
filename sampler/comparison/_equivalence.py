"""The test for equivalence: is an arm's Fréchet distance within a margin of the software arm's?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from sampler._errors import SamplerError
from sampler.comparison._bootstrap import generator
from sampler.comparison._evaluate import Evaluation

RESAMPLES = 9_999


@dataclass(frozen=True)
class Equivalence:
    """Outcome of two one-sided tests at 5 % (TOST).

    `difference` is the arm's mean Fréchet distance less the software's, bias-corrected, `error` its standard error,
    `freedom` the degrees of freedom of that error, [`low`, `high`] the two-sided 90 % interval. `shown`: the interval
    lies within ±`margin`; `p_value` is the TOST's. `power` is the probability that equivalence is shown where the
    true difference is 0; `detectable_80`, `detectable_90`: the true difference (either sign) that a two-sided test at
    5 % finds with a probability of 0.8 and 0.9. `runs`: of software, of the arm.
    """

    difference: float
    error: float
    freedom: float
    low: float
    high: float
    margin: float
    p_value: float
    power: float
    detectable_80: float
    detectable_90: float
    runs: tuple[int, int]

    @property
    def shown(self) -> bool:
        """Whether the arms are equivalent within the margin."""
        return -self.margin < self.low and self.high < self.margin

    def to_json(self) -> dict[str, Any]:
        """As plain numbers."""
        return {**self.__dict__, "runs": list(self.runs), "shown": self.shown}

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Equivalence:
        """Read what to_json wrote."""
        values = {k: v for k, v in given.items() if k != "shown"}
        return cls(**{**values, "runs": tuple(values["runs"])})


@dataclass(frozen=True)
class _Spread:
    """How the mean of one arm's runs varies: bootstrap deviations (resamples,) from its estimate, bias included, and
    the parts of its variance that are between runs and within them.
    """

    mean: float
    deviations: npt.NDArray[np.float64]
    between: float
    within: float
    runs: int


def equivalence(
    software: Sequence[Evaluation],
    arm: Sequence[Evaluation],
    margin: float,
    key: int,
    *,
    resamples: int = RESAMPLES,
) -> Equivalence:
    """Test the equivalence of an arm's runs with the software's, by their stored bootstrap replicates.

    Equivalence is concluded where the two-sided 90 % interval of the difference lies within ±margin, which is two
    one-sided tests at 5 % (Schuirmann, J. Pharmacokin. Biopharm. 15, 657, 1987): where the arms truly differ by the
    margin or more, it is concluded in 5 % of the cases at most.

    The interval is a bootstrap over runs and, within them, over pictures. Resampling R runs as they are would give
    (R − 1)/R of the variance between them, two thirds of it for three runs, and would count the variance of pictures
    twice, as the runs' distances vary by their pictures too. So the variance between runs is estimated first (the
    distances' less that of their replicates, at least 0), and the resampled runs' deviations are scaled to it (Davison
    and Hinkley 1997, section 3.8). As a variance of few runs is itself uncertain, deviations are stretched by the
    ratio of Student's to the normal quantile, with Satterthwaite's degrees of freedom. With one run an arm, the
    interval is over pictures alone and says nothing of other runs. The bias of order 1/n is taken out by the pivot, as
    in `basic_interval`.

    Args:
        software, arm: runs of the same reference, extractor and number of pictures.
        margin: largest difference that still counts as equal, fixed before the pictures were seen; > 0.
        key: of the resampling.
        resamples: of the bootstrap over runs and replicates.

    Raises SamplerError where the runs are not comparable or the margin is not positive.
    """
    check_comparable([*software, *arm], margin)
    random = generator(key)
    ours, theirs = (_spread(runs, random, resamples) for runs in (arm, software))
    deviations = ours.deviations - theirs.deviations
    estimate = ours.mean - theirs.mean - float(deviations.mean())
    error = float(np.sqrt(ours.between + ours.within + theirs.between + theirs.within))
    freedom = _freedom((ours, theirs))
    stretch = _student(0.95, freedom) / _student(0.95, np.inf)
    about = stretch * (deviations - deviations.mean())
    low, high = estimate - np.quantile(about, 0.95), estimate - np.quantile(about, 0.05)
    above = 1 + np.sum(about <= estimate - margin)
    below = 1 + np.sum(about >= estimate + margin)
    return Equivalence(
        estimate,
        error,
        freedom,
        float(low),
        float(high),
        margin,
        float(min(1.0, max(above, below) / (1 + len(about)))),
        equivalence_power(margin, error, freedom),
        (_student(0.975, freedom) + _student(0.8, freedom)) * error,
        (_student(0.975, freedom) + _student(0.9, freedom)) * error,
        (len(software), len(arm)),
    )


def equivalence_power(margin: float, error: float, freedom: float = np.inf) -> float:
    """Probability that equivalence within ±margin is shown at a true difference of 0.

    2 T((margin − t₀.₉₅ s)/s) − 1, at least 0, T being Student's law (Julious, Stat. Med. 23, 1921, 2004, section 5).
    """
    from scipy import special

    if error == 0:
        return 1.0
    room = margin / error - _student(0.95, freedom)
    share = special.stdtr(freedom, room) if np.isfinite(freedom) else special.ndtr(room)
    return float(max(0.0, 2 * share - 1))


def check_comparable(evaluations: Sequence[Evaluation], margin: float) -> None:
    """Raise SamplerError unless the runs can be put beside each other."""
    if not margin > 0:
        raise SamplerError(f"a margin of equivalence is above 0, not {margin}")
    first = evaluations[0]
    for other in evaluations:
        if (other.extractor_sha256, other.reference) != (first.extractor_sha256, first.reference):
            raise SamplerError(
                "runs of different extractors or references cannot be compared: evaluate all with one of each"
            )
        if other.n != first.n:
            raise SamplerError(
                f"runs of {first.n} and {other.n} pictures cannot be compared: a Fréchet distance has a bias that "
                "depends on their number; use the same number everywhere"
            )


def _spread(evaluations: Sequence[Evaluation], random: np.random.Generator, resamples: int) -> _Spread:
    values = np.array([each.frechet for each in evaluations])
    replicates = [np.array(each.frechet_replicates) for each in evaluations]
    runs = len(values)
    within = float(np.mean([each.var(ddof=1) for each in replicates]))
    observed = float(values.var(ddof=1)) if runs > 1 else 0.0
    between = max(0.0, observed - within)
    scale = np.sqrt(between / ((runs - 1) / runs * observed)) if between > 0 else 0.0
    chosen = random.integers(runs, size=(resamples, runs))
    total = np.zeros(resamples)
    for column in chosen.T:
        total += scale * (values[column] - values.mean())
        for run, own in enumerate(replicates):
            at = np.flatnonzero(column == run)
            total[at] += own[random.integers(len(own), size=len(at))] - values[run]
    return _Spread(float(values.mean()), total / runs, between / runs, within / runs, runs)


def _freedom(spreads: Sequence[_Spread]) -> float:
    """Satterthwaite's degrees of freedom; where no variance between runs is seen, that of pictures is known well."""
    total = sum(s.between + s.within for s in spreads)
    uncertain = sum((s.between + s.within) ** 2 / (s.runs - 1) for s in spreads if s.between > 0)
    return float(total**2 / uncertain) if uncertain > 0 else np.inf


def _student(share: float, freedom: float) -> float:
    from scipy import special

    return float(special.stdtrit(freedom, share) if np.isfinite(freedom) else special.ndtri(share))
