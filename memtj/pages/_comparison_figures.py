"""Figures of a comparison: distances with intervals against what was varied, drawn as self-contained data URIs."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from memtj.pages._assessment_figures import GREEN
from memtj.pages._figures import BLUE, GREY, RED, STYLE, as_uri

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


def overview(points: Sequence[Point], level: Level, label: str) -> str:
    """All arms below each other: distance with interval on the left, min-entropy of the raw bits on the right."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 0.9 + 0.27 * len(points)))
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[2.2, 1])
        rows = np.arange(len(points))[::-1]
        floor = _scale(left, points, "x")
        _baselines(left, points, list(rows), level.margin, "x", floor)
        _real(left, level.real, "x", floor)
        for row, point in zip(rows, points, strict=True):
            ends = [max(point.low, floor), max(point.high, floor)]
            left.plot(ends, [row, row], color=COLOURS[point.verdict], lw=1.6)
            left.plot(max(point.value, floor), row, "o", ms=5, color=COLOURS[point.verdict])
            if point.min_entropy is not None:
                right.plot(point.min_entropy, row, "s", ms=5, color=RED if point.raw_bad else GREEN)
        left.set_yticks(rows, [point.name for point in points])
        left.set_xlabel(label)
        left.set_ylim(-0.7, len(points) - 0.3)
        left.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        right.axvline(1, color=GREY, lw=0.8)
        right.set_xlim(-0.05, 1.05)
        right.set_xlabel("min-entropy of a raw bit (bit)")
        return as_uri(figure)


def curve(points: Sequence[Point], level: Level, label: str, x_label: str, *, base: float = 10) -> str:
    """Distance against what was varied, a line for each series; both axes logarithmic where that shows more."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.3))
        axes = figure.add_subplot()
        floor = _scale(axes, points, "y")
        _common_baselines(axes, points, level.margin, floor)
        _real(axes, level.real, "y", floor)
        for number, series in enumerate(dict.fromkeys(point.series for point in points)):
            own = sorted((p for p in points if p.series == series), key=lambda p: p.x)
            style = ("-", "--", ":")[number % 3]
            axes.plot(
                [p.x for p in own],
                [max(p.value, floor) for p in own],
                style,
                color=GREY,
                lw=1,
                label=series or None,
            )
            for point in own:
                ends = [max(point.low, floor), max(point.high, floor)]
                axes.plot([point.x, point.x], ends, color=COLOURS[point.verdict], lw=1.6)
                axes.plot(point.x, max(point.value, floor), "o", ms=5, color=COLOURS[point.verdict])
        _x_scale(axes, [point.x for point in points], base)
        axes.set_xlabel(x_label)
        axes.set_ylabel(label)
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return as_uri(figure)


def categories(points: Sequence[Point], level: Level, label: str) -> str:
    """Distance of arms that differ in kind, side by side."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.3))
        axes = figure.add_subplot()
        floor = _scale(axes, points, "y")
        _baselines(axes, points, range(len(points)), level.margin, "y", floor)
        _real(axes, level.real, "y", floor)
        for at, point in enumerate(points):
            axes.plot(
                [at, at],
                [max(point.low, floor), max(point.high, floor)],
                color=COLOURS[point.verdict],
                lw=1.6,
            )
            axes.plot(at, max(point.value, floor), "o", ms=5, color=COLOURS[point.verdict])
        axes.set_xticks(range(len(points)), [point.name for point in points], rotation=35, ha="right")
        axes.set_xlim(-0.6, len(points) - 0.4)
        axes.set_ylabel(label)
        axes.legend(frameon=False, fontsize=8, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return as_uri(figure)


def _scale(axes: Axes, points: Sequence[Point], along: str) -> float:
    """Make the axis of distances logarithmic where they span much; give the value that lower ends are cut at.

    The distance of real pictures, near 0, has no say: it would squeeze all others into one decade of many.
    """
    values = [point.value for point in points if point.value > 0]
    values += [point.baseline for point in points if point.baseline is not None and point.baseline > 0]
    if not values or max(values) < 20 * min(values):
        return -np.inf
    (axes.set_xscale if along == "x" else axes.set_yscale)("log")
    floor = min(values) / 2
    (axes.set_xlim if along == "x" else axes.set_ylim)(floor, 2 * max(point.high for point in points))
    return floor


def _baselines(
    axes: Axes, points: Sequence[Point], places: Sequence[int], margin: float, along: str, floor: float
) -> None:
    """At each point the distance of the arm that it is held against, and the margin around it."""
    label: str | None = f"{_against(points)} ± margin"
    for place, point in zip(places, points, strict=True):
        if point.baseline is None:
            continue
        low, high = max(point.baseline - margin, floor), max(point.baseline + margin, floor)
        sides, at = [place - 0.45, place + 0.45], [max(point.baseline, floor)] * 2
        if along == "x":
            axes.fill_betweenx(sides, low, high, color=BLUE, alpha=0.13, lw=0, label=label)
            axes.plot(at, sides, color=BLUE, lw=0.9)
        else:
            axes.fill_between(sides, low, high, color=BLUE, alpha=0.13, lw=0, label=label)
            axes.plot(sides, at, color=BLUE, lw=0.9)
        label = None


def _common_baselines(axes: Axes, points: Sequence[Point], margin: float, floor: float) -> None:
    """Across the whole figure the distance of each arm that points are held against, and the margin around it."""
    found = {point.against: point.baseline for point in points if point.baseline is not None}
    for name, value in found.items():
        axes.axhspan(
            max(value - margin, floor),
            max(value + margin, floor),
            color=BLUE,
            alpha=0.13,
            lw=0,
            label=f"{name} ± margin",
        )
        axes.axhline(max(value, floor), color=BLUE, lw=0.9)


def _against(points: Sequence[Point]) -> str:
    names = {point.against for point in points if point.baseline is not None}
    return names.pop() if len(names) == 1 else "what it is held against"


def _real(axes: Axes, real: float | None, along: str, floor: float) -> None:
    if real is None:
        return
    style = {"color": "#222", "lw": 0.9, "ls": "--"}
    if real < floor:
        axes.plot([], [], label=f"real pictures: {real:.2g}, below the axis", **style)
    else:
        (axes.axvline if along == "x" else axes.axhline)(real, label="real pictures", **style)


def _x_scale(axes: Axes, values: Sequence[float], base: float) -> None:
    if min(values) <= 0 or max(values) <= 2 * min(values):
        return
    axes.set_xscale("log", base=base)
    ticks = sorted(set(values))
    if len(ticks) <= 7:
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
