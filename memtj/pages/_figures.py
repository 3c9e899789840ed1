"""Figures of the report, drawn with matplotlib and returned as self-contained data URIs."""

import base64
import io
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

matplotlib.use("agg")

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555",
    "axes.labelcolor": "#222",
    "figure.dpi": 100,
    "svg.fonttype": "none",
}
BLUE, RED, GREY = "#23619e", "#c2452d", "#8a8f98"


def png_uri(png: bytes) -> str:
    """Return PNG bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def as_uri(figure: Figure) -> str:
    """Return a figure as a data URI."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=170, bbox_inches="tight", facecolor="white")
    return png_uri(buffer.getvalue())


def probability_map(p_one: NDArray[np.float64]) -> str:
    """Heat map of P(1) of every cell.

    Args:
        p_one: (rows, columns) float64, fraction of ones; NaN where a cell gave no bits.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.9))
        axes = figure.add_subplot()
        finite = p_one[np.isfinite(p_one)]
        reach = max(0.01, float(np.quantile(np.abs(finite - 0.5), 0.999))) if finite.size else 0.5
        colours = matplotlib.colormaps["RdBu_r"].with_extremes(bad="#222")
        image = axes.imshow(p_one, cmap=colours, vmin=0.5 - reach, vmax=0.5 + reach, interpolation="nearest")
        axes.set_xlabel("column")
        axes.set_ylabel("row")
        axes.spines[["top", "right"]].set_visible(True)
        figure.colorbar(image, ax=axes, label="fraction of ones", fraction=0.046)
        return as_uri(figure)


def cell_histogram(p_one: NDArray[np.float64], attempts: float) -> str:
    """Histogram of P(1) over the cells beside what identical fair cells would show at this many attempts each."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 2.9))
        axes = figure.add_subplot()
        values = p_one[np.isfinite(p_one)]
        reach = max(0.01, 1.05 * float(np.abs(values - 0.5).max())) if values.size else 0.5
        # Bins of whole counts: others would comb the few values that a short recording can give.
        step = max(1, round(2 * reach * attempts / 60)) / max(attempts, 1.0)
        edges = 0.5 + step * (np.arange(-31, 32) + 0.5)
        axes.hist(values, bins=list(edges), color=BLUE, label="cells measured")
        sigma = 0.5 / np.sqrt(max(attempts, 1.0))
        x = np.linspace(0.5 - reach, 0.5 + reach, 600)
        density = np.exp(-((x - 0.5) ** 2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
        ideal = density * values.size * (edges[1] - edges[0])
        top = axes.get_ylim()[1]
        axes.plot(x, ideal, color=RED, lw=1.2, label="identical fair cells")
        axes.set_ylim(0, min(1.1 * max(top, float(ideal.max())), 3 * top))
        axes.set_xlabel("fraction of ones of a cell")
        axes.set_ylabel("cells")
        axes.legend(frameon=False, fontsize=8)
        return as_uri(figure)


def lag_histogram(lag1: NDArray[np.float64], attempts: float) -> str:
    """Histogram of the cells' lag-1 correlation beside what independent bits would show."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 2.9))
        axes = figure.add_subplot()
        values = lag1[np.isfinite(lag1)]
        sigma = 1 / np.sqrt(max(attempts, 1.0))
        reach = max(5 * sigma, 1.05 * float(np.abs(values).max())) if values.size else 1.0
        edges = np.linspace(-reach, reach, 61)
        axes.hist(values, bins=list(edges), color=BLUE, label="cells measured")
        x = np.linspace(-reach, reach, 600)
        density = np.exp(-(x**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
        axes.plot(
            x, density * values.size * (edges[1] - edges[0]), color=RED, lw=1.2, label="independent bits"
        )
        axes.locator_params(axis="x", nbins=5)
        axes.set_xlabel("lag-1 correlation of a cell")
        axes.set_ylabel("cells")
        axes.legend(frameon=False, fontsize=8)
        return as_uri(figure)


def resistance_histogram(readings: NDArray[np.float32], thresholds: NDArray[np.float64]) -> str:
    """Histogram of raw readings with the spread of the cells' thresholds.

    Args:
        readings: (n,) float32, ohms.
        thresholds: (cells,) float64, ohms.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 2.9))
        axes = figure.add_subplot()
        kilo = readings[np.isfinite(readings)] / 1e3
        low, high = np.quantile(kilo, [0.0005, 0.9995]) if kilo.size else (0.0, 1.0)
        margin = 0.08 * (high - low)
        axes.hist(kilo, bins=list(np.linspace(low - margin, high + margin, 121)), color=BLUE)
        limits = thresholds[np.isfinite(thresholds)] / 1e3
        if limits.size:
            axes.axvspan(limits.min(), limits.max(), color=RED, alpha=0.15, lw=0)
            axes.axvline(float(np.median(limits)), color=RED, lw=1.2, label="thresholds (median, range)")
            axes.set_ylim(0, 1.18 * axes.get_ylim()[1])  # room for the legend
            axes.legend(frameon=False, fontsize=8, loc="upper center")
        axes.set_xlabel("resistance read (kΩ)")
        axes.set_ylabel("readings")
        return as_uri(figure)


def bias_over_time(seconds: NDArray[np.float64], ones: NDArray[np.float64], bits: NDArray[np.float64]) -> str:
    """Fraction of ones of every block (but short ones) against host time, with 95 % intervals.

    Args:
        seconds: (blocks,) float64, time since the first block.
        ones, bits: (blocks,) float64, counts.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 2.9))
        axes = figure.add_subplot()
        # The last block of a recording can be a few pulses long, and its interval would hide all others.
        whole = bits >= 0.05 * bits.max()
        seconds, fraction = seconds[whole], ones[whole] / bits[whole]
        error = 1.96 * 0.5 / np.sqrt(bits[whole])
        axes.axhline(0.5, color=GREY, lw=0.8)
        axes.errorbar(seconds, fraction, yerr=error, fmt=".", ms=3, lw=0.7, color=BLUE)
        axes.set_xlabel("host time since the first block (s)")
        axes.set_ylabel("fraction of ones of a block")
        return as_uri(figure)
