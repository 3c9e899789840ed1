"""Figures of an assessment."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from entropy.quality.assessment import Window
from entropy.quality.estimators import ESTIMATORS, MinEntropy
from memtj.pages._figure import ABOVE, BLUE, GREEN, GREY, INK, RED, drawn

_COLOURS = (BLUE, RED, GREEN)


@drawn(9.4, 3.6)
def estimator_bars(
    figure: Figure, estimates: Mapping[str, MinEntropy], ideal: Sequence[float], claim: float | None
) -> None:
    """Bars of the ten estimators for each of several orders of the bits.

    Args:
        figure: to draw on.
        estimates: by label.
        ideal: the lowest estimates of as many software bits.
        claim: drawn as a line where there is one.
    """
    axes = figure.add_subplot(ylabel="min-entropy per bit")
    width = 0.8 / len(estimates)
    for number, (label, each) in enumerate(estimates.items()):
        at = np.arange(len(ESTIMATORS)) + (number - (len(estimates) - 1) / 2) * width
        values = [getattr(each, name) for name in ESTIMATORS]
        axes.bar(at, values, 0.92 * width, color=_COLOURS[number % 3], label=label)
    if ideal:
        label = "lowest of ten, as many software bits"
        axes.axhspan(min(ideal), max(ideal), color=GREY, alpha=0.35, lw=0, label=label)
    if claim is not None:
        axes.axhline(claim, color=INK, lw=1, ls="--", label="claim")
    axes.set_xticks(range(len(ESTIMATORS)), [name.replace("_", "\n") for name in ESTIMATORS])
    lowest = min(each.assessed for each in estimates.values())
    axes.set_ylim(max(0.0, 0.1 * np.floor(10 * lowest - 0.5)), 1.0)
    axes.legend(ncols=5, **ABOVE)


@drawn(9.4, 4.6)
def over_time(figure: Figure, windows: Sequence[Window], ideal: Sequence[float]) -> None:
    """Share of ones, lag-1 correlation and min-entropy of stretches of the recording, against time or place."""
    upper, middle, lower = figure.subplots(3, 1, sharex=True)
    timed = all(window.seconds is not None for window in windows) and windows[-1].seconds
    x = [window.seconds if timed else window.first_bit / 1e6 for window in windows]
    sigma = 0.5 / np.sqrt(windows[0].bits)
    for axes, name, label, level, error in (
        (upper, "ones", "share of ones", 0.5, sigma),
        (middle, "lag1", "lag-1", 0, 2 * sigma),
    ):
        values = [getattr(window, name) for window in windows]
        axes.axhline(level, color=GREY, lw=0.8)
        axes.errorbar(x, values, yerr=1.96 * error, fmt=".-", color=BLUE, lw=0.8)
        axes.set_ylabel(label)
    if ideal:
        label = "software bits: lowest of ten"
        lower.axhspan(min(ideal), max(ideal), color=GREY, alpha=0.35, lw=0, label=label)
    for name, label, colour in (
        ("most_common_value", "most common value", BLUE),
        ("markov", "markov", GREEN),
        ("assessed", "lowest of ten", RED),
    ):
        values = [getattr(window.min_entropy, name) for window in windows]
        lower.plot(x, values, ".-", color=colour, lw=0.8, label=label)
    along = "host time since the first bit (s)" if timed else "place in the sequence (million bits)"
    lower.set(xlabel=along, ylabel="min-entropy")
    lower.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, -0.95))
    figure.align_ylabels()


@drawn(9.4, 2.6)
def autocorrelation(figure: Figure, values: Mapping[str, tuple[NDArray[np.float64], int]]) -> None:
    """Correlation against lag of several sequences, with the range of independent bits (99.99 %).

    Args:
        figure: to draw on.
        values: by label, (lags,) float64 from lag 1 on, and how many bits they are of.
    """
    axes = figure.add_subplot(xlabel="lag (bits)", ylabel="correlation")
    for number, (label, (correlation, bits)) in enumerate(values.items()):
        lags = np.arange(1, len(correlation) + 1) + 0.25 * number
        axes.vlines(lags, 0, correlation, color=_COLOURS[number], lw=1.6, label=label)
        reach = 3.9 / np.sqrt(bits)
        axes.axhspan(-reach, reach, color=GREY, alpha=0.15, lw=0)
    axes.axhline(0, color=INK, lw=0.6)
    axes.legend(ncols=3, **ABOVE)


@drawn(9.4, 2.7)
def p_values(figure: Figure, values: Mapping[str, NDArray[np.float64]]) -> None:
    """Histograms of all p-values of SP 800-22 beside what uniform ones would show.

    Args:
        figure: to draw on.
        values: by label, (n,) float64.
    """
    for number, (label, each) in enumerate(values.items()):
        axes = figure.add_subplot(
            1, max(2, len(values)), number + 1, xlabel="p-value", ylabel="tests x sequences"
        )
        axes.hist(each, bins=list(np.linspace(0, 1, 41)), color=_COLOURS[number], label=label)
        axes.axhline(len(each) / 40, color=INK, lw=0.8, ls="--", label="uniform")
        axes.legend(ncols=2, **ABOVE)
    figure.tight_layout()
