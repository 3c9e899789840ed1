"""Draws are held against the probability that each was asked for."""

import numpy as np
import pytest

from entropy.quality.draws import DrawHealth

CELLS, STEPS = 1024, 400


def run(health: DrawHealth, change, steps: int = STEPS, seed: int = 0) -> tuple[dict[int, int], int | None]:
    """Draw steps with random P as `change(p, rng)` has them come out; gives when cells failed, and the stream."""
    rng = np.random.default_rng(seed)
    failed: dict[int, int] = {}
    stream = None
    for step in range(steps):
        p = rng.beta(0.5, 0.5, CELLS)
        drawn = rng.random(CELLS) < 0.8
        verdict = health.take(p, change(p, rng), drawn)
        failed |= dict.fromkeys(verdict.cells.tolist(), step)
        stream = step if verdict.stream and stream is None else stream
    return failed, stream


def honest(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return rng.random(CELLS) < p


def test_honest_draws_pass_at_a_rate_of_alarms_that_can_be_seen() -> None:
    # 1,024 cells and the stream, each alarmed at most once in 2^4 runs: without room for errors of P
    alarms = [
        run(DrawHealth(CELLS, cell_error=0, stream_error=0, exponent=4), honest, 60, seed)
        for seed in range(4)
    ]
    assert sum(len(failed) for failed, _ in alarms) <= 4 * CELLS / 2**4
    assert run(DrawHealth(CELLS), honest) == ({}, None)


def test_a_calibration_that_is_off_by_what_is_allowed_passes() -> None:
    def off(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        sign = np.where(np.arange(CELLS) % 2, 1, -1)
        return rng.random(CELLS) < np.clip(p + 0.08 * sign, 0, 1)

    assert run(DrawHealth(CELLS), off) == ({}, None)


@pytest.mark.parametrize("stuck", [False, True])
def test_a_stuck_cell_fails_and_only_that(stuck: bool) -> None:
    def one_is_stuck(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        outcomes = honest(p, rng)
        outcomes[7] = stuck
        return outcomes

    failed, stream = run(DrawHealth(CELLS), one_is_stuck)
    assert failed.keys() == {7}
    assert failed[7] < STEPS
    assert stream is None


def test_a_shift_of_all_cells_fails_the_stream_at_once() -> None:
    failed, stream = run(DrawHealth(CELLS), lambda p, rng: rng.random(CELLS) < np.clip(p + 0.05, 0, 1), 100)
    assert not failed
    assert stream is not None
    assert stream < 50


def test_what_cannot_be_drawn_fails_at_the_first_outcomes() -> None:
    health = DrawHealth(4, cell_error=0.0, exponent=4)
    every, p = np.ones(4, bool), np.array([0.0, 0.0, 1.0, 1.0])
    for _ in range(10):
        health.take(p, np.array([False, True, False, True]), every)
    assert health.failed.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("p", "ones", "drawn"),
    [
        (np.full(4, 1.1), np.ones(4, bool), np.ones(4, bool)),
        (np.full(4, np.nan), np.ones(4, bool), np.ones(4, bool)),
        (np.full(3, 0.5), np.ones(4, bool), np.ones(4, bool)),
        (np.full(4, 0.5), np.ones(4, int), np.ones(4, bool)),
    ],
    ids=["above one", "not a number", "too few", "no bools"],
)
def test_what_is_no_step_is_refused(p: np.ndarray, ones: np.ndarray, drawn: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"a step is|a probability lies"):
        DrawHealth(4).take(p, ones, drawn)
