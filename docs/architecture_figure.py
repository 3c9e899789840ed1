"""The figure of the architecture's page: `python docs/architecture_figure.py` draws it anew from the imports."""

import ast
import sys
import textwrap
from pathlib import Path

import grimp
import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = Path(__file__).parents[1]
OUT = Path(__file__).parent / "figures" / "architecture.svg"

# Where each package stands: left, bottom, width, height. An arrow down is allowed, one up is not.
PLACES = {
    "memtj": (2, 71, 106, 18),
    "instruments": (2, 35, 52, 27),
    "sampler": (60, 35, 38, 27),
    "drivers": (2, 2, 20, 24),
    "entropy": (28, 2, 50, 24),
    "mock_hw": (84, 2, 24, 24),
}
BLUE, GREY, INK = "#23619e", "#8a8f98", "#16202b"

Arrow = tuple[str, str]


def arrows() -> set[Arrow]:
    """Who imports whom: of two packages, and of two parts (packages in it) of one."""
    graph = grimp.build_graph(*PLACES, cache_dir=None)
    parts = {name for package in PLACES for name in graph.find_children(package) if graph.find_children(name)}
    found = set()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = module.split("."), imported.split(".")
            depth = 1 if ends[0][0] != ends[1][0] else 2
            importer, other = (".".join(end[:depth]) for end in ends)
            if importer != other and (depth == 1 or {importer, other} <= parts):
                found.add((importer, other))
    return found | {(part, part) for part in parts}  # a part that imports none is drawn, too


def main() -> None:
    """Draw every package with its parts, and an arrow from each to what it imports."""
    style = {"svg.fonttype": "none", "svg.hashsalt": "memtj", "font.size": 8, "font.family": "sans-serif"}
    with matplotlib.rc_context(style):
        figure = Figure(figsize=(11, 9.1))
        axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 110), ylim=(0, 91))
        axes.axis("off")
        drawn = arrows()
        for package, place in PLACES.items():
            _package(axes, package, place, {arrow for arrow in drawn if arrow[0].startswith(f"{package}.")})
        for importer, imported in sorted(arrow for arrow in drawn if "." not in arrow[0]):
            _between(axes, importer, imported)
        figure.savefig(OUT, metadata={"Date": None, "Creator": None})


def _package(axes: Axes, package: str, place: tuple[float, float, float, float], own: set[Arrow]) -> None:
    left, bottom, width, height = place
    _box(axes, place, package, "#f4f6f8")
    axes.text(left + 1.2, bottom + height - 1.4, package, fontsize=11, weight="bold", va="top", color=INK)
    words = textwrap.fill(_first_sentence(package), int(1.15 * width))
    axes.text(left + 1.2, bottom + height - 4.0, words, fontsize=7, va="top", color="#5b6774")
    levels = _levels(own)
    rows = max(levels.values()) + 1
    boxes = {}
    for level in range(rows):
        parts = sorted(part for part, at in levels.items() if at == level)
        aside = (
            0.13 * (-1) ** level if len(parts) == 1 and rows > 2 else 0
        )  # arrows pass by what lies between
        for number, part in enumerate(parts):
            x = left + width * ((number + 0.5) / len(parts) + aside)
            y = bottom + 2.2 + (height - 9.5) * (level + 0.35) / rows
            label = part.split(".")[1]
            half = 0.42 * len(label) + 0.9
            boxes[part] = _box(axes, (x - half, y - 1.3, 2 * half, 2.6), _name(part, part), "white")
            axes.text(x, y - 0.1, label, ha="center", va="center", color=INK)
    for importer, imported in sorted(own):
        if importer != imported:
            _arrow(axes, importer, imported, boxes[importer], boxes[imported])


def _arrow(axes: Axes, importer: str, imported: str, start: FancyBboxPatch, end: FancyBboxPatch) -> None:
    line = FancyArrowPatch(
        _centre(start),
        _centre(end),
        patchA=start,
        patchB=end,
        arrowstyle="-|>",
        mutation_scale=7,
        color=GREY,
        lw=0.8,
        shrinkA=0,
        shrinkB=1,
        connectionstyle="arc3,rad=0.12",
        gid=_name(importer, imported),
    )
    axes.add_patch(line)


def _centre(box: FancyBboxPatch) -> tuple[float, float]:
    return box.get_x() + box.get_width() / 2, box.get_y() + box.get_height() / 2


def _levels(own: set[Arrow]) -> dict[str, int]:
    """Give each part its row: above all that it imports."""
    levels = {importer: 0 for importer, _ in own}
    for _ in levels:
        for importer, imported in own:
            if importer != imported and (imported, importer) not in own:
                levels[importer] = max(levels[importer], levels[imported] + 1)
    return levels


def _between(axes: Axes, importer: str, imported: str) -> None:
    """Draw the arrow from one package down to another, where nothing stands between them."""
    (left, bottom, width, _), (under, low, breadth, height) = PLACES[importer], PLACES[imported]
    first, last = max(left, under), min(left + width, under + breadth)
    x = (first + last) / 2
    if importer == "memtj":
        x = {"entropy": 57.0, "mock_hw": 103.0}.get(imported, x)
    line = FancyArrowPatch(
        (x, bottom),
        (x, low + height),
        arrowstyle="-|>",
        mutation_scale=14,
        color=BLUE,
        lw=1.8,
        shrinkA=0,
        shrinkB=0,
        gid=_name(importer, imported),
    )
    axes.add_patch(line)


def _box(axes: Axes, place: tuple[float, float, float, float], name: str, colour: str) -> FancyBboxPatch:
    left, bottom, width, height = place
    style = "round,pad=0,rounding_size=0.7"
    box = FancyBboxPatch(
        (left, bottom), width, height, boxstyle=style, facecolor=colour, edgecolor="#c3cad2", gid=name
    )
    axes.add_patch(box)
    return box


def _name(importer: str, imported: str) -> str:
    """Name an arrow (or, where both are one, a part) in the file."""
    return f"{importer}→{imported}"


def _first_sentence(package: str) -> str:
    text = ast.get_docstring(ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))) or ""
    return " ".join(text.split("\n\n")[0].split())


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
