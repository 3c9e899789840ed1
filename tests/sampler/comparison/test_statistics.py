"""Intervals and tests against laws that are known exactly."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from sampler import SamplerError
from sampler.comparison import (
    Comparison,
    Evaluation,
    FrechetDistance,
    Interval,
    Moments,
    arm_frechet,
    bootstrap_key,
    difference,
    equivalence,
    equivalence_power,
    holm,
    kernel_distance,
    moments,
)
from sampler.comparison._bootstrap import (
    basic_interval,
    resampled_counts,
    share_interval,
)
from sampler.comparison._kernel import own_mean

LABELS = np.tile(np.arange(10), 20)


def evaluation(frechet: float, spread: float, n: int = 200) -> Evaluation:
    """An evaluation whose bootstrap has the given spread and a bias of 1."""
    replicates = frechet + 1 + spread * np.random.default_rng().normal(size=100)
    return Evaluation(
        n=n,
        reference="made up",
        reference_n=1000,
        extractor="digit features",
        extractor_sha256="0",
        distance="Fréchet distance, digit features",
        key=1,
        frechet=frechet,
        frechet_interval=Interval(frechet - 1, frechet - 1 - 2 * spread, frechet - 1 + 2 * spread),
        frechet_replicates=tuple(replicates),
        kernel=0.0,
        kernel_error=0.1,
        precision=Interval(0.5, 0.4, 0.6),
        recall=0.5,
        density=1.0,
        coverage=0.5,
        accuracy=None,
        label_entropy=None,
        confidence_entropy=None,
        memorising=None,
    )


def test_replicates_keep_each_label_and_repeat_from_their_key() -> None:
    counts = resampled_counts(LABELS, 50, key=bootstrap_key("a", 1))
    for label in range(10):
        assert (counts[:, label == LABELS].sum(axis=1) == 20).all()
    assert 0.55 < (counts > 0).mean() < 0.72  # 1 − (1 − 1/20)²⁰ = 0.64
    np.testing.assert_array_equal(counts, resampled_counts(LABELS, 50, key=bootstrap_key("a", 1)))
    assert (counts != resampled_counts(LABELS, 50, key=bootstrap_key("a", 2))).any()


@pytest.mark.slow
def test_the_basic_interval_covers_and_the_percentile_interval_does_not() -> None:
    """200 pictures in 16 dimensions, true Fréchet distance 4 (a shift by 0.5 everywhere), 300 experiments.

    At a coverage of 0.95, 95 % intervals cover it in 0.87 of them or less with a probability below 1e-6.
    """
    random = np.random.default_rng()
    d, labels = 16, np.zeros(200, int)
    distance = FrechetDistance(Moments(np.zeros(d), np.eye(d), 10**9))
    basic = percentile = 0
    for run in range(300):
        values = 0.5 + random.normal(size=(200, d))
        value = distance(moments(values))
        again = distance.of_replicates(values, resampled_counts(labels, 300, key=run))
        interval = basic_interval(value, again)
        basic += interval.low < 4 < interval.high
        low, high = np.quantile(again, [0.025, 0.975])
        percentile += low < 4 < high
    assert basic / 300 > 0.87
    assert percentile / 300 < basic / 300 - 0.1


def test_a_share_has_an_interval_at_its_ends_too() -> None:
    whole = share_interval(np.ones(100, bool))
    assert whole.value == 1
    assert 0.95 < whole.low < 0.97
    assert whole.high == 1
    low, high = stats.binomtest(30, 100).proportion_ci(method="wilson")
    found = share_interval(np.arange(100) < 30)
    assert (found.low, found.high) == pytest.approx((low, high), rel=1e-9)


def test_equal_laws_give_uniform_p_values() -> None:
    """200 tests of 99 permutations each: χ² over ten equal bins, false alarm 1e-6."""
    random = np.random.default_rng()
    p = [
        difference(
            *random.normal(size=(2, 40, 5)).astype(np.float32), *[LABELS[:40]] * 2, run, permutations=99
        )
        for run in range(200)
    ]
    counts = np.histogram([each.p_value for each in p], np.linspace(0, 1.0001, 11))[0]
    assert counts.sum() == 200
    assert ((counts - 20) ** 2 / 20).sum() < stats.chi2.isf(1e-6, 9)


def test_labels_are_never_mixed_up() -> None:
    """Arms with unlike shares of labels but one law within each label are not different; without labels they are."""
    random = np.random.default_rng()
    first, second = np.repeat([0, 1], [150, 50]), np.repeat([0, 1], [50, 150])
    pictures = [
        (2.0 * each[:, None] + random.normal(size=(200, 4))).astype(np.float32) for each in (first, second)
    ]
    assert difference(*pictures, first, second, 1, permutations=999).p_value > 1e-6
    assert difference(*pictures, first * 0, second * 0, 1, permutations=999).p_value == 1e-3


def test_the_statistic_is_the_unbiased_double_sum() -> None:
    random = np.random.default_rng()
    x, y = random.normal(size=(700, 8)).astype(np.float32), random.normal(size=(600, 8)).astype(np.float32)
    for labels in (np.zeros(700, int), np.arange(700) % 7):
        found = difference(x, y, labels, labels[:600], 1, permutations=99)
        own = own_mean(y, labels[:600])
        assert found.statistic == pytest.approx(kernel_distance(x, y, own, labels).value, rel=1e-3, abs=1e-6)


def test_a_true_difference_is_found_below_one_in_a_thousand() -> None:
    random = np.random.default_rng()
    x, y = random.normal(size=(2, 200, 8)).astype(np.float32)
    found = difference(x, y + np.float32(0.5), LABELS, LABELS, 1, permutations=1999)
    assert found.p_value == 1 / 2000
    assert found.found
    assert found.statistic > found.detectable_90 > found.detectable_80 > found.critical > 0


def mean_of_the_cubic_kernel(a: np.ndarray, b: np.ndarray) -> float:
    """Of x ~ N(a, 1) and y ~ N(b, 1) in d dimensions: (x·y / d + 1)³, by the moments of x·y."""
    d, dot, squares = len(a), float(a @ b), float(a @ a + b @ b)
    third = dot**3 + 3 * squares * dot + (3 * d + 6) * dot
    return third / d**3 + 3 * (d + squares + dot**2) / d**2 + 3 * dot / d + 1


@pytest.mark.slow
def test_the_detectable_difference_is_found_as_often_as_said() -> None:
    """Gaussians moved apart until their exact MMD² is detectable_80 (α = 0.05): found in about 0.8 of the tests.

    It is 0.77 here, since the statistic is not quite normal; 1,200 tests find it in less than 0.68 of them with a
    probability below 1e-6.
    """
    random = np.random.default_rng()
    zeros = np.zeros(100, int)

    def test(shift: float, run: int):
        x, y = random.normal(size=(2, 100, 4)).astype(np.float32)
        return difference(x, y + np.float32(shift), zeros, zeros, run, permutations=199, alpha=0.05)

    def exact(shift: float) -> float:
        a, b = np.zeros(4), np.full(4, shift)
        return sum(mean_of_the_cubic_kernel(c, c) for c in (a, b)) - 2 * mean_of_the_cubic_kernel(a, b)

    far = kernel_distance(random.normal(size=(2000, 4)), random.normal(size=(2000, 4)) + 1).value
    assert far == pytest.approx(exact(1), rel=0.2)
    aim = np.mean([test(0, run).detectable_80 for run in range(200)])
    shifts = np.linspace(0.1, 1, 91)
    shift = float(np.interp(aim, [exact(each) for each in shifts], shifts))
    share = np.mean([test(shift, run).found for run in range(1200)])
    assert 0.68 < share < 0.97


def test_holm_multiplies_the_smallest_by_all() -> None:
    np.testing.assert_allclose(holm(np.array([0.03, 0.001, 0.04])), [0.06, 0.003, 0.06])


def test_equal_runs_are_equivalent_within_a_wide_margin_alone() -> None:
    software = [evaluation(20.0, 1.0) for _ in range(3)]
    wide = equivalence(software, [evaluation(20.2, 1.0) for _ in range(3)], 5.0, 1)
    assert wide.shown
    assert wide.p_value < 0.05
    assert wide.power > 0.9
    assert wide.difference == pytest.approx(0.2, abs=0.5)
    narrow = equivalence(software, [evaluation(20.2, 1.0) for _ in range(3)], 0.5, 1)
    assert not narrow.shown
    assert narrow.power < 0.5
    far = equivalence(software, [evaluation(40.0, 1.0) for _ in range(3)], 5.0, 1)
    assert not far.shown
    assert far.p_value > 0.99
    assert far.low > 15


@pytest.mark.parametrize("between", [0.0, 5.0])
def test_equivalence_at_the_margin_is_wrongly_concluded_in_one_of_twenty(between: float) -> None:
    """The true difference is the margin; three runs each, pictures' spread 1, runs' spread as given.

    At a rate of 0.05, 200 experiments conclude it in 0.14 of them or more with a probability below 1e-6.
    """
    random = np.random.default_rng()
    spread = np.hypot(between, 1)
    margin = 4 * spread
    shown = 0
    for run in range(200):
        software = [evaluation(20 + spread * random.normal(), 1.0) for _ in range(3)]
        arm = [evaluation(20 + margin + spread * random.normal(), 1.0) for _ in range(3)]
        shown += equivalence(software, arm, margin, run, resamples=999).shown
    assert shown / 200 < 0.14


@pytest.mark.parametrize("between", [0.0, 3.0])
def test_the_interval_of_an_arm_covers_over_runs_and_pictures(between: float) -> None:
    """Mean of three runs about a truth of 19 (the bias is 1): 95 % intervals cover it in 300 experiments.

    At a coverage of 0.95, 0.875 or fewer cover it with a probability below 1e-6.
    """
    random = np.random.default_rng()
    spread = np.hypot(between, 1)
    covered = 0
    for run in range(300):
        found = arm_frechet([evaluation(20 + spread * random.normal(), 1.0) for _ in range(3)], run)
        covered += found.low < 19 < found.high
    assert covered / 300 > 0.875


def test_the_power_is_how_often_equal_arms_are_found_equivalent() -> None:
    """400 experiments with one run each, whose error is known: within 5 σ (0.12) of the power, false alarm 1e-6."""
    random = np.random.default_rng()
    software = [evaluation(20.0, 1.0)]
    margin = 2.5 * np.sqrt(2)
    arms = [evaluation(20 + np.sqrt(2) * random.normal(), 1.0) for _ in range(400)]
    share = np.mean(
        [equivalence(software, [arm], margin, run, resamples=999).shown for run, arm in enumerate(arms)]
    )
    assert share == pytest.approx(equivalence_power(margin, np.sqrt(2)), abs=0.14)
    assert equivalence_power(1.0, 1.0) == 0
    assert equivalence_power(3.0, 1.0) == pytest.approx(2 * stats.norm.cdf(3 - 1.6449) - 1, abs=1e-4)


def test_what_cannot_be_compared_is_one_sentence() -> None:
    one = evaluation(20.0, 1.0)
    for other, margin, words in (
        (replace(one, n=100), 1.0, "200 and 100 pictures"),
        (replace(one, extractor_sha256="1"), 1.0, "different extractors"),
        (replace(one, reference="other"), 1.0, "different extractors or references"),
        (one, 0.0, "above 0"),
    ):
        with pytest.raises(SamplerError, match=words):
            equivalence([one], [other], margin, 1)
    with pytest.raises(SamplerError, match="at least 2 pictures of each label"):
        difference(np.zeros((3, 2)), np.zeros((30, 2)), np.arange(3), np.arange(30) % 3, 1)


def test_a_comparison_reads_back_what_it_wrote() -> None:
    random = np.random.default_rng()
    x, y = random.normal(size=(2, 40, 4)).astype(np.float32)
    found = Comparison(
        equivalence([evaluation(20.0, 1.0)], [evaluation(21.0, 1.0)], 9.0, 1),
        difference(x, y, LABELS[:40], LABELS[:40], 1, permutations=99),
    )
    assert Comparison.from_json(found.to_json()) == found
    assert found.to_json()["verdict"] == found.verdict == "equivalent"
