"""Figures of an assessment, drawn with matplotlib and returned as self-contained data URIs."""

from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from entropy.quality.assessment import Window
from memtj.pages._figures import BLUE, GREY, RED, STYLE, as_uri

GREEN = "#2b7a4b"
_COLOURS = (BLUE, RED, GREEN)


def estimator_bars(
    estimates: Mapping[str, Mapping[str, float]], ideal: Sequence[float], claim: float | None
) -> str:
    """Bars of the ten estimators for each of several orders of the bits.

    Args:
        estimates: by label, then by estimator; bit.
        ideal: the lowest estimates of as many software bits.
        claim: drawn as a line where there is one.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 3.6))
        axes = figure.add_subplot()
        names = list(next(iter(estimates.values())))
        width = 0.8 / len(estimates)
        for number, (label, values) in enumerate(estimates.items()):
            at = np.arange(len(names)) + (number - (len(estimates) - 1) / 2) * width
            axes.bar(at, list(values.values()), 0.92 * width, color=_COLOURS[number % 3], label=label)
        if ideal:
            axes.axhspan(
                min(ideal),
                max(ideal),
                color=GREY,
                alpha=0.35,
                lw=0,
                label="lowest of ten, as many software bits",
            )
        if claim is not None:
            axes.axhline(claim, color="#222", lw=1, ls="--", label="claim")
        axes.set_xticks(range(len(names)), [name.replace("_", "\n") for name in names])
        lowest = min(min(values.values()) for values in estimates.values())
        axes.set_ylim(max(0.0, 0.1 * np.floor(10 * lowest - 0.5)), 1.0)
        axes.set_ylabel("min-entropy per bit")
        axes.legend(frameon=False, fontsize=8, ncols=5, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return as_uri(figure)


def over_time(windows: Sequence[Window], ideal: Sequence[float]) -> str:
    """Share of ones, lag-1 correlation and min-entropy of stretches of the recording, against time or place."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 4.6))
        upper, middle, lower = figure.subplots(3, 1, sharex=True)
        timed = all(window.seconds is not None for window in windows) and windows[-1].seconds
        x = [window.seconds if timed else window.first_bit / 1e6 for window in windows]
        sigma = 0.5 / np.sqrt(windows[0].bits)
        upper.axhline(0.5, color=GREY, lw=0.8)
        upper.errorbar(
            x, [window.ones for window in windows], yerr=1.96 * sigma, fmt=".-", color=BLUE, lw=0.8
        )
        upper.set_ylabel("share of ones")
        middle.axhline(0, color=GREY, lw=0.8)
        middle.errorbar(
            x, [window.lag1 for window in windows], yerr=1.96 * 2 * sigma, fmt=".-", color=BLUE, lw=0.8
        )
        middle.set_ylabel("lag-1")
        if ideal:
            lower.axhspan(
                min(ideal), max(ideal), color=GREY, alpha=0.35, lw=0, label="software bits: lowest of ten"
            )
        for name, colour in (("most_common_value", BLUE), ("markov", GREEN)):
            values = [getattr(window.min_entropy, name) for window in windows]
            lower.plot(x, values, ".-", color=colour, lw=0.8, label=name.replace("_", " "))
        lowest = [window.min_entropy.assessed for window in windows]
        lower.plot(x, lowest, ".-", color=RED, lw=0.8, label="lowest of ten")
        lower.set_ylabel("min-entropy")
        lower.set_xlabel(
            "host time since the first bit (s)" if timed else "place in the sequence (million bits)"
        )
        lower.legend(frameon=False, fontsize=8, ncols=4, loc="lower center", bbox_to_anchor=(0.5, -0.95))
        figure.align_ylabels()
        return as_uri(figure)


def entropy_map(min_entropy: NDArray[np.float64], label: str) -> str:
    """Heat map of the min-entropy of every cell; (rows, columns) float64, NaN where a cell gave no bits."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 3.9))
        axes = figure.add_subplot()
        colours = matplotlib.colormaps["viridis"].with_extremes(bad="#222")
        finite = min_entropy[np.isfinite(min_entropy)]
        low = float(np.quantile(finite, 0.002)) if finite.size else 0.0
        image = axes.imshow(min_entropy, cmap=colours, vmin=min(low, 0.99), vmax=1.0, interpolation="nearest")
        axes.set_xlabel("column")
        axes.set_ylabel("row")
        axes.spines[["top", "right"]].set_visible(True)
        figure.colorbar(image, ax=axes, label=label, fraction=0.046)
        return as_uri(figure)


def autocorrelation(values: Mapping[str, tuple[NDArray[np.float64], int]]) -> str:
    """Correlation against lag of several sequences, with the range of independent bits (99.99 %).

    Args:
        values: by label, (lags,) float64 from lag 1 on, and how many bits they are of.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 2.6))
        axes = figure.add_subplot()
        for number, (label, (correlation, bits)) in enumerate(values.items()):
            lags = np.arange(1, len(correlation) + 1) + 0.25 * number
            axes.vlines(lags, 0, correlation, color=_COLOURS[number], lw=1.6, label=label)
            reach = 3.9 / np.sqrt(bits)
            axes.axhspan(-reach, reach, color=GREY, alpha=0.15, lw=0)
        axes.axhline(0, color="#222", lw=0.6)
        axes.set_xlabel("lag (bits)")
        axes.set_ylabel("correlation")
        axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
        return as_uri(figure)


def p_values(values: Mapping[str, NDArray[np.float64]]) -> str:
    """Histograms of all p-values of SP 800-22 beside what uniform ones would show.

    Args:
        values: by label, (n,) float64.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.4, 2.7))
        edges = np.linspace(0, 1, 41)
        for number, (label, each) in enumerate(values.items()):
            axes = figure.add_subplot(1, max(2, len(values)), number + 1)
            axes.hist(each, bins=list(edges), color=_COLOURS[number], label=label)
            axes.axhline(len(each) / 40, color="#222", lw=0.8, ls="--", label="uniform")
            axes.set_xlabel("p-value")
            axes.set_ylabel("tests x sequences")
            axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        figure.tight_layout()
        return as_uri(figure)
