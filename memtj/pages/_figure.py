"""What the figures of all pages share: style, colours, maps of cells, and that each one is a data URI."""

import base64
import io
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

P = ParamSpec("P")

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555",
    "axes.labelcolor": "#222",
    "figure.dpi": 100,
    "legend.fontsize": 8,
    "legend.frameon": False,
}
BLUE, RED, GREEN, GREY, INK = "#23619e", "#c2452d", "#2b7a4b", "#8a8f98", "#222"
ABOVE: dict[str, Any] = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0)}  # of a legend over its axes


def png_uri(png: bytes) -> str:
    """Return PNG bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def drawn_png(
    width: float, height: float
) -> Callable[[Callable[Concatenate[Figure, P], None]], Callable[P, bytes]]:
    """Let a function that draws on a figure (of this size, inches) return the figure as PNG bytes."""

    def decorate(draw: Callable[Concatenate[Figure, P], None]) -> Callable[P, bytes]:
        @wraps(draw)
        def as_png(*args: P.args, **kwargs: P.kwargs) -> bytes:
            buffer = io.BytesIO()
            with matplotlib.rc_context(STYLE):
                figure = Figure(figsize=(width, height))
                draw(figure, *args, **kwargs)
                figure.savefig(buffer, format="png", dpi=170, bbox_inches="tight", facecolor="white")
            return buffer.getvalue()

        return as_png

    return decorate


def drawn(
    width: float, height: float
) -> Callable[[Callable[Concatenate[Figure, P], None]], Callable[P, str]]:
    """Let a function that draws on a figure (of this size, inches) return the figure as a data URI."""

    def decorate(draw: Callable[Concatenate[Figure, P], None]) -> Callable[P, str]:
        as_png = drawn_png(width, height)(draw)

        @wraps(draw)
        def as_uri(*args: P.args, **kwargs: P.kwargs) -> str:
            return png_uri(as_png(*args, **kwargs))

        return as_uri

    return decorate


def as_map(cells: NDArray[np.void], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Lay values out by row and column; float64, NaN where there is no cell.

    `cells`: CELL_DTYPE, (cells,), `values` one for each.
    """
    rows = cells["row"].astype(int) - int(cells["row"].min())
    columns = cells["column"].astype(int) - int(cells["column"].min())
    out = np.full((rows.max() + 1, columns.max() + 1), np.nan)
    out[rows, columns] = values
    return out


@drawn(4.6, 3.9)
def heat_map(
    figure: Figure, values: NDArray[np.float64], colours: str, low: float, high: float, label: str
) -> None:
    """Draw a value of every cell; (rows, columns) float64, black where it is NaN."""
    axes = figure.add_subplot()
    shades = matplotlib.colormaps[colours].with_extremes(bad=INK)
    image = axes.imshow(values, cmap=shades, vmin=low, vmax=high, interpolation="nearest")
    axes.set(xlabel="column", ylabel="row")
    axes.spines[["top", "right"]].set_visible(True)
    figure.colorbar(image, ax=axes, label=label, fraction=0.046)


def probability_map(p_one: NDArray[np.float64]) -> str:
    """Heat map of P(1) of every cell; (rows, columns) float64, NaN where a cell gave no bits."""
    away = np.abs(p_one[np.isfinite(p_one)] - 0.5)
    reach = max(0.01, float(np.quantile(away, 0.999))) if away.size else 0.5
    return heat_map(p_one, "RdBu_r", 0.5 - reach, 0.5 + reach, "fraction of ones")


def entropy_map(min_entropy: NDArray[np.float64]) -> str:
    """Heat map of the min-entropy of every cell; (rows, columns) float64, NaN where a cell gave no bits."""
    finite = min_entropy[np.isfinite(min_entropy)]
    low = float(np.quantile(finite, 0.002)) if finite.size else 0.0
    return heat_map(min_entropy, "viridis", min(low, 0.99), 1.0, "min-entropy per bit")
