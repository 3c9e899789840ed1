"""The verdict on raw bits: ideal ones pass, and every negative control is told apart, whatever stands behind it."""

import secrets

import pytest

from sampler import (
    BiasedSource,
    ConstantSource,
    CorrelatedSource,
    RepeatedSource,
    SamplerError,
    SoftwareSource,
    StuckSource,
)
from sampler.comparison import RAW_BITS, RawClaim, raw_claim


@pytest.mark.slow
def test_ideal_bits_pass() -> None:
    """At 5 σ each, and health tests at 2⁻⁴⁰: a false alarm in a million runs."""
    claim = raw_claim(SoftwareSource(secrets.randbits(63)).read(RAW_BITS), 1024)
    assert claim.ideal_like
    assert claim.min_entropy > 0.75
    assert RawClaim.from_json(claim.to_json()) == claim


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        (BiasedSource(0.502, 1), "of them are 1"),
        (CorrelatedSource(0.03, 1), "neighbours are correlated"),
        pytest.param(StuckSource(0.01, 1), "of 1024 cells fail", marks=pytest.mark.slow),
        pytest.param(RepeatedSource(65536, 1), "min-entropy 0.000", marks=pytest.mark.slow),
        (ConstantSource(), "min-entropy 0.000"),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_each_control_is_told_apart(source: SoftwareSource, reason: str) -> None:
    claim = raw_claim(source.read(RAW_BITS), 1024)
    assert not claim.ideal_like
    assert any(reason in said for said in claim.reasons)


def test_too_few_bits_are_refused() -> None:
    with pytest.raises(SamplerError, match="too few to judge"):
        raw_claim(SoftwareSource(1).read(800))
