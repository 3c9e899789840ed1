"""An arm beside the software arm: both tests and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import SerializerFunctionWrapHandler, model_serializer

from entropy.arguments import Count, Real, takes
from sampler._errors import SamplerError
from sampler.comparison._bootstrap import bootstrap_key
from sampler.comparison._difference import ALPHA, PERMUTATIONS, Difference, difference
from sampler.comparison._equivalence import Equivalence, equivalence
from sampler.comparison._evaluate import Evaluation
from sampler.comparison._features import Features
from sampler.comparison._json import JsonRecord

Verdict = Literal["equivalent", "different", "undecided"]


@dataclass(frozen=True)
class Run:
    """One run of pictures, measured: features of n pictures, their labels (n,), and its evaluation."""

    features: Features
    labels: npt.NDArray[np.integer]
    evaluation: Evaluation


@dataclass(frozen=True)
class Comparison(JsonRecord):
    """Both tests of an arm against software. The verdict speaks of pictures alone, never of the bits' randomness."""

    equivalence: Equivalence
    difference: Difference

    @property
    def verdict(self) -> Verdict:
        """Equivalent where the Fréchet distances are shown to be, whether or not a smaller difference was found too;
        else different where the permutation test finds a difference; else undecided: too few pictures to tell.
        """
        if self.equivalence.shown:
            return "equivalent"
        return "different" if self.difference.found else "undecided"

    @model_serializer(mode="wrap")
    def _verdict_first(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"verdict": self.verdict, **plain(self)}


@takes(margin=Real(), key=Count(most=1 << 128), permutations=Count(1), alpha=Real(above=0, most=1))
def compare_runs(
    software: Sequence[Run],
    arm: Sequence[Run],
    margin: float,
    key: int,
    *,
    permutations: int = PERMUTATIONS,
    alpha: float = ALPHA,
) -> Comparison:
    """Compare an arm's runs with the software's: equivalence of Fréchet distances, and difference of pictures.

    Args:
        software, arm: at least one run each, all of one extractor, reference and number of pictures.
        margin: of equivalence, in units of the Fréchet distance, fixed before the pictures were seen.
        key: 128-bit key of resampling and permutations; the same key repeats the numbers.
        permutations, alpha: of the test for a difference.

    Raises SamplerError where the runs are not comparable.
    """
    if not software or not arm:
        raise SamplerError("a comparison takes at least one run of software and one of the arm")
    same = equivalence(
        [run.evaluation for run in software],
        [run.evaluation for run in arm],
        margin,
        bootstrap_key(key, "equivalence"),
    )
    other = difference(
        np.concatenate([run.features.values for run in software]),
        np.concatenate([run.features.values for run in arm]),
        np.concatenate([run.labels for run in software]),
        np.concatenate([run.labels for run in arm]),
        bootstrap_key(key, "difference"),
        permutations=permutations,
        alpha=alpha,
    )
    return Comparison(same, other)
