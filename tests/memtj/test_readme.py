"""README's example runs, and the commands that it names exist."""

import re
from collections.abc import Callable
from pathlib import Path

import torch

from entropy import Store
from entropy.testing import random_blocks, record_blocks

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_example_draws_from_a_store(tmp_path: Path) -> None:
    record_blocks(tmp_path / "bits", random_blocks(1, 128, seed=5), cells=64)
    code = re.search(r"```python\n(.*?)```", README, re.DOTALL)
    assert code is not None
    names: dict[str, Callable[[str], torch.Tensor]] = {}
    exec(code[1], names)
    drawn = names["ten_normals"](str(tmp_path / "bits"))
    assert drawn.shape == (10,)
    assert drawn.abs().max() < 6.4
    assert len(set(drawn.tolist())) == 10
    with Store(tmp_path / "bits") as store:
        assert store.accounts().consumed == 640


def test_every_command_is_named_and_every_named_command_exists(memtj: Callable) -> None:
    listed = set(re.findall(r"^\| `memtj (\w+)", README, re.MULTILINE))
    shown = set(
        re.findall(r"^[│ ]+(\w+) {2,}\w", memtj("--help").stdout.split("Commands", 1)[1], re.MULTILINE)
    )
    assert listed == shown
