"""Figures of a comparison: distances with intervals against what was varied."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memtj.pages._figure import ABOVE, BLUE, GREEN, GREY, INK, RED, drawn

COLOURS = {"equivalent": GREEN, "different": RED, "undecided": "#b98a1c", "": BLUE}


@dataclass(frozen=True)
class Point:
    """An arm in a figure: `x` what was varied, its distance with a 95 % interval, the pictures' verdict ("" for an
    arm that others are held against), the lowest min-entropy of its raw bits or None, whether something sets those
    apart from ideal ones, its curve's name, and the arm that it is held against with that one's distance (None where
    that is not known).
    """

    name: str
    x: float
    value: float
    low: float
    high: float
    verdict: str
    min_entropy: float | None = None
    raw_bad: bool = False
    series: str = ""
    against: str = ""
    baseline: float | None = None


@dataclass(frozen=True)
class Level:
    """What all points are seen against: the margin around their baselines, and real pictures' distance (or None)."""

    margin: float
    real: float | None


@drawn(9.4, 1.0)
def overview(figure: Figure, points: Sequence[Point], level: Level, label: str) -> None:
    """All arms below each other: distance with interval on the left, min-entropy of the raw bits on the right."""
    figure.set_figheight(0.9 + 0.27 * len(points))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2.2, 1])
    rows = np.arange(len(points))[::-1]
    distances = _Distances.of(points, left, "x")
    distances.baselines(points, list(rows), level.margin)
    distances.real(level.real)
    for row, point in zip(rows, points, strict=True):
        distances.point(row, point)
        if point.min_entropy is not None:
            right.plot(point.min_entropy, row, "s", ms=5, color=RED if point.raw_bad else GREEN)
    left.set_yticks(rows, [point.name for point in points])
    left.set(xlabel=label, ylim=(-0.7, len(points) - 0.3))
    left.legend(ncols=3, **ABOVE)
    right.axvline(1, color=GREY, lw=0.8)
    right.set(xlabel="min-entropy of a raw bit (bit)", xlim=(-0.05, 1.05))


@drawn(4.6, 3.3)
def curve(
    figure: Figure, points: Sequence[Point], level: Level, label: str, x_label: str, *, base: float = 10
) -> None:
    """Distance against what was varied, a line for each series; both axes logarithmic where that shows more."""
    axes = figure.add_subplot(xlabel=x_label, ylabel=label)
    distances = _Distances.of(points, axes, "y")
    for name, value in {p.against: p.baseline for p in points if p.baseline is not None}.items():
        # Across the whole figure: here all points are held against few arms.
        distances.band(value, level.margin, None, f"{name} ± margin")
    distances.real(level.real)
    for number, series in enumerate(dict.fromkeys(point.series for point in points)):
        own = sorted((p for p in points if p.series == series), key=lambda p: p.x)
        style = {"ls": ("-", "--", ":")[number % 3], "color": GREY, "lw": 1, "label": series or None}
        distances.plot([p.value for p in own], [p.x for p in own], **style)
        for point in own:
            distances.point(point.x, point)
    _x_scale(axes, [point.x for point in points], base)
    axes.legend(ncols=2, **ABOVE)


@drawn(4.6, 3.3)
def categories(figure: Figure, points: Sequence[Point], level: Level, label: str) -> None:
    """Distance of arms that differ in kind, side by side."""
    axes = figure.add_subplot(ylabel=label, xlim=(-0.6, len(points) - 0.4))
    distances = _Distances.of(points, axes, "y")
    distances.baselines(points, range(len(points)), level.margin)
    distances.real(level.real)
    for at, point in enumerate(points):
        distances.point(at, point)
    axes.set_xticks(range(len(points)), [point.name for point in points], rotation=35, ha="right")
    axes.legend(ncols=2, **ABOVE)


@dataclass(frozen=True)
class _Distances:
    """Axes of which one shows distances, those along x or y; what reaches below `floor` is cut there."""

    axes: Axes
    along: Literal["x", "y"]
    floor: float

    @classmethod
    def of(cls, points: Sequence[Point], axes: Axes, along: Literal["x", "y"]) -> "_Distances":
        """Make the axis of distances logarithmic where they span much; lower ends are cut then.

        The distance of real pictures, near 0, has no say: it would squeeze all others into one decade of many.
        """
        values = [value for point in points for value in (point.value, point.baseline or 0) if value > 0]
        if not values or max(values) < 20 * min(values):
            return cls(axes, along, -np.inf)
        floor = min(values) / 2
        axes.set(**{f"{along}scale": "log", f"{along}lim": (floor, 2 * max(point.high for point in points))})
        return cls(axes, along, floor)

    def plot(self, distances: Sequence[float], at: Sequence[float], **style: Any) -> None:
        """Draw a line through distances at places of the other axis."""
        cut = np.maximum(distances, self.floor)
        self.axes.plot(*((cut, at) if self.along == "x" else (at, cut)), **style)

    def point(self, at: float, point: Point) -> None:
        """Draw an arm's distance and its interval."""
        colour = COLOURS[point.verdict]
        self.plot([point.low, point.high], [at, at], color=colour, lw=1.6)
        self.plot([point.value], [at], marker="o", ms=5, color=colour)

    def band(self, value: float, margin: float, at: float | None, label: str | None) -> None:
        """Draw a baseline and the margin around it, at one place of the other axis or (None) all along it."""
        low, level, high = np.maximum([value - margin, value, value + margin], self.floor)
        fill = {"color": BLUE, "alpha": 0.13, "lw": 0, "label": label}
        if at is None:
            self.axes.axhspan(low, high, **fill)
            self.axes.axhline(level, color=BLUE, lw=0.9)
        else:
            sides = [at - 0.45, at + 0.45]
            (self.axes.fill_betweenx if self.along == "x" else self.axes.fill_between)(
                sides, low, high, **fill
            )
            self.plot([value, value], sides, color=BLUE, lw=0.9)

    def baselines(self, points: Sequence[Point], places: Sequence[int], margin: float) -> None:
        """At each point the distance of the arm that it is held against, and the margin around it."""
        held = [(at, point) for at, point in zip(places, points, strict=True) if point.baseline is not None]
        names = {point.against for _, point in held}
        label = f"{names.pop() if len(names) == 1 else 'what it is held against'} ± margin"
        for number, (at, point) in enumerate(held):
            assert point.baseline is not None
            self.band(point.baseline, margin, at, None if number else label)

    def real(self, real: float | None) -> None:
        """Show the distance of real pictures, if only by its number."""
        style: dict[str, Any] = {"color": INK, "lw": 0.9, "ls": "--"}
        if real is not None and real < self.floor:
            self.axes.plot([], [], label=f"real pictures: {real:.2g}, below the axis", **style)
        elif real is not None:
            line = self.axes.axvline if self.along == "x" else self.axes.axhline
            line(real, label="real pictures", **style)


def _x_scale(axes: Axes, values: Sequence[float], base: float) -> None:
    if min(values) <= 0 or max(values) <= 2 * min(values):
        return
    axes.set_xscale("log", base=base)
    ticks = sorted(set(values))
    if len(ticks) <= 7:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
