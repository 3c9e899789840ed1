"""Holding a working point: the trims that cells need now, estimated from their recorded outcomes alone.

The trim that cell i needs at a time is c + r_i: one number c that all cells share (temperature, a supply, anything
that drifts for the whole array) and one of its own. Both are estimated from the same counts. The fraction of hits of
a cell, less the target, is s_i (trim it had − c − r_i) plus counting noise of the variance 1/(4 n), so every block
is a measurement of what would have been needed. No cell is pulsed for the servo's sake.

Each of the two levels is a bank of Kalman filters of a random walk, which differ in how fast they let it walk; how
well each predicts the next counts decides which of them is listened to. So where nothing drifts the slowest filter
wins, whose trims stand almost still, and the servo acts no faster than the drift in the bits demands. How little of
that can be seen in the bits afterwards: docs/tuning.md.

A trim is changed only where it is further from what is needed than a third of what that is uncertain by, and by
more than 0.0005 of P; the cells' own
are looked at seldom, since each of their changes goes to the board and into the file.

What is measured is the trim that was needed, not the error that is left: so it does not matter how many blocks lie
in a board's FIFO between an action and its effect, as long as it is known with which trims each block was made.
"""

from dataclasses import dataclass

import numba
import numpy as np

# Time constants of the filters, slowest first. Cells: pulses. Common: bits of the whole array. A filter of time
# constant T leaves a variance of 1/(8 T) in P by its own noise, which is a correlation of 1/(2 T) between outcomes.
_CELL_TIMES = 2.0 ** np.arange(24, 13, -2)
_COMMON_TIMES = 2.0 ** np.arange(32, 19, -2)
_RELUCTANCE = 2.0  # nats by which a filter must predict better than the next slower one
_MEMORY = 64  # updates over which predictions are compared
_FEWEST = 256  # outcomes of a cell between two updates, on average
_LOOK = 1024, 8192  # outcomes of a cell between two looks at its own trim: at first, and at most
_DEADBAND = 0.35  # of the standard deviation of what is needed
_NOT_WORTH_IT = 5e-4  # of P: a trim that is off by less is left as it is
_COMMON_PRIOR = 2.0**14  # bits: how well the mean of the cells is known at first
_SLOPES = 0.5, 2.0  # of the median: a slope beyond is taken for a badly measured one
_FAR = 9.0  # squared standard deviations: what is further off has other reasons than a drift
_OFF_TARGET, _PATIENCE = (
    0.25,
    3,
)  # a cell that is so far from its target so many times in a row is no longer held


@dataclass(frozen=True)
class Counts:
    """Outcomes of each cell: `hits` out of `trials`, (cells,); in which sense, the one who counts knows."""

    hits: np.ndarray
    trials: np.ndarray

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.hits + other.hits, self.trials + other.trials)


class _Bank:
    """Kalman filters of random walks, (filters, width) states in volts; variances are of P, (filters,)."""

    def __init__(self, times: np.ndarray, start: np.ndarray, prior: float) -> None:
        self._walk = 1 / (4 * times**2)  # variance per trial that has the time constant in its steady state
        self._states = np.repeat(start[None], len(times), axis=0)
        self._variances = np.full(len(times), 1 / (4 * prior))
        self._fresh = len(start) > 1
        self._evidence = np.zeros(len(times))
        self._favour = -_RELUCTANCE * np.arange(len(times))

    @property
    def weights(self) -> np.ndarray:
        """How much each filter is listened to, (filters,), sum 1."""
        favour = self._evidence + self._favour
        odds = np.exp(favour - favour.max())
        return odds / odds.sum()

    @property
    def estimate(self) -> np.ndarray:
        """What the filters together say, (width,), volts."""
        return self.weights @ self._states

    @property
    def uncertainty(self) -> float:
        """Standard deviation of what the estimate leaves of P."""
        return float(np.sqrt(self.weights @ self._variances))

    def update(self, needed: np.ndarray, slope: np.ndarray, trials: float, good: np.ndarray) -> None:
        """Take a measurement: `needed` volts, (width,), of `trials` outcomes each; not where it is not `good`."""
        self._variances += self._walk * trials
        noise = 1 / (4 * trials)
        if self._fresh:
            # How far the cells really are from where they were tuned to, all of them say together.
            self._fresh = False
            off = np.where(good, needed - self._states[0], 0.0)
            found = float(((off * slope) ** 2).sum() / good.sum()) - noise
            self._variances = np.maximum(self._variances, found)
        total = self._variances + noise
        gain = self._variances / total
        surprise = _go_on(self._states, needed, slope, good, total, gain) + good.sum() * np.log(total)
        self._evidence = self._evidence * (1 - 1 / _MEMORY) - surprise / 2
        self._variances *= 1 - gain


@numba.njit(nogil=True, cache=True)
def _go_on(states, needed, slope, good, total, gain):  # pragma: no cover (compiled)
    """Move the states of all filters towards what was measured; gives how much each was surprised, (filters,)."""
    surprise = np.zeros(len(states))
    for i in range(len(needed)):  # the filters within, whose sums then do not wait for each other
        for k in range(len(states) if good[i] else 0):
            off = needed[i] - states[k, i]
            surprise[k] += min((off * slope[i]) ** 2 / total[k], _FAR)
            states[k, i] += gain[k] * off
    return surprise


class Servo:
    """Estimates the trims that hold each cell's fraction of hits at `target`.

    `trims`, `slopes`: volts, and hits per volt, (cells,), as the calibration left them; `used`: which cells count;
    `prior`: pulses per cell on which those trims rest; `lowest`, `highest`: volts no trim may go beyond, scalars or
    (cells,); `common_only`: all cells are moved together.
    """

    def __init__(
        self,
        trims: np.ndarray,
        slopes: np.ndarray,
        used: np.ndarray,
        *,
        target: float = 0.5,
        prior: float = 6144.0,
        lowest: float | np.ndarray = -np.inf,
        highest: float | np.ndarray = np.inf,
        common_only: bool = False,
    ) -> None:
        self._target, self._lowest, self._highest = target, lowest, highest
        self._used, self._common_only = used, common_only
        rising = float(np.median(slopes[used])) if used.any() else 1.0
        self._slopes = np.where(used, np.clip(slopes / rising, *_SLOPES), 1.0) * rising
        self._start = trims.astype(np.float64)
        self._own = _Bank(_CELL_TIMES, self._start, prior)
        self._common = _Bank(_COMMON_TIMES, np.zeros(1), _COMMON_PRIOR)
        self._mean_slope = float(self._slopes[used].mean()) if used.any() else rising
        self._set_own, self._shift = self._start, 0.0
        self._unlooked, self._look = 0.0, float(_LOOK[0])
        self._off_target = np.zeros(len(trims), np.int64)
        self._waiting: Counts | None = None
        self._applied = self._start

    @property
    def trims(self) -> np.ndarray:
        """The trims to set now, within their range; float64 (cells,), volts."""
        wanted = np.clip(self._set_own + self._shift, self._lowest, self._highest)
        return np.where(self._used, wanted, self._start)

    @property
    def shift(self) -> float:
        """How far all cells have been moved together, volts."""
        return self._shift

    def expected(self, trims: np.ndarray) -> np.ndarray:
        """P that the servo expects of each cell with these trims, (cells,)."""
        needed = self._own.estimate + self._common.estimate
        return np.clip(self._target + self._slopes * (trims - needed), 0.0, 1.0)

    @property
    def held(self) -> np.ndarray:
        """Cells that follow their trims: used, and not off target for several updates; bool (cells,)."""
        return self._used & (self._off_target < _PATIENCE)

    def update(self, counts: Counts, applied: np.ndarray) -> bool:
        """Take in a block's counts; `applied`: the trims it was made with, (cells,). True: there are new trims.

        Blocks are added up until there are some hundred outcomes a cell, as long as they had the same trims.
        """
        waiting = self._waiting
        if waiting is not None and np.array_equal(applied, self._applied):
            counts = waiting + counts
        elif waiting is not None:
            self._measure(waiting, self._applied)
        self._applied, self._waiting = applied, counts
        if self._used.any() and counts.trials[self._used].mean() < _FEWEST:
            return False
        self._waiting = None
        self._measure(counts, applied)
        return self._decide()

    def _decide(self) -> bool:
        """Choose new trims where those set are too far from what is needed; says whether there are any."""
        changed = False
        common = float(self._common.estimate[0])
        if abs(common - self._shift) * abs(self._mean_slope) > _enough(self._common.uncertainty):
            self._shift, changed = common, True
        if not self._common_only and self._unlooked >= self._look:
            # What is needed is found out fast at first, and ever more slowly.
            self._unlooked, self._look = 0.0, min(1.25 * self._look, _LOOK[1])
            needed = self._own.estimate
            far = np.abs((needed - self._set_own) * self._slopes) > _enough(self._own.uncertainty)
            far &= self.held
            if far.any():
                self._set_own, changed = np.where(far, needed, self._set_own), True
        return changed

    def _measure(self, counts: Counts, applied: np.ndarray) -> None:
        expected = self._slopes * (applied - self._own.estimate)
        hits, outcomes = (np.asarray(each, np.float64) for each in (counts.hits, counts.trials))
        off, good, seen = _compare(hits, outcomes, self._used, self._target, self._off_target)
        if not seen:
            return
        every = good.all()  # then nothing is left out, and nothing copied
        trials, slopes, rest = (
            each if every else each[good] for each in (counts.trials, self._slopes, expected - off)
        )
        often, mean_slope = float(trials.mean()), slopes.mean()
        self._unlooked += often
        common = np.array([rest.mean() / mean_slope])
        self._common.update(common, np.array([mean_slope]), often * len(trials), np.ones(1, bool))
        if not self._common_only:
            self._own.update(applied - common - off / self._slopes, self._slopes, often, good)


@numba.njit(nogil=True, cache=True)
def _compare(hits, trials, used, target, off_target):  # pragma: no cover (compiled)
    """Say of float64 counts how far each cell is off its target, which of them are good, and whether any has outcomes.

    `off_target`: updates in a row that a cell is surely off target; counted on.
    """
    off, good = np.zeros(len(hits)), np.zeros(len(hits), np.bool_)
    seen = beyond = 0
    for i in range(len(hits)):
        if used[i] and trials[i] > 0:
            off[i] = hits[i] / trials[i] - target
            # A few outcomes stray so far by chance, and say nothing of the cell.
            good[i] = abs(off[i]) <= max(_OFF_TARGET, 3 / np.sqrt(max(trials[i], 1.0)))
            seen += 1
            beyond += not good[i]
    for i in range(len(hits)):
        if used[i] and trials[i] > 0:
            good[i] |= 2 * beyond > seen  # what most cells do is not a fault of theirs
            off_target[i] = 0 if good[i] else off_target[i] + 1
    return off, good, seen > 0


def _enough(uncertainty: float) -> float:
    """By how much P must be off for a trim to be changed."""
    return max(_DEADBAND * uncertainty, _NOT_WORTH_IT)
