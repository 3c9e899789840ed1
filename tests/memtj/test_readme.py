"""README's example runs, and the commands that it names exist."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from entropy import CELL_DTYPE, Store

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_example_draws_from_a_store(tmp_path: Path) -> None:
    with Store(tmp_path / "bits") as store:
        with store.record(
            cells=np.zeros(64, CELL_DTYPE), cells_per_pulse=64, bench={}, procedure={}, simulated=True
        ) as recording:
            recording.append(
                np.random.default_rng(5).integers(0, 256, 128, np.uint8), 1024, positions=1024, sequence=0,
                host_time=0.0, board_time=0.0, pulses=16, voltage=1.0, width=1e-9, read_voltage=0.1, field=0.0,
                temperature=300.0, failed_resets=0,
            )  # fmt: skip
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
