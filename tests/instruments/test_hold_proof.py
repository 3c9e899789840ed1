"""A thousand million bits of drifting cells: held with the servo, seen to drift without it; and what the servo leaves.

`benchmarks.hold` says how. Every seed is fixed. A fraction of ones of a block (4 million outcomes) has a standard error
of 0.00025, one of a row of the array over 16 blocks 0.0005, so that ±0.005 is ten of them. 64 lags beyond 5 σ happen by
chance once in 27,000 independent runs; the runs here are always the same.
"""

import pytest

from benchmarks.hold import Held, hold

BITS = 1e9
CLOSE, SIGMAS = 0.005, 5.0


def is_held(held: Held) -> bool:
    return held.worst_block < CLOSE and held.worst_rows < CLOSE


def shows_no_correlation(held: Held) -> bool:
    largest = (held.worst_lag_about_half, held.worst_lag_about_means, held.worst_lag_of_stream)
    return max(map(abs, largest)) < SIGMAS


@pytest.mark.slow
def test_the_drift_shows_without_the_servo_and_not_with_it():
    """Set B, whose P goes by 0.7 % a kelvin."""
    off, on = hold("B", "off", BITS), hold("B", "cells", BITS)
    assert not is_held(off)
    assert not shows_no_correlation(off)
    assert is_held(on)
    assert shows_no_correlation(on)


@pytest.mark.slow
def test_where_nothing_drifts_the_servo_leaves_no_trace():
    """Set C, still: what the servo itself does to the bits is not seen, even by all 64 lags together."""
    on = hold("C", "cells", BITS, still=True)
    assert is_held(on)
    assert shows_no_correlation(on)
    assert abs(on.mean_about_means) < SIGMAS
