"""The page on the architecture: its figure is of today's imports, and every file that it names is there."""

import importlib.util
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")


def test_the_figure_shows_the_imports_of_today() -> None:
    spec = importlib.util.spec_from_file_location(
        "architecture_figure", ROOT / "docs" / "architecture_figure.py"
    )
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    drawn = re.findall(r'id="([\w.]+)→([\w.]+)"', script.OUT.read_text(encoding="utf-8"))
    assert set(drawn) == script.arrows(), "draw it anew: python docs/architecture_figure.py"


def test_every_file_that_is_named_is_there_and_the_way_of_a_bit_is_short() -> None:
    way, places = PAGE.split("## The way of a bit")[1].split("## Where something new goes")
    steps = re.findall(r"^\| `([^`]+\.py)`", way, re.MULTILINE)
    assert 10 <= len(steps) == len(set(steps)) <= 20
    named = [*steps, *re.findall(r"`((?:\w+/)+(?:\w+\.(?:py|md|toml))?)`", places)]
    assert [path for path in named if not (ROOT / path).exists()] == []
    for line in re.findall(r"\]\(([^)#]+)\)", PAGE):
        assert (ROOT / "docs" / line).exists(), line
