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
        run(DrawHealth(CELLS, cell_error=0, stream_error=0, rare_error=0, exponent=4), honest, 60, seed)
        for seed in range(4)
    ]
    assert sum(len(failed) for failed, _ in alarms) <= 4 * CELLS / 2**4
    assert run(DrawHealth(CELLS), honest) == ({}, None)


def test_a_calibration_that_is_off_by_what_is_allowed_passes() -> None:
    def off(p: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        sign = np.where(np.arange(CELLS) % 2, 1, -1)
        return rng.random(CELLS) < np.clip(p + 0.08 * sign, 0, 1)

    assert run(DrawHealth(CELLS), off) == ({}, None)


def frozen_after(
    health: DrawHealth, frozen: np.ndarray, p: float, steps: int, given: float | None = None
) -> tuple[dict[int, int], bool]:
    """Ask for flips with `p` after a first draw at 1/2, and have them with `given`, those that are `frozen` never.

    Gives when cells failed, and whether the stream did.
    """
    rng = np.random.default_rng(5)
    cells, failed, stream = len(frozen), dict[int, int](), False
    state = rng.random(cells) < 0.5
    for step in range(steps):
        asked = p if step else 0.5
        one = np.where(state, 1 - asked, asked)
        switch = asked if given is None or not step else given
        state = state ^ ((rng.random(cells) < switch) & ~frozen)
        verdict = health.take(one, state, np.ones(cells, bool))
        failed |= dict.fromkeys(verdict.cells.tolist(), step)
        stream |= verdict.stream
    return failed, stream


@pytest.mark.parametrize("p", [0.02, 0.05, 0.1, 0.5])
def test_cells_that_are_stuck_fail_however_rare_their_flips_are(p: float) -> None:
    stuck = np.arange(256) % 64 == 7
    failed, stream = frozen_after(DrawHealth(256), stuck, p, int(60 / p))
    assert failed.keys() == set(np.flatnonzero(stuck).tolist())
    assert not stream


@pytest.mark.parametrize("p", [0.03, 0.1])
def test_a_column_that_is_dead_is_found_within_a_picture(p: float) -> None:
    row, column = np.divmod(np.arange(28 * 28), 28)
    failed, _ = frozen_after(DrawHealth(28 * 28, lines=(row, column)), column == 9, p, 65)
    assert failed.keys() == set(np.flatnonzero(column == 9).tolist())
    alone, _ = frozen_after(DrawHealth(28 * 28), column == 9, p, 65)
    assert not alone


@pytest.mark.parametrize("p", [0.003, 0.03, 0.3])
def test_repeats_of_honest_flips_alarm_no_more_often_than_stated(p: float) -> None:
    row, column = np.divmod(np.arange(4096), 64)
    none = np.zeros(4096, bool)
    health = DrawHealth(4096, cell_error=0, stream_error=1, rare_error=0, exponent=4, lines=(row, column))
    failed, _ = frozen_after(health, none, p, 300)
    assert len(failed) <= 4096 / 2**4 + 64 * 2 * 64 / 2**4
    # Off by what is allowed: 0.4 p (1 - p) and 0.002.
    given = max(p - 0.4 * p * (1 - p) - 0.002, 0)
    health = DrawHealth(4096, stream_error=1, lines=(row, column))
    assert frozen_after(health, none, p, 300, given) == ({}, False)


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
