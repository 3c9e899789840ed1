"""docs/device.md shows the figures that are there, and states the errors that the shipped tables state."""

import re
from pathlib import Path

import pytest

from mock_hw.physics import SwitchingTable, load_device
from mock_hw.physics._parameters import SHIPPED

DOCS = Path(__file__).parents[3] / "docs"
FIGURES = DOCS / "figures" / "device"
PAGE = (DOCS / "device.md").read_text("utf-8")


def test_the_page_shows_every_figure_and_every_figure_it_shows_is_there() -> None:
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGE)
    assert len(shown) == len(set(shown)) > 0
    there = {f"figures/device/{path.name}" for path in FIGURES.iterdir()}
    assert set(shown) == there


def test_figures_are_small_pictures() -> None:
    for path in FIGURES.iterdir():
        assert path.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n", path.name
        assert path.stat().st_size < 60_000, path.name


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.glob("*.toml")))
def test_the_page_states_the_errors_of_the_shipped_tables(name: str) -> None:
    """The row that `python docs/device_figures.py --only numbers` prints."""
    table = SwitchingTable.open(SHIPPED / f"{name}.npz", load_device(name).digest)
    assert table is not None, f"the shipped table of set {name} is missing or of other parameters"
    size = f"{len(table.voltage)} × {len(table.width)}"
    errors = f"{100 * table.largest_error:.2f} | {100 * table.rms_error:.3f}"
    assert f"| {name} | {size} | {errors} |" in PAGE.splitlines()
