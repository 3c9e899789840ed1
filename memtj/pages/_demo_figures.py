"""Figures of the demo's report."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from memtj.pages._figure import BLUE, GREY, RED, drawn


@drawn(4.6, 2.9)
def cell_histogram(figure: Figure, p_one: NDArray[np.float64], attempts: float) -> None:
    """Histogram of P(1) over the cells beside what identical fair cells would show at this many attempts each."""
    values = p_one[np.isfinite(p_one)]
    reach = max(0.01, 1.05 * float(np.abs(values - 0.5).max())) if values.size else 0.5
    # Bins of whole counts: others would comb the few values that a short recording can give.
    step = max(1, round(2 * reach * attempts / 60)) / max(attempts, 1.0)
    edges = 0.5 + step * (np.arange(-31, 32) + 0.5)
    axes = figure.add_subplot(xlabel="fraction of ones of a cell", ylabel="cells")
    axes.hist(values, bins=list(edges), color=BLUE, label="cells measured")
    top = axes.get_ylim()[1]
    highest = _normal(
        axes, values.size * step, 0.5, 0.5 / np.sqrt(max(attempts, 1.0)), reach, "identical fair cells"
    )
    axes.set_ylim(0, min(1.1 * max(top, highest), 3 * top))
    axes.legend()


@drawn(4.6, 2.9)
def lag_histogram(figure: Figure, lag1: NDArray[np.float64], attempts: float) -> None:
    """Histogram of the cells' lag-1 correlation beside what independent bits would show."""
    values = lag1[np.isfinite(lag1)]
    sigma = 1 / np.sqrt(max(attempts, 1.0))
    reach = max(5 * sigma, 1.05 * float(np.abs(values).max())) if values.size else 1.0
    axes = figure.add_subplot(xlabel="lag-1 correlation of a cell", ylabel="cells")
    axes.hist(values, bins=list(np.linspace(-reach, reach, 61)), color=BLUE, label="cells measured")
    _normal(axes, values.size * 2 * reach / 60, 0.0, sigma, reach, "independent bits")
    axes.locator_params(axis="x", nbins=5)
    axes.legend()


def _normal(axes: Axes, area: float, mean: float, sigma: float, reach: float, label: str) -> float:
    """Draw a normal curve over a histogram, to `reach` on both sides of its mean; returns its highest value."""
    x = np.linspace(mean - reach, mean + reach, 600)
    curve = area * np.exp(-((x - mean) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
    axes.plot(x, curve, color=RED, lw=1.2, label=label)
    return float(curve.max())


@drawn(4.6, 2.9)
def resistance_histogram(
    figure: Figure, readings: NDArray[np.float32], thresholds: NDArray[np.floating]
) -> None:
    """Histogram of raw readings with the spread of the cells' thresholds.

    Args:
        figure: to draw on.
        readings: (n,) float32, ohms.
        thresholds: (cells,) float64, ohms.
    """
    axes = figure.add_subplot(xlabel="resistance read (kΩ)", ylabel="readings")
    kilo = readings[np.isfinite(readings)] / 1e3
    low, high = np.quantile(kilo, [0.0005, 0.9995]) if kilo.size else (0.0, 1.0)
    margin = 0.08 * (high - low)
    axes.hist(kilo, bins=list(np.linspace(low - margin, high + margin, 121)), color=BLUE)
    limits = thresholds[np.isfinite(thresholds)] / 1e3
    if limits.size:
        axes.axvspan(limits.min(), limits.max(), color=RED, alpha=0.15, lw=0)
        axes.axvline(float(np.median(limits)), color=RED, lw=1.2, label="thresholds (median, range)")
        axes.set_ylim(0, 1.18 * axes.get_ylim()[1])  # room for the legend
        axes.legend(loc="upper center")


@drawn(4.6, 2.9)
def bias_over_time(figure: Figure, blocks: NDArray[np.void]) -> None:
    """Fraction of ones of every block (but short ones) against host time, with 95 % intervals.

    `blocks`: (blocks,), rows of BLOCK_DTYPE.
    """
    axes = figure.add_subplot(
        xlabel="host time since the first block (s)", ylabel="fraction of ones of a block"
    )
    # The last block of a recording can be a few pulses long, and its interval would hide all others.
    whole = blocks[blocks["bits"] >= 0.05 * blocks["bits"].max()]
    axes.axhline(0.5, color=GREY, lw=0.8)
    axes.errorbar(
        whole["host_time"] - blocks["host_time"][0],
        whole["ones"] / whole["bits"],
        yerr=1.96 * 0.5 / np.sqrt(whole["bits"]),
        fmt=".",
        ms=3,
        lw=0.7,
        color=BLUE,
    )
