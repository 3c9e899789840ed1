"""Watching raw bits while they are recorded: bias, correlation in time and between cells, each with its interval.

Where the health tests say that a source has failed, this says how far it is from ideal. Every bit is counted for
the bias; for correlations a part of some blocks is looked at, as much as a given share of the time allows.
"""

import time
from dataclasses import dataclass, field

import numpy as np
from scipy.special import ndtri

from .._bit_words import words_of
from ..arguments import Count, Real, takes
from ._watch_kernels import differing_pairs
from .statistics import wilson_interval

LAGS = 64
_POSITIONS = 1 << 20  # of a block that are looked at, at most: whole pulses
_LEAST_PULSES = 4 * LAGS  # so many anyway, or lags have no pairs,
_MOST_POSITIONS = 1 << 23  # as long as they are no more positions than these
_PAIRED = 64  # cells all of whose pairs are looked at
_LOOKS_EACH = 64  # that such cells are looked at before others are chosen
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A value and its interval at 95 % (of the largest of many: for all at once); `samples`: what it rests on."""

    value: float
    low: float
    high: float
    samples: int

    @property
    def excludes_zero(self) -> bool:
        """Whether 0 lies outside of the interval."""
        return self.low > 0 or self.high < 0


_UNKNOWN = Estimate(float("nan"), float("nan"), float("nan"), 0)


@takes(ones=Count(), samples=Count())
def proportion(ones: int, samples: int) -> Estimate:
    """Estimate a probability by its Wilson score interval."""
    if not samples:
        return _UNKNOWN
    return Estimate(ones / samples, *wilson_interval(ones, samples, _CONFIDENCE), samples)


@dataclass(frozen=True)
class LargestLag:
    """The lag whose correlation is furthest from 0; its interval holds for all lags at once."""

    lag: int
    correlation: Estimate


@dataclass(frozen=True)
class LargestPair:
    """The two cells, of those looked at, whose correlation is furthest from 0 for its samples."""

    cells: tuple[int, int]
    correlation: Estimate


@dataclass(frozen=True)
class WatchReport:
    """How far the raw bits are from ideal ones.

    `p1`: of all bits; `in_time`: correlation of a cell's outcomes k pulses apart, k = 1 … 64, cells pooled, each
    cell's own bias taken off; `along`: the same of positions k apart in the stream (neighbours in a row);
    `in_time_largest`, `along_largest`: the furthest from 0; `rows_apart`: cells below each other (one row of
    cells apart in the stream); `common`: mean correlation over all pairs of cells of a pulse; `pair`: the most
    correlated of `pairs_looked_at` pairs, None where there was none. `looked_at`: fraction of the bits that the
    correlations rest on.
    """

    p1: Estimate
    in_time: tuple[Estimate, ...] = field(repr=False)
    along: tuple[Estimate, ...] = field(repr=False)
    in_time_largest: LargestLag | None
    along_largest: LargestLag | None
    rows_apart: Estimate
    common: Estimate
    pair: LargestPair | None
    pairs_looked_at: int
    looked_at: float

    def __str__(self) -> str:
        said = f"P(1) {self.p1.value:.5f} ({self.p1.low:.5f} to {self.p1.high:.5f})"
        for name, found in (("in time", self.in_time_largest), ("along the array", self.along_largest)):
            if found is not None:
                value, half = found.correlation.value, found.correlation.high - found.correlation.value
                said += f", largest correlation {name} {value:+.5f} ± {half:.5f} at lag {found.lag}"
        return said


@dataclass
class _Lags:
    """Pairs at several lags, and how many of them differ."""

    pairs: np.ndarray
    differ: np.ndarray

    @classmethod
    def of(cls, lags: int) -> "_Lags":
        return cls(np.zeros(lags, np.int64), np.zeros(lags, np.int64))

    def estimates(self, same_by_bias: np.ndarray, spread: float, lags: int) -> list[Estimate]:
        """Estimate correlations: what is equal more often than bias alone makes it; `lags`: intervals for so many."""
        z = _sides(lags)
        found = []
        for pairs, differ, same in zip(self.pairs, self.differ, same_by_bias, strict=True):
            if not pairs or not spread > 0:
                found.append(_UNKNOWN)
                continue
            value = float((1 - 2 * differ / pairs - same) / spread)
            half = float(z / np.sqrt(pairs))
            found.append(Estimate(value, value - half, value + half, int(pairs)))
        return found


@dataclass
class _Pairs:
    """All pairs of some cells, looked at together."""

    cells: np.ndarray
    looks: int = 0
    samples: np.ndarray = field(init=False)
    products: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.samples = np.zeros((len(self.cells), len(self.cells)))
        self.products = self.samples.copy()


class Watch:
    """Watches one recording; call `look` for blocks when `due` says so, `report` at any time.

    `cells`: positions of a pulse; `columns`: cells in a row; `share`: of the time that looking may take, at most.
    """

    @takes(cells=Count(1), columns=Count(1), share=Real(above=0, most=1))
    def __init__(self, cells: int, columns: int, share: float = 0.02) -> None:
        self.cells, self.columns, self.share = cells, columns, share
        self.seconds = 0.0  # that looking has taken
        self.positions = 0  # that were looked at
        self._began = time.monotonic()
        self._in_time, self._along, self._below = _Lags.of(LAGS), _Lags.of(LAGS), _Lags.of(1)
        self._pulses, self._excess, self._weight = 0, 0.0, 0.0
        self._random = np.random.default_rng(0)
        self._pairs: _Pairs | None = None
        self._largest: tuple[float, int, int, float, float] | None = None  # z, cells, correlation, samples
        self._pairs_done = 0

    def due(self) -> bool:
        """Say whether looking has taken less than its share of the time."""
        return self.seconds <= self.share * (time.monotonic() - self._began)

    @takes(positions=Count())
    def look(self, bits: np.ndarray, valid: np.ndarray | None, positions: int, p1: np.ndarray) -> None:
        """Look at the first part of a block.

        `bits`, `valid` (None: all are valid): packed uint8, first bit most significant, time-major; `p1`: (cells,),
        what is known of each cell's P(1), NaN where nothing is.
        """
        began = time.monotonic()
        most = max(_POSITIONS // self.cells, min(_LEAST_PULSES, _MOST_POSITIONS // self.cells), 2)
        pulses = min(positions // self.cells, most)
        positions = pulses * self.cells
        size = (positions + 7) // 8
        words = words_of(bits[:size])
        mask = words if valid is None else words_of(valid[:size])
        for lags, step in ((self._in_time, self.cells), (self._along, 1), (self._below, self.columns)):
            differing_pairs(words, mask, valid is not None, positions, step, lags.pairs, lags.differ)
        outcomes = np.unpackbits(bits[:size], count=positions).reshape(pulses, self.cells)
        usable = None
        if valid is not None:
            usable = np.unpackbits(valid[:size], count=positions).reshape(pulses, self.cells)
        self._look_at_pulses(outcomes, usable, p1)
        self._look_at_pairs(outcomes, usable, p1)
        self.positions += positions
        self.seconds += time.monotonic() - began

    def _look_at_pulses(self, outcomes: np.ndarray, usable: np.ndarray | None, p1: np.ndarray) -> None:
        """Compare the variance of the number of ones of a pulse with that of cells that know nothing of each other."""
        means = np.nan_to_num(2 * p1 - 1)
        if usable is None:
            sums = 2.0 * outcomes.sum(1, dtype=np.int32) - self.cells - means.sum()
            expected = np.full(len(outcomes), (1 - means**2).sum())
            number = np.full(len(outcomes), float(self.cells))
        else:
            used = usable.astype(np.float32)
            sums = ((2.0 * outcomes - 1) * used - means.astype(np.float32) * used).sum(1, dtype=np.float64)
            expected, number = used @ (1 - means**2).astype(np.float32), used.sum(1)
        if len(sums) < 2 or not (number > 1).all() or not (expected > 0).all():
            return
        scaled = sums / np.sqrt(expected)
        # The sample variance: a mean that has moved since is no correlation between cells of a pulse.
        self._excess += (scaled.var(ddof=1) - 1) * (len(sums) - 1)
        self._weight += float(number.mean() - 1) * (len(sums) - 1)
        self._pulses += len(sums) - 1

    def _look_at_pairs(self, outcomes: np.ndarray, usable: np.ndarray | None, p1: np.ndarray) -> None:
        known = np.flatnonzero(np.isfinite(p1))
        if len(known) < 2:
            return
        if self._pairs is None:
            chosen = self._random.choice(known, min(_PAIRED, len(known)), replace=False)
            self._pairs = _Pairs(np.sort(chosen))
        pairs = self._pairs
        values = 2 * outcomes[:, pairs.cells].astype(np.float32) - 1
        used = np.ones_like(values) if usable is None else usable[:, pairs.cells].astype(np.float32)
        values = (values - (2 * p1[pairs.cells] - 1).astype(np.float32)) * used
        pairs.products += values.T @ values
        pairs.samples += used.T @ used
        pairs.looks += 1
        self._keep_the_largest(pairs, p1)
        if pairs.looks == _LOOKS_EACH and len(known) > _PAIRED:
            self._pairs_done += len(pairs.cells) * (len(pairs.cells) - 1) // 2
            self._pairs = None

    def _keep_the_largest(self, pairs: _Pairs, p1: np.ndarray) -> None:
        spread = 2 * np.sqrt(p1 * (1 - p1))[pairs.cells]
        with np.errstate(invalid="ignore", divide="ignore"):
            correlation = pairs.products / (pairs.samples * np.outer(spread, spread))
        z = np.triu(np.nan_to_num(np.abs(correlation) * np.sqrt(pairs.samples)), 1)
        first, second = np.unravel_index(int(z.argmax()), z.shape)
        # Those of the cells that are looked at now are known better each time.
        before = self._largest
        same = before is not None and {before[1], before[2]} <= set(pairs.cells.tolist())
        if before is None or same or z[first, second] > before[0]:
            self._largest = (
                float(z[first, second]), int(pairs.cells[first]), int(pairs.cells[second]),
                float(correlation[first, second]), float(pairs.samples[first, second]),
            )  # fmt: skip

    def report(self, ones: np.ndarray, samples: np.ndarray) -> WatchReport:
        """Report what was seen; `ones`, `samples`: (cells,), of each cell so far, which tell its bias."""
        used = samples > 1
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(used, 2 * ones / samples - 1, 0.0)
            squares = means**2 - (1 - means**2) / (samples - 1)  # without what chance adds
        weight = used.sum()
        own = float(squares[used].mean()) if weight else 0.0
        spread = 1 - own
        in_time = self._in_time.estimates(np.full(LAGS, own), spread, 1)
        along = self._along.estimates(self._by_bias(means, used, np.arange(1, LAGS + 1)), spread, 1)
        below = self._below.estimates(self._by_bias(means, used, np.array([self.columns])), spread, 1)
        total = int(samples.sum())
        looked_at = self._pairs_done + (
            len(self._pairs.cells) * (len(self._pairs.cells) - 1) // 2 if self._pairs else 0
        )
        return WatchReport(
            p1=proportion(int(ones.sum()), total),
            in_time=tuple(in_time),
            along=tuple(along),
            in_time_largest=_largest(in_time),
            along_largest=_largest(along),
            rows_apart=below[0],
            common=self._common(),
            pair=self._pair(looked_at),
            pairs_looked_at=looked_at,
            looked_at=min(1.0, self.positions / total) if total else 0.0,
        )

    def _by_bias(self, means: np.ndarray, used: np.ndarray, lags: np.ndarray) -> np.ndarray:
        """Compute how much more often positions so far apart are equal than not, by their cells' biases alone."""
        at = lags % self.cells
        products, pairs = (
            np.fft.irfft(np.abs(np.fft.rfft(values)) ** 2, self.cells)[at]
            for values in (means * used, used * 1.0)
        )
        return np.where(pairs > 0.5, products / np.maximum(pairs, 0.5), 0.0)

    def _common(self) -> Estimate:
        if not self._weight:
            return _UNKNOWN
        # The variance of a pulse's sum is 1 + (cells - 1) times the mean correlation; it scatters by √(2 / pulses).
        value = self._excess / self._weight
        half = _sides(1) * np.sqrt(2 / self._pulses) / (self._weight / self._pulses)
        return Estimate(value, value - half, value + half, self._pulses)

    def _pair(self, looked_at: int) -> LargestPair | None:
        if self._largest is None:
            return None
        _, first, second, value, samples = self._largest
        half = _sides(looked_at) / np.sqrt(samples)
        return LargestPair((first, second), Estimate(value, value - half, value + half, int(samples)))


def _sides(number: int) -> float:
    """Give the half-width, in standard deviations, of intervals that hold for so many values at once (Šidák 1967)."""
    return -float(ndtri((1 - _CONFIDENCE ** (1 / max(number, 1))) / 2))


def _largest(estimates: list[Estimate]) -> LargestLag | None:
    known = [
        (abs(each.value) * np.sqrt(each.samples), lag)
        for lag, each in enumerate(estimates, 1)
        if each.samples
    ]
    if not known:
        return None
    lag = max(known)[1]
    each = estimates[lag - 1]
    half = (each.high - each.low) / 2 * _sides(len(known)) / _sides(1)
    return LargestLag(lag, Estimate(each.value, each.value - half, each.value + half, each.samples))
