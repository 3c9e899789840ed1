"""Comparing pictures: named features, distances with intervals, and tests that can say yes, no or undecided."""

from sampler.comparison._bootstrap import Interval, bootstrap_key
from sampler.comparison._check import check_plan
from sampler.comparison._compare import Comparison, Run, Verdict, compare_runs
from sampler.comparison._difference import Difference, difference, holm
from sampler.comparison._equivalence import Equivalence, equivalence, equivalence_power
from sampler.comparison._evaluate import Evaluation, evaluate
from sampler.comparison._features import FeatureExtractor, Features, digit_features, torchscript_features
from sampler.comparison._frechet import FrechetDistance, Moments, moments
from sampler.comparison._kernel import KernelDistance, kernel_distance
from sampler.comparison._memorising import Memorising, memorising
from sampler.comparison._neighbours import Manifold, Quality, manifold, quality
from sampler.comparison._plan import (
    SHIPPED_PLANS,
    ArmPlan,
    ModelPlan,
    Plan,
    TrainPlan,
    load_plan,
    read_plan,
    shipped_plan,
)
from sampler.comparison._raw_claim import RAW_BITS, RawClaim, raw_claim
from sampler.comparison._reference import (
    Reference,
    TrainingPictures,
    as_bits,
    digit_reference,
    make_reference,
    real_digits,
)
from sampler.comparison._result import ArmResult, Group, RunResult
from sampler.comparison._run_bootstrap import arm_frechet
from sampler.comparison._splits import DigitParts, digit_parts
from sampler.comparison._study import Study, StudyProgress

__all__ = [
    "RAW_BITS",
    "SHIPPED_PLANS",
    "ArmPlan",
    "ArmResult",
    "Comparison",
    "Difference",
    "DigitParts",
    "Equivalence",
    "Evaluation",
    "FeatureExtractor",
    "Features",
    "FrechetDistance",
    "Group",
    "Interval",
    "KernelDistance",
    "Manifold",
    "Memorising",
    "ModelPlan",
    "Moments",
    "Plan",
    "Quality",
    "RawClaim",
    "Reference",
    "Run",
    "RunResult",
    "Study",
    "StudyProgress",
    "TrainPlan",
    "TrainingPictures",
    "Verdict",
    "arm_frechet",
    "as_bits",
    "bootstrap_key",
    "check_plan",
    "compare_runs",
    "difference",
    "digit_features",
    "digit_parts",
    "digit_reference",
    "equivalence",
    "equivalence_power",
    "evaluate",
    "holm",
    "kernel_distance",
    "load_plan",
    "make_reference",
    "manifold",
    "memorising",
    "moments",
    "quality",
    "raw_claim",
    "read_plan",
    "real_digits",
    "shipped_plan",
    "torchscript_features",
]
