import math

import pytest

from memtj._quantities import duration, si


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
