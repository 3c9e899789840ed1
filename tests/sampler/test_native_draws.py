"""Numbers that an array draws by itself: laws against enumeration, distances, and draws against the laws."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from entropy.arguments import OutOfRange
from sampler import SamplerError
from sampler.native_draws import ColumnSumNormal, ExponentFloat


def test_a_columns_sum_has_unit_variance_and_its_exact_law():
    law = ColumnSumNormal(64, 0.5)
    assert law.pulses == 64
    rng = np.random.Generator(np.random.Philox(3))
    z = law.draw(rng.integers(0, 2, (20_000, 64)), rng.standard_normal(20_000))
    # False-alarm rate 1e-6, by the exact law.
    assert stats.kstest(z, law.distribution).pvalue > 1e-6
    x = np.linspace(-12, 12, 200_001)
    density = np.gradient(law.distribution(x), x)
    assert np.trapezoid(x**2 * density, x) == pytest.approx(1, abs=1e-6)
    assert np.trapezoid(x**4 * density, x) - 3 == pytest.approx(law.excess_kurtosis, abs=1e-4)


def test_distance_of_a_columns_sum_falls_with_dither_and_cells_and_rises_with_bias():
    assert ColumnSumNormal(1, 0.0).distance() == pytest.approx(stats.norm.cdf(1) - 0.5)
    jump = stats.binom.pmf(32, 64, 0.5) / 2
    assert ColumnSumNormal(64, 0.0).distance() == pytest.approx(jump, rel=0.01)
    assert ColumnSumNormal(64, 0.5).distance() < 2e-3
    assert ColumnSumNormal(256, 0.5).distance() < ColumnSumNormal(64, 0.5).distance()
    assert ColumnSumNormal(256, 0.5).distance(0.51) == pytest.approx(
        2 * stats.norm.cdf(0.16) - 1, rel=0.02
    )  # a mean that is 0.32 off


def test_floats_by_exponent_bits_are_the_law_that_enumeration_gives():
    law = ExponentFloat(2, 2)
    bits = np.array(list(product((0, 1), repeat=4)))
    values = law.draw(bits[:, :2], bits[:, 2:])
    p = law.probabilities
    weights = np.prod(np.where(bits[:, :2] == 1, p, 1 - p), axis=1) / 4
    order = np.argsort(values)
    values, after = values[order], np.cumsum(weights[order])
    before = after - weights[order]
    assert law.distance() == pytest.approx(max(np.abs(after - values).max(), np.abs(before - values).max()))
    assert law.octaves() == pytest.approx(np.array([8, 4, 2, 1]) / 15)
    assert (values.min(), values.max(), law.pulses) == (2.0**-4, 0.875, 4)


def test_where_a_float_stops_being_good():
    good = ExponentFloat(4, 10)
    assert good.distance() == pytest.approx(2.0**-11, rel=0.05)
    off = good.probabilities.copy()
    off[0] += 0.01
    assert good.distance(off) == pytest.approx(0.01 * 4 / 5 * 16 / 17 + 2.0**-11, rel=0.01)


def test_what_is_no_draw_is_refused():
    for wrong in (lambda: ColumnSumNormal(0, 0.1), lambda: ColumnSumNormal(4, -1)):
        with pytest.raises(OutOfRange):
            wrong()
    with pytest.raises(SamplerError):
        ExponentFloat(6, 10)
