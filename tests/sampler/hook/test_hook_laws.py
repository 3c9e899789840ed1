"""What torch.distributions draw inside the hook has their law; false alarms: 1e-7 a test, fresh bits each time."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributions as D
from scipy import stats

from sampler import OperatingSystemSource, SamplerError, SoftwareSource, hardware_noise

N = 100_000
CHANCE = 1e-7

CONTINUOUS: dict[str, tuple[Callable[[], D.Distribution], Any]] = {
    "Normal": (lambda: D.Normal(1.0, 2.0), stats.norm(1, 2)),
    "Uniform": (lambda: D.Uniform(-1.0, 3.0), stats.uniform(-1, 4)),
    "Exponential": (lambda: D.Exponential(0.5), stats.expon(scale=2)),
    "Laplace": (lambda: D.Laplace(1.0, 2.0), stats.laplace(1, 2)),
    "Cauchy": (lambda: D.Cauchy(1.0, 2.0), stats.cauchy(1, 2)),
    "LogNormal": (lambda: D.LogNormal(0.5, 0.7), stats.lognorm(0.7, scale=np.exp(0.5))),
    "Gumbel": (lambda: D.Gumbel(1.0, 2.0), stats.gumbel_r(1, 2)),
    "HalfNormal": (lambda: D.HalfNormal(2.0), stats.halfnorm(scale=2)),
    "Pareto": (lambda: D.Pareto(1.0, 3.0), stats.pareto(3)),
    "Weibull": (lambda: D.Weibull(2.0, 1.5), stats.weibull_min(1.5, scale=2)),
}
DISCRETE: dict[str, tuple[Callable[[], D.Distribution], list[float]]] = {
    "Bernoulli": (lambda: D.Bernoulli(0.3), [0.7, 0.3]),
    "Categorical": (lambda: D.Categorical(torch.tensor([1.0, 0.0, 3.0])), [0.25, 0.0, 0.75]),
    "Geometric": (lambda: D.Geometric(0.6), [0.6 * 0.4**k for k in range(8)]),
    "OneHotCategorical": (lambda: D.OneHotCategorical(torch.ones(4)), [0.75, 0.25]),
}
REFUSED: dict[str, tuple[Callable[[], D.Distribution], str]] = {
    "Gamma": (lambda: D.Gamma(2.0, 1.0), "_standard_gamma"),
    "Beta": (lambda: D.Beta(2.0, 1.0), "_sample_dirichlet"),
    "Dirichlet": (lambda: D.Dirichlet(torch.ones(3)), "_sample_dirichlet"),
    "Chi2": (lambda: D.Chi2(3.0), "_standard_gamma"),
    "Poisson": (lambda: D.Poisson(3.0), "poisson"),
    "Binomial": (lambda: D.Binomial(5, torch.tensor(0.5)), "binomial"),
    "NegativeBinomial": (lambda: D.NegativeBinomial(5.0, torch.tensor(0.5)), "_standard_gamma"),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_a_continuous_distribution_has_its_law(name: str) -> None:
    make, exact = CONTINUOUS[name]
    state = torch.get_rng_state()
    with hardware_noise(OperatingSystemSource()):
        samples = make().sample((N,))
        again = make().rsample((100,))
    assert stats.kstest(samples.double().numpy(), exact.cdf).pvalue > CHANCE
    assert again.shape == (100,)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", DISCRETE)
def test_a_discrete_distribution_has_its_law(name: str) -> None:
    make, chances = DISCRETE[name]
    state = torch.get_rng_state()
    with hardware_noise(OperatingSystemSource()):
        samples = make().sample((N,))
    if samples.ndim == 2:
        assert bool((samples.sum(-1) == 1).all())
        samples = samples[:, 2]
    counted = np.bincount(samples.long().numpy(), minlength=len(chances))
    rest = N - counted[: len(chances)].sum()
    expected = np.array([*chances, 1 - sum(chances)]) * N
    counted = np.append(counted[: len(chances)], rest)
    there = expected > 1e-6
    assert counted[~there].sum() == 0
    assert stats.chisquare(counted[there], expected[there]).pvalue > CHANCE
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("name", REFUSED)
def test_the_other_distributions_are_refused_by_the_operation_that_they_need(name: str) -> None:
    make, operation = REFUSED[name]
    state = torch.get_rng_state()
    source = SoftwareSource(3)
    with hardware_noise(source), pytest.raises(SamplerError, match=operation):
        make().sample()
    assert source.bits == 0
    assert torch.equal(torch.get_rng_state(), state)


def test_every_type_gets_the_exponential_law_as_far_as_it_resolves() -> None:
    with hardware_noise(OperatingSystemSource()):
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            x = torch.empty(N, dtype=dtype).exponential_(2.0).double()
            # Rounding to 8 bits of mantissa moves the distribution by at most 2⁻⁸·x·e⁻ˣ, and 2⁻⁸/e is 0.0015;
            # a statistic above that by the Kolmogorov bound has a chance below 1e-7.
            slack = 2.0**-8 / np.e if dtype in (torch.float16, torch.bfloat16) else 0.0
            bound = slack + np.sqrt(np.log(2 / CHANCE) / (2 * N))
            assert stats.kstest(x.numpy(), stats.expon(scale=0.5).cdf).statistic < bound
            assert bool((x > 0).all())


def test_permutations_and_sets_without_putting_back_are_fair() -> None:
    orders = 30_000
    with hardware_noise(OperatingSystemSource()):
        first = torch.stack([torch.randperm(4) for _ in range(orders // 3)])
        rows = torch.multinomial(torch.ones(orders, 4), 4)
    for drawn in (first, rows):
        code = (drawn * torch.tensor([64, 16, 4, 1])).sum(-1)
        counted = torch.unique(code, return_counts=True)[1].numpy()
        assert len(counted) == 24
        assert stats.chisquare(counted).pvalue > CHANCE


def test_dropout_and_rrelu_have_their_law() -> None:
    with hardware_noise(OperatingSystemSource()):
        kept = torch.nn.functional.dropout(torch.ones(N), 0.3)
        slopes = -torch.nn.functional.rrelu(-torch.ones(N), 0.1, 0.3, training=True)
        positive = torch.nn.functional.rrelu(torch.ones(9), 0.1, 0.3, training=True)
    assert kept.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert stats.binomtest(int((kept > 0).sum()), N, 0.7).pvalue > CHANCE
    assert stats.kstest(slopes.double().numpy(), stats.uniform(0.1, 0.2).cdf).pvalue > CHANCE
    assert torch.equal(positive, torch.ones(9))
