import math

import pytest

from memtj._quantities import duration, si, wilson


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (7.3e-15, "J", "7.30 fJ"),
        (0, "bit", "0 bit"),
        (999.9e6, "bit/s", "1.00 Gbit/s"),
        (12.34, "pictures/s", "12.3 pictures/s"),
        (-3.2e-9, "s", "-3.20 ns"),
        (5e15, "bit", "5000 Tbit"),
    ],
)
def test_si_keeps_three_digits(value: float, unit: str, text: str) -> None:
    assert si(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (59.4, "59 s"), (185, "3:05"), (7385, "2:03:05"), (math.inf, "?")]
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_wilson_interval_against_its_definition() -> None:
    ones, count, z = 417, 1000, 1.959964
    for bound in wilson(ones, count):
        # Each bound is a proportion at which the observed one lies exactly z standard errors away.
        assert abs(ones / count - bound) == pytest.approx(
            z * math.sqrt(bound * (1 - bound) / count), rel=1e-9
        )


def test_wilson_of_nothing_is_everything() -> None:
    assert wilson(0, 0) == (0.0, 1.0)
