"""The test for equivalence: is an arm's Fréchet distance within a margin of the software arm's?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import computed_field

from entropy.arguments import Count, Real, real, takes
from sampler._errors import SamplerError
from sampler.comparison._bootstrap import generator
from sampler.comparison._evaluate import Evaluation
from sampler.comparison._json import JsonRecord, Unbounded
from sampler.comparison._run_bootstrap import RESAMPLES, freedom, spread_over_runs, stretch, student

_LEVEL = 0.9


@dataclass(frozen=True)
class Equivalence(JsonRecord):
    """Outcome of two one-sided tests at 5 % (TOST).

    `difference` is the arm's mean Fréchet distance less the software's, bias-corrected, `error` its standard error,
    `freedom` the degrees of freedom of that error, [`low`, `high`] the two-sided 90 % interval. `shown`: the interval
    lies within ±`margin`; `p_value` is the TOST's. `power` is the probability that equivalence is shown where the
    true difference is 0; `detectable_80`, `detectable_90`: the true difference (either sign) that a two-sided test at
    5 % finds with a probability of 0.8 and 0.9. `runs`: of software, of the arm.
    """

    difference: float
    error: float
    freedom: Unbounded
    low: float
    high: float
    margin: float
    p_value: float
    power: float
    detectable_80: float
    detectable_90: float
    runs: tuple[int, int]

    @computed_field
    @property
    def shown(self) -> bool:
        """Whether the arms are equivalent within the margin."""
        return -self.margin < self.low and self.high < self.margin


@takes(margin=Real(), key=Count(most=1 << 128), resamples=Count(1))
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

    The interval is a bootstrap over runs and, within them, over pictures (`spread_over_runs`), with the bias of order
    1/n taken out by the pivot, as in `basic_interval`. With one run an arm, it is over pictures alone and says nothing
    of other runs.

    Args:
        software, arm: runs of the same reference, extractor and number of pictures.
        margin: largest difference that still counts as equal, fixed before the pictures were seen; > 0.
        key: of the resampling.
        resamples: of the bootstrap over runs and replicates.

    Raises SamplerError where the runs are not comparable or the margin is not positive.
    """
    check_comparable([*software, *arm], margin)
    random = generator(key)
    ours, theirs = (spread_over_runs(runs, random, resamples) for runs in (arm, software))
    deviations = ours.deviations - theirs.deviations
    estimate = ours.mean - theirs.mean - float(deviations.mean())
    error = float(np.sqrt(ours.between + ours.within + theirs.between + theirs.within))
    degrees = freedom((ours, theirs))
    about = stretch(_LEVEL, degrees) * (deviations - deviations.mean())
    low, high = estimate - np.quantile(about, 0.95), estimate - np.quantile(about, 0.05)
    above = 1 + np.sum(about <= estimate - margin)
    below = 1 + np.sum(about >= estimate + margin)
    return Equivalence(
        estimate,
        error,
        degrees,
        float(low),
        float(high),
        margin,
        float(min(1.0, max(above, below) / (1 + len(about)))),
        equivalence_power(margin, error, degrees),
        (student(0.975, degrees) + student(0.8, degrees)) * error,
        (student(0.975, degrees) + student(0.9, degrees)) * error,
        (len(software), len(arm)),
    )


@takes(margin=Real(above=0), error=Real(0))
def equivalence_power(margin: float, error: float, degrees: float = np.inf) -> float:
    """Probability that equivalence within ±margin is shown at a true difference of 0.

    2 T((margin − t₀.₉₅ s)/s) − 1, at least 0, T being Student's law (Julious, Stat. Med. 23, 1921, 2004, section 5).
    """
    from scipy import special

    if degrees != np.inf:  # of an error that is known
        degrees = real(degrees, "degrees", above=0)
    if error == 0:
        return 1.0
    room = margin / error - student(0.95, degrees)
    share = special.stdtr(degrees, room) if np.isfinite(degrees) else special.ndtr(room)
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
