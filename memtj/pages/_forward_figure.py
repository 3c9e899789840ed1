"""The figure of a forward process in an array: a strip of its steps, and the share of flips of each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure

from ._figure import BLUE, GREY, RED, drawn_png

if TYPE_CHECKING:
    from memtj.growing import NoisedStep

_ROWS, _COLUMNS = 3, 9  # of the strip


@drawn_png(7.2, 4.6)
def forward_figure(figure: Figure, steps: "Sequence[NoisedStep]") -> None:
    """Show some pictures at some steps, and below each step's share of flips, its interval and β_t."""
    columns = np.unique(np.linspace(0, len(steps) - 1, _COLUMNS).round().astype(int))
    rows = min(_ROWS, len(steps[0].x))
    parts: Any = figure.subfigures(2, 1, height_ratios=[rows, 3])
    strip, below = parts
    axes = strip.subplots(rows, len(columns), squeeze=False)
    for row, line in enumerate(axes):
        for at, axis in zip(columns, line, strict=True):
            axis.imshow(steps[at].x[row, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axis.set(xticks=[], yticks=[])
            if not row:
                axis.set_title(f"t = {steps[at].t}", fontsize=8)
    noised = steps[1:]
    t = [step.t for step in noised]
    axis = below.subplots()
    axis.fill_between(
        t, [step.low for step in noised], [step.high for step in noised], color=GREY, alpha=0.35, lw=0,
        step="mid", label="interval of all steps together, 1 − 10⁻⁶",
    )  # fmt: skip
    axis.plot(t, [step.asked for step in noised], color=GREY, lw=1, label="β_t, asked for")
    for inside, colour, label in ((True, BLUE, "flipped"), (False, RED, "flipped, outside")):
        those = [step for step in noised if step.inside == inside]
        if those:
            axis.plot(
                [step.t for step in those], [step.flipped for step in those], ".", color=colour, label=label
            )
    axis.set(xlabel="step t", ylabel="share of pixels that flip", ylim=(0, None))
    axis.legend(loc="upper left")
