"""Boards served on loopback ports, bare connections to them, labs in processes; runs of an array without a board."""

import contextlib
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvisa

from mock_hw import Lab, Selection, Sequence
from mock_hw._array import Run, stream_words
from mock_hw.testing import BoardClient, board_lab

OPERATING = "PULS:VOLT 1.34;WIDT 0.34e-9;:RES:VOLT 1.55;WIDT 0.595e-9;:SENS:VOLT 0.1"
SMALL = {"rows": 12, "columns": 10}


@pytest.fixture
def connect_to() -> Iterator[Callable[[Lab | str], BoardClient]]:
    """Connect to the board of a lab, or to a resource, until the end of the test."""
    with contextlib.ExitStack() as opened:
        yield lambda board: opened.enter_context(BoardClient(board))


@pytest.fixture
def serve() -> Iterator[Callable[..., Lab]]:
    """Serve a lab with a small board until the end of the test: `serve(*faults, seed=3, **box)`."""
    with contextlib.ExitStack() as served:
        yield lambda *faults, seed=3, **box: served.enter_context(
            board_lab(seed=seed, faults=faults, **{**SMALL, **box})
        )


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab.default(seed=20) as lab:
        yield lab


@pytest.fixture
def connect(lab: Lab, connect_to: Callable[[Lab], BoardClient]) -> Callable[[], BoardClient]:
    """Opens connections to the module's board; each test starts from a power cycle."""
    lab.power_cycle()
    return lambda: connect_to(lab)


@pytest.fixture
def client(connect: Callable[[], BoardClient]) -> BoardClient:
    return connect()


@pytest.fixture
def lab_file(tmp_path: Path) -> Callable[[str], Path]:
    """Write a lab file."""

    def write(content: str) -> Path:
        path = tmp_path / "lab.toml"
        path.write_text(content)
        return path

    return write


@pytest.fixture
def start() -> Iterator[Callable[[str], "subprocess.Popen[str]"]]:
    """Start a script in a process that is killed at the end of the test, however it ended."""
    with contextlib.ExitStack() as started:

        def begin(script: str) -> "subprocess.Popen[str]":
            process = started.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            started.callback(process.kill)  # before it is waited for
            return process

        yield begin


@pytest.fixture
def visa(lab: Lab, patience: Callable[[float], float]) -> Iterator[Callable[[str], Any]]:
    """Open a box of the module's lab by pyvisa-py until the end of the test."""
    manager = pyvisa.ResourceManager("@py")
    with contextlib.ExitStack() as opened:

        def open_box(name: str) -> Any:
            resource = manager.open_resource(
                lab.resources[name],
                read_termination="\n",
                write_termination="\n",
                timeout=1000 * patience(10),
            )
            opened.callback(resource.close)
            return resource

        yield open_box


def sequence(rows: int, columns: int, *, threshold: float = 123e3, **changes: object) -> Sequence:
    """A toggle of all cells of an array, with changes."""
    every = np.ones((rows, columns))
    toggle = Sequence(
        selection=Selection(0, rows - 1, 0, columns - 1),
        mask=every.astype(bool),
        toggle=True,
        voltage=1.15 * every,
        width=0.4e-9,
        reset_voltage=1.28,
        reset_width=0.58e-9,
        thresholds=threshold * every,
        read_voltage=0.1,
        settle=1e-6,
    )
    return replace(toggle, **changes)


def draw(run: Run, *blocks: int) -> tuple[np.ndarray, np.ndarray, int]:
    """Bits and validity (pulses, cells) of blocks drawn one after the other, and failed resets."""
    bits, valid, failures = [], [], 0
    for pulses in blocks:
        out, ok = (np.zeros(stream_words(pulses * run.cells), np.uint64) for _ in range(2))
        failed = run.bits(pulses, out, ok)
        assert failed is not None
        failures += failed
        count = pulses * run.cells
        assert not np.unpackbits(out.view(np.uint8))[count:].any()
        bits.append(np.unpackbits(out.view(np.uint8), count=count).reshape(pulses, run.cells))
        ok = np.unpackbits(ok.view(np.uint8), count=count) if run.can_be_invalid else np.ones(count, np.uint8)
        valid.append(ok.reshape(pulses, run.cells))
    return np.vstack(bits), np.vstack(valid), failures
