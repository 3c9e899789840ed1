"""The servo against cells whose law is known; every seed is fixed."""

from collections import deque

import numpy as np
import pytest

from instruments.holding import Counts, Servo

CELLS, PULSES = 1024, 1024
PRIOR = 6144


class Coins:
    """Cells whose P rises by `slopes` per volt through one half at a trim of their own, which the test may move."""

    def __init__(self, seed: int, cells: int = CELLS) -> None:
        self.rng = np.random.default_rng(seed)
        self.slopes = self.rng.uniform(1.2, 2.0, cells)
        self.needed = self.rng.normal(0, 0.03, cells)
        self.tuned = self.needed + self.rng.normal(0, 0.5 / np.sqrt(PRIOR), cells) / self.slopes
        # Measured by a short scan.
        self.measured = self.slopes * np.exp(self.rng.normal(0, 0.25, cells))

    def servo(self, used: np.ndarray | None = None, **options) -> Servo:
        used = np.ones(len(self.needed), bool) if used is None else used
        return Servo(self.tuned, self.measured, used, prior=PRIOR, **options)

    def p(self, trims: np.ndarray) -> np.ndarray:
        return np.clip(0.5 + self.slopes * (trims - self.needed), 0, 1)

    def pulse(self, trims: np.ndarray, pulses: int = PULSES) -> Counts:
        return Counts(self.rng.binomial(pulses, self.p(trims)), np.full(len(trims), pulses))


def test_cells_that_do_not_drift_come_to_rest_at_one_half():
    """What is left after m pulses is what m + 6,144 outcomes leave to chance; 1,024 cells give that to some per cent.

    The bound of 1.3 times is more than ten standard errors, 1/√(2 · 1024), away; slopes measured 25 % wrong cost some.
    """
    coins = Coins(1)
    servo, blocks = coins.servo(), 200
    before = coins.tuned
    for _ in range(blocks):
        if servo.update(coins.pulse(before), before):
            before = servo.trims
    left = (coins.p(before) - 0.5).std()
    assert 0.5 / np.sqrt(PRIOR + blocks * PULSES) / 1.3 < left < 1.3 * 0.5 / np.sqrt(PRIOR + blocks * PULSES)
    assert servo.held.all()
    assert left < (coins.p(coins.tuned) - 0.5).std() / 4


def test_trims_are_left_where_they_are_as_long_as_they_are_good_enough():
    coins = Coins(9)
    servo, before, changes = coins.servo(), coins.tuned, []
    for _ in range(200):
        servo.update(coins.pulse(before), before)
        changes.append(np.mean(servo.trims != before))
        before = servo.trims
    # Of the blocks, most change nothing; of the cells, later a third at most are changed at a time.
    assert np.count_nonzero(changes) < 60
    assert 0 < np.mean([part for part in changes[100:] if 0 < part < 1]) < 0.35


@pytest.mark.parametrize("delay", [0, 12])
def test_a_drift_of_all_cells_is_followed_whatever_lies_in_the_fifo(delay: int):
    """P would go 0.2 away; the servo is as late as its actions are: 0.001 a block, delayed by so many and one more.

    The mean of a million outcomes leaves 0.0005 to chance; the bound allows 5 of those.
    """
    coins = Coins(2)
    servo, worst = coins.servo(), 0.0
    queue = deque([coins.tuned] * (delay + 1))
    for block in range(200):
        coins.needed += 0.001 / coins.slopes
        applied = queue.popleft()
        off = coins.p(applied).mean() - 0.5
        servo.update(coins.pulse(applied), applied)
        queue.append(servo.trims)
        if block > 60:
            worst = max(worst, abs(off))
    assert worst < 0.001 * (delay + 1) + 0.0025


def test_the_servo_is_only_as_fast_as_the_drift_demands():
    def walk(step: float) -> tuple[np.ndarray, float]:
        coins, acted = Coins(3), []
        servo = coins.servo()
        trims = coins.tuned
        for _ in range(200):
            coins.needed += coins.rng.normal(0, step, CELLS) / coins.slopes
            servo.update(coins.pulse(trims), trims)
            acted.append((coins.slopes * (servo.trims - trims)).std())
            trims = servo.trims
        return coins.p(trims) - 0.5, float(np.mean(acted[-20:]))

    still, acts_still = walk(0.0)
    moving, acts_moving = walk(0.002)
    assert acts_moving > 10 * acts_still
    assert still.std() < 0.002
    assert moving.std() < 0.01  # without the servo 0.002 · √200 = 0.028


def test_a_cell_that_sticks_is_left_alone_and_does_not_pull_the_others():
    coins = Coins(4)
    servo, trims = coins.servo(), coins.tuned
    stuck = np.arange(CELLS) < 100
    for _ in range(60):
        counts = coins.pulse(trims)
        servo.update(Counts(np.where(stuck, 0, counts.hits), counts.trials), trims)
        trims = servo.trims
    assert not servo.held[stuck].any()
    assert servo.held[~stuck].all()
    assert abs(coins.p(trims)[~stuck].mean() - 0.5) < 0.001
    assert np.abs(trims - coins.tuned)[stuck].max() < 0.05


def test_trims_stay_within_their_range_and_unused_cells_keep_theirs():
    coins = Coins(5)
    used = np.arange(CELLS) % 7 != 0
    lowest, highest = coins.tuned - 0.01, coins.tuned + 0.01
    servo, trims = coins.servo(used, lowest=lowest, highest=highest), coins.tuned
    coins.needed += 0.05
    for _ in range(20):
        servo.update(coins.pulse(trims), trims)
        trims = servo.trims
    assert (trims[used] == highest[used]).all()
    assert (trims[~used] == coins.tuned[~used]).all()


def test_all_cells_are_moved_together_where_that_is_asked_for():
    coins = Coins(6)
    servo, trims = coins.servo(common_only=True), coins.tuned
    coins.needed += 0.01
    for _ in range(20):
        servo.update(coins.pulse(trims), trims)
        trims = servo.trims
    moved = trims - coins.tuned
    assert np.ptp(moved) < 1e-12
    assert moved[0] == pytest.approx(0.01, abs=0.002)
    assert servo.shift == pytest.approx(moved[0])


def test_small_blocks_are_added_up():
    coins = Coins(7)
    servo = coins.servo()
    coins.needed += 0.05
    acted = [servo.update(coins.pulse(coins.tuned, 10), coins.tuned) for _ in range(40)]
    assert np.flatnonzero(acted).tolist() == [25]  # 256 outcomes


def test_nothing_usable_is_nothing_learnt():
    coins = Coins(8)
    servo = coins.servo()
    nothing = np.zeros(CELLS, np.int64)
    servo.update(Counts(nothing, nothing), coins.tuned)
    servo.update(coins.pulse(coins.tuned), coins.tuned + 0.0)
    assert np.isfinite(servo.trims).all()
