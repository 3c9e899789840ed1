"""Stores with known bits for the tests of `entropy`."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from entropy import CELL_DTYPE, Recording, Store

HERE = Path(__file__).parent
CELLS = 256


def cells(count: int = CELLS) -> np.ndarray:
    made = np.zeros(count, CELL_DTYPE)
    made["column"] = np.arange(count)
    made["r_p"], made["r_ap"], made["threshold"] = 78e3, 156e3, 117e3
    return made


def recording(store: Store, *, count: int = CELLS, **more) -> Recording:
    arguments = {"bench": {"name": "test bench"}, "procedure": {"mode": "toggle"}, "simulated": True} | more
    return store.record(cells=cells(count), cells_per_pulse=count, **arguments)


def append(record: Recording, outcomes: np.ndarray, *, usable: np.ndarray | None = None, count=CELLS, **more):
    """Append a block given by the outcome (0 or 1) of every position, and which of them are usable."""
    kept = outcomes if usable is None else outcomes[usable.astype(bool)]
    row = {
        "sequence": record.blocks, "host_time": 1.7e9, "board_time": 0.5, "pulses": len(outcomes) // count,
        "voltage": 1.2, "width": 1e-9, "read_voltage": 0.1, "field": 0.01, "temperature": 295.0,
        "failed_resets": 0 if usable is None else int((1 - usable).sum()),
    } | more  # fmt: skip
    return record.append(
        np.packbits(kept),
        len(kept),
        valid=None if usable is None else np.packbits(usable),
        positions=len(outcomes),
        **row,
    )


def fill(store: Store, sizes: Sequence[int], seed: int = 0, **more) -> np.ndarray:
    """Record one buffer of blocks of `sizes` pulses; returns all its bits as 0 and 1."""
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(0, 2, size * CELLS, dtype=np.uint8) for size in sizes]
    with recording(store, **more) as record:
        for block in blocks:
            append(record, block)
    return np.concatenate(blocks)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store") as opened:
        yield opened


@pytest.fixture
def start() -> Iterator[Callable[..., subprocess.Popen]]:
    """Start a script of this folder as a process of its own; killed at the end of the test."""
    running: list[subprocess.Popen] = []

    def run(script: str, *arguments: object) -> subprocess.Popen:
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield run
    for process in running:
        process.kill()
        process.communicate()


class Tools:
    """What the tests of this folder share (a conftest cannot be imported under importlib mode)."""

    cells = staticmethod(cells)
    recording = staticmethod(recording)
    append = staticmethod(append)
    fill = staticmethod(fill)
    count = CELLS


@pytest.fixture(scope="session")
def made() -> type[Tools]:
    return Tools
