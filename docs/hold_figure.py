"""The figure of the servo's page: `python docs/hold_figure.py` draws it anew, from a run of `benchmarks.hold`."""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
sys.path.insert(0, str(Path(__file__).parents[1]))

import matplotlib.pyplot as plt
import numpy as np

from benchmarks.hold import LAGS, hold

OUT = Path(__file__).parent / "figures" / "hold.png"


def main() -> None:
    """Draw P over time and the correlations, with the servo and without it."""
    off, on = (hold("B", servo, 1e9) for servo in ("off", "cells"))
    fig, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for held, name, colour in ((off, "servo off", "#c0392b"), (on, "servo on", "#1f4e79")):
        bits = np.arange(len(held.blocks)) * held.bits / len(held.blocks) / 1e9
        left.plot(bits, 0.5 + np.array(held.blocks), color=colour, lw=1.2, label=name)
        right.plot(np.arange(1, LAGS + 1), np.abs(held.lags), "o", ms=3, color=colour, label=name, mec="none")
    left.axhspan(0.495, 0.505, color="0.85", zorder=0, label="½ ± 0.005")
    left.set(
        xlabel="bits / 10⁹",
        ylabel="fraction of ones of a block",
        title="set B, 300 K + 5 K · sin (simulated)",
    )
    left.legend(frameon=False, fontsize=8, loc="lower left")
    right.axhspan(0, 5, color="0.85", zorder=0, label="within 5 σ")
    right.set(xlabel="lag / pulses of the cell", ylabel="|correlation| / σ, 10⁹ bits", yscale="symlog")
    right.set_ylim(0, 300)
    right.legend(frameon=False, fontsize=8, loc="center right")
    fig.savefig(OUT, dpi=90)


if __name__ == "__main__":
    main()
