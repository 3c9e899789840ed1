"""Stores with known bits for the tests of `entropy`."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from entropy import Range, Store, testing
from entropy.ledger import BitLedger

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


def recorded_block(pulses: int, index: int) -> np.ndarray:
    """The bits that recorder.py gives its block `index`."""
    return np.random.default_rng(index).integers(0, 256, pulses * CELLS // 8, dtype=np.uint8)


def spend(store: Store, bits: int) -> list[Range]:
    """Read so many bits for good; gives where they lie."""
    with store.lease(bits, purpose="test") as lease:
        lease.read(bits)
        return lease.read_ranges


def states(store: Store | BitLedger) -> tuple[int, ...]:
    """Free, leased, consumed, burned and withheld bits; all that was recorded is one of these."""
    accounts = store.accounts()
    assert accounts.balanced
    return accounts.free, accounts.leased, accounts.consumed, accounts.burned, accounts.withheld


def damage(path: Path, what: str, at: int = 0, chunk: int = 0) -> None:
    """Flip a bit of a dataset where it lies in the file."""
    with h5py.File(path, "r") as file:
        offset = file[what].id.get_chunk_info(chunk).byte_offset
    data = bytearray(path.read_bytes())
    data[offset + at] ^= 1
    path.write_bytes(data)


def interrupt(*_: object, **__: object) -> None:
    """Ctrl-C, where a test puts it."""
    raise KeyboardInterrupt


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


@pytest.fixture
def run(start: Callable[..., subprocess.Popen], patience: Callable[[float], float]) -> Callable[..., str]:
    """Run a script of this folder to its end without an error; gives what it printed."""

    def to_its_end(script: str, *arguments: object, timeout: float = 60) -> str:
        return end_of(start(script, *arguments), patience(timeout))

    return to_its_end


def end_of(process: subprocess.Popen, timeout: float) -> str:
    """Wait for the end of a script, which is no error; gives what it printed since."""
    out, errors = process.communicate(timeout=timeout)
    assert process.returncode == 0, out + errors
    assert "Traceback" not in errors
    assert "Exception ignored" not in errors
    assert "infinite loop" not in errors  # HDF5's
    return out


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
