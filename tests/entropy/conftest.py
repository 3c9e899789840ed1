"""Stores with known bits for the tests of `entropy`."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from entropy import Store, testing

HERE = Path(__file__).parent
CELLS = 256


def fill(store: Store, sizes: Sequence[int], seed: int = 0, **more) -> np.ndarray:
    """Record one buffer of blocks of `sizes` pulses; returns all its bits as 0 and 1."""
    rng = np.random.default_rng(seed)
    blocks = [rng.integers(0, 2, size * CELLS, dtype=np.uint8) for size in sizes]
    with testing.start_recording(store, CELLS, **more) as record:
        for block in blocks:
            testing.append_outcomes(record, block)
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

    cells = staticmethod(testing.array_cells)
    recording = staticmethod(testing.start_recording)
    append = staticmethod(testing.append_outcomes)
    fill = staticmethod(fill)
    count = CELLS


@pytest.fixture(scope="session")
def made() -> type[Tools]:
    return Tools
