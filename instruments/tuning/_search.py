"""The adaptive search for the pulse at which every cell switches with a wanted probability.

It knows nothing of boards: a `Pulser` gives pulses to all cells at once and says how often each switched.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from scipy.special import expit

from ._switching_curve import Fit, Prior, crossing, fit, logit

Floats = np.ndarray

VOLTAGE, WIDTH, NEITHER = "voltage", "width", "neither"
_ATTEMPTS, _CANDIDATES = 2, 6
_SCAN_POINTS, _SCAN_PULSES = 9, 256
_SIDES = 2  # rounds of one batch on either side of the target, more where they did not tell the slope
_SIDE_WINDOWS = (3.0, 1.2, 2.0, 1.2, 1.2)  # what the fit of a round looks at, in logits
_SIDE_PULSES, _SIDE = 256, 0.35  # and how far the batches are from the target
_PLACE_WINDOW = 0.25  # logits around the trim in which batches count
_NEAR = 0.6  # of the pulses that are needed must have been given within the tolerance of the trim, as the slope says
_LEAST_SLOPE = 0.3  # of what the scan says
_DOUBT = 0.25  # in slope and bend, beyond what the fit of the sides says
_SHARES = (0.1, 0.2, 0.35, 0.35)  # of the pulses that are needed, each batch nearer to the target
_MARGIN = 1.02
_EXTRA, _EXTRA_SHARE = 4, 0.16
_SECURE = 3.3  # standard errors of p that fit into the tolerance in the end: room for some drift
_FLAT = 2.5  # standard errors by which a slope must differ from none
_MISFIT = 5.0  # standard deviations of a sum of squares
_PRESENT = 1.3  # of the drift from batch to batch: its three or four decades of 1/f noise, and one more
Z95 = 1.959964


class Pulser(Protocol):
    """Gives pulses to cells; every array is (columns,): one cell in one direction."""

    def run(self, voltage: Floats, width: Floats, active: np.ndarray, pulses: int) -> tuple[Floats, Floats]:
        """Give about `pulses` pulses in each `active` column with these trims (V, s); trials and switchings of each."""
        ...


@dataclass(frozen=True)
class Range:
    """How far an offset may go, volts or seconds."""

    low: float
    high: float


@dataclass
class Points:
    """The points that were measured: `(batches, columns)` each, n is 0 where a column had no part in a batch."""

    voltage: list[Floats] = field(default_factory=list)
    width: list[Floats] = field(default_factory=list)
    n: list[Floats] = field(default_factory=list)
    k: list[Floats] = field(default_factory=list)


@dataclass
class Tuned:
    """What a search found; (columns,) each.

    `voltage` (V) and `width` (s) are the trims, `done` says which columns reach the target within the tolerance,
    `actuator` which of the two was moved; `p`, `low`, `high`: probability at the trims and its 95 % interval;
    `per_volt`, `per_second`: slope of the logit there, NaN for the one that was not moved; `points` the curves.
    """

    voltage: Floats
    width: Floats
    done: np.ndarray
    actuator: np.ndarray
    p: Floats
    low: Floats
    high: Floats
    per_volt: Floats
    per_second: Floats
    points: Points


class Search:
    """Tunes all columns to `target` ± `tolerance`, by the voltage, and by the width where the voltage does not serve.

    Steps, for one of the two: a scan of few pulses at trims that are the same for all; rounds of one batch on either
    side of where each column should be, which give the local slope; batches at the best estimate so far; more of
    them, where a column is not there yet. It stops for a column when 3.3 standard errors of p at the trim fit into the
    tolerance: then p is within it with 99.9 %, and the stated interval is target ± 0.6 tolerance or, with drift, wider.
    The estimate that counts is from these last batches alone, with the slope from those before as a prior. A column
    whose curve is flat at the target gets the best of the trims that were tried, where that is within `accept` of it
    (left out: within the tolerance).
    """

    def __init__(
        self,
        pulser: Pulser,
        columns: int,
        target: float,
        tolerance: float,
        ranges: dict[str, Range],
        *,
        accept: float | None = None,
        report: Callable[[str, float, int], None] = lambda stage, share, done: None,
    ) -> None:
        self._pulser = pulser
        self._target, self._tolerance = target, tolerance
        self._accept = tolerance if accept is None else accept
        self._ranges = ranges
        self._report = report
        self._base = float(logit(target))
        self._spread = target * (1 - target)
        self._needed = (_SECURE / tolerance) ** 2 * self._spread * _MARGIN
        self._coarse = float(np.clip(0.25 / self._spread, 1, 2))
        self._wander = _Wander(columns)
        self.drift = 0.0  # of the logit, from batch to batch: standard deviation
        nothing = np.full(columns, np.nan)
        self.tuned = Tuned(
            voltage=np.zeros(columns), width=np.zeros(columns), done=np.zeros(columns, bool),
            actuator=np.full(columns, "", dtype="<U7"), p=nothing.copy(), low=nothing.copy(), high=nothing.copy(),
            per_volt=nothing.copy(), per_second=nothing.copy(), points=Points(),
        )  # fmt: skip

    def run(self, wanted: np.ndarray) -> Tuned:
        """Tune the `wanted` columns, bool (columns,)."""
        for attempt in range(_ATTEMPTS):
            for actuator in (name for name in (VOLTAGE, WIDTH) if name in self._ranges):
                left = wanted & ~self.tuned.done
                if left.any():
                    self._by(actuator, left, 2**attempt)
            left = wanted & ~self.tuned.done
            if left.any():
                self._choose(left)
        self._state_intervals()
        return self.tuned

    def _state_intervals(self) -> None:
        """Widen the intervals by what cells change between batches more than counting explains: their drift.

        Its variance (of the logit) is estimated from all columns together, by the method of moments of DerSimonian and
        Laird (1986). It counts for the mean over the batches and for the present, where 1/f noise has grown on.
        """
        tuned, wander = self.tuned, self._wander
        done = tuned.done & (wander.freedom > 0)
        # A curve that no parabola fits is no drift.
        done &= wander.squares < wander.freedom + _MISFIT * np.sqrt(2 * wander.freedom)
        excess = float((wander.squares - wander.freedom)[done].sum())
        self.drift = np.sqrt(max(excess, 0.0) / max(float(wander.weight[done].sum()), 1e-9))
        sigma = np.hypot(wander.sigma, self.drift * np.sqrt(_PRESENT + wander.concentration))
        eta = logit(np.clip(tuned.p, 1e-9, 1 - 1e-9))
        tuned.low, tuned.high = (np.where(tuned.done, expit(eta + z * sigma), np.nan) for z in (-Z95, Z95))

    def _choose(self, columns: np.ndarray) -> None:
        """Take the best of the trims that were tried, where the curve is flat at the target and tells no place.

        The six that must be expected to be closest are given more pulses, then the best three of them; of these the
        first whose probability, as counted in the end, is a standard error within the tolerance.
        """
        points = self.tuned.points
        voltage, width, n, k = (np.stack(each) for each in (points.voltage, points.width, points.n, points.k))
        points_of = voltage, width
        away = expected_distance(voltage, width, n, k, self._target)
        best = np.argsort(away, axis=0)[:_CANDIDATES]
        for share, keep in ((0.05, _CANDIDATES // 2), (0.2, _CANDIDATES // 2)):
            counts = [self._again(points_of, each, columns, share) for each in best]
            far = np.stack([np.abs(k / np.maximum(n, 1) - self._target) for n, k in counts])
            best = np.take_along_axis(best, np.argsort(far, axis=0), 0)[:keep]
        tuned = self.tuned
        for each in best:
            left = columns & ~tuned.done
            if not left.any():
                return
            n, k = self._again(points_of, each, left, 1.0)
            p = k / np.maximum(n, 1)
            information = np.maximum(n * p * (1 - p), 1)
            sigma = np.sqrt(information) / np.maximum(n, 1)
            there = left & (np.abs(p - self._target) <= self._accept - sigma) & (n > 0)
            tuned.voltage[there], tuned.width[there] = (
                values[each, np.arange(len(columns))][there] for values in points_of
            )
            tuned.done |= there
            tuned.actuator[there] = NEITHER
            tuned.p[there] = p[there]
            self._wander.sigma[there] = (1 / np.sqrt(information))[there]

    def _again(
        self, points: tuple[Floats, Floats], which: np.ndarray, columns: np.ndarray, share: float
    ) -> tuple[Floats, Floats]:
        """Give more pulses at one of the trims that each column has had."""
        voltage, width = (values[which, np.arange(len(which))] for values in points)
        return self._pulse(voltage, width, columns, share * self._needed, "choosing the best of the trims")

    def _by(self, actuator: str, columns: np.ndarray, more: int) -> None:
        """Tune columns by the voltage or by the width; a later attempt looks with `more` pulses for the place."""
        limits = self._ranges[actuator]
        offsets = np.linspace(limits.low, limits.high, _SCAN_POINTS)
        offsets[np.argmin(np.abs(offsets))] = 0.0
        counts = [
            self._batch(
                actuator,
                np.full(len(columns), each),
                columns,
                more * self._coarse * _SCAN_PULSES,
                f"scan of the {actuator}",
            )
            for each in offsets
        ]
        n, k = (np.stack(each) for each in zip(*counts, strict=True))
        found = crossing(offsets, n, k, self._target)
        columns = columns & found.found
        scale = np.where(columns, found.slope, 1.0)
        root = np.where(columns, np.clip(found.root, limits.low, limits.high), 0.0)
        batches = _Batches(np.tile(offsets[:, None], len(columns)), n, k)
        root, rough, sound = self._sides(actuator, columns, root, scale, batches, more)
        self._place(actuator, columns & sound, root, scale, rough)

    def _sides(
        self, actuator: str, columns: np.ndarray, root: Floats, scale: Floats, batches: "_Batches", more: int
    ) -> tuple[Floats, Fit, np.ndarray]:
        """Measure on either side of the target, until the slope there is known; gives the place, the fit, and where."""
        limits = self._ranges[actuator]
        rough, sound = None, np.zeros(len(columns), bool)
        for number, window in enumerate(_SIDE_WINDOWS):
            left = columns & ~sound if number >= _SIDES else columns
            if not left.any():
                break
            for side in (-_SIDE, _SIDE):
                at = np.clip(root + side / scale, limits.low, limits.high)
                batches.add(
                    at,
                    *self._batch(
                        actuator, at, left, more * self._coarse * _SIDE_PULSES, f"slope of the {actuator}"
                    ),
                )
            rough = fit(
                *batches.arrays(), self._target, centre=root, scale=scale, prior=Prior(), window=window
            )
            root = np.where(columns, np.clip(rough.root, limits.low, limits.high), 0.0)
            sound = rough.sound & (rough.slope > np.maximum(_FLAT * rough.slope_sigma, _LEAST_SLOPE))
        if rough is None:
            rough = fit(*batches.arrays(), self._target, centre=root, scale=scale, prior=Prior(), window=1.0)
        return root, rough, sound

    def _place(self, actuator: str, columns: np.ndarray, root: Floats, scale: Floats, rough: Fit) -> None:
        """Bring columns to the target with the pulses that the tolerance needs; notes those that are there."""
        limits = self._ranges[actuator]
        batches, first, left = _Batches.none(len(columns)), root, columns.copy()
        for number, share in enumerate([*_SHARES, *[_EXTRA_SHARE] * _EXTRA]):
            if not left.any():
                break
            at = root
            stage = f"placing by the {actuator}"
            batches.add(at, *self._batch(actuator, at, left, share * self._needed, stage))
            prior = Prior(
                np.maximum(rough.slope + 2 * rough.bend * (at - first) * scale, _LEAST_SLOPE),
                np.maximum(rough.slope_sigma, _DOUBT), rough.bend, np.maximum(rough.bend_sigma, _DOUBT),
            )  # fmt: skip
            best = fit(
                *batches.arrays(), self._target, centre=at, scale=scale, prior=prior, window=_PLACE_WINDOW
            )
            root = np.where(left, np.clip(best.root, limits.low, limits.high), root)
            if number + 1 < len(_SHARES):
                continue
            near = np.abs((batches.offsets - root) * scale) * best.slope * self._spread <= self._tolerance
            enough = np.where(near, batches.n, 0.0).sum(0) >= _NEAR * self._needed
            precise = _SECURE * best.sigma * self._spread <= self._tolerance
            sound = best.sound & (best.slope > _LEAST_SLOPE) & (root == best.root)
            there = left & precise & sound & enough
            self._note(actuator, there, root, scale, best)
            self._wander.note(there, best)
            left &= ~there

    def _note(self, actuator: str, there: np.ndarray, root: Floats, scale: Floats, best: Fit) -> None:
        tuned = self.tuned
        {VOLTAGE: tuned.voltage, WIDTH: tuned.width}[actuator][there] = root[there]
        tuned.done |= there
        tuned.actuator[there] = actuator
        tuned.p[there] = self._target
        slope = tuned.per_volt if actuator == VOLTAGE else tuned.per_second
        slope[there] = (best.slope * scale)[there]

    def _batch(
        self, actuator: str, offsets: Floats, columns: np.ndarray, pulses: float, stage: str
    ) -> tuple[Floats, Floats]:
        zero = np.zeros_like(offsets)
        at = (offsets, zero) if actuator == VOLTAGE else (zero, offsets)
        return self._pulse(*at, columns, pulses, stage)

    def _pulse(
        self, voltage: Floats, width: Floats, columns: np.ndarray, pulses: float, stage: str
    ) -> tuple[Floats, Floats]:
        """Give pulses and keep what came of them; columns that have no part in it keep the trims that they have."""
        tuned = self.tuned
        voltage, width = np.where(columns, voltage, tuned.voltage), np.where(columns, width, tuned.width)
        n, k = self._pulser.run(voltage, width, columns, int(np.ceil(pulses)))
        n, k = np.where(columns, n, 0.0), np.where(columns, k, 0.0)
        points = tuned.points
        for values, each in zip(
            (points.voltage, points.width, points.n, points.k), (voltage, width, n, k), strict=True
        ):
            values.append(each)
        self._report(stage, float(columns.mean()), int(tuned.done.sum()))
        return n, k


def expected_distance(voltage: Floats, width: Floats, n: Floats, k: Floats, target: float) -> Floats:
    """Compute the root of the expected squared distance of p from the target at each point, (batches, columns).

    Where all columns had the same trims, each is shrunk towards their mean, as far as they differ by chance alone
    (empirical Bayes): one that seems close in few pulses is then not preferred to what is close for most.
    """
    total = np.maximum(n.sum(1, keepdims=True), 1)
    mean = k.sum(1, keepdims=True) / total
    given = np.where(n > 0, n, np.nan)
    with np.errstate(invalid="ignore"):
        p = k / given
        noise = np.maximum(mean * (1 - mean), 1e-4) / given
        excess = np.where(n > 0, (p - mean) ** 2 - noise, 0.0).sum(1, keepdims=True)
        spread = excess / np.maximum((n > 0).sum(1, keepdims=True), 1)
    same = (np.ptp(voltage, axis=1) == 0) & (np.ptp(width, axis=1) == 0)
    spread = np.where(same[:, None], np.maximum(spread, 1e-6), np.inf)
    keep = 1 / (1 + noise / spread)
    guess = mean + keep * (p - mean)
    distance = np.sqrt((guess - target) ** 2 + keep * noise)
    return np.where(n > 0, distance, np.inf)


class _Batches:
    """Batches of one kind: offsets, trials, switchings, (batches, columns) each."""

    def __init__(self, offsets: Floats, n: Floats, k: Floats) -> None:
        self.offsets, self.n, self.k = offsets, n, k

    @classmethod
    def none(cls, columns: int) -> "_Batches":
        """Make an empty one."""
        return cls(*(np.empty((0, columns)) for _ in range(3)))

    def add(self, offsets: Floats, n: Floats, k: Floats) -> None:
        """Add one batch of all columns."""
        self.offsets = np.vstack([self.offsets, offsets])
        self.n, self.k = np.vstack([self.n, n]), np.vstack([self.k, k])

    def arrays(self) -> tuple[Floats, Floats, Floats]:
        """Give offsets, trials and switchings."""
        return self.offsets, self.n, self.k


class _Wander:
    """What the last batches of each column say of drift; (columns,) each.

    See `Residuals`; `sigma` is the standard deviation of the logit at the trim, by counting.
    """

    def __init__(self, columns: int) -> None:
        self.squares, self.freedom, self.weight, self.concentration = (np.zeros(columns) for _ in range(4))
        self.sigma = np.zeros(columns)

    def note(self, columns: np.ndarray, best: Fit) -> None:
        """Note what a fit of the last batches says, for `columns`."""
        for name in ("squares", "freedom", "weight", "concentration"):
            getattr(self, name)[columns] = getattr(best.residuals, name)[columns]
        self.sigma[columns] = best.sigma[columns]
