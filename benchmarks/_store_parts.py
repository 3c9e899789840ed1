"""What benchmarks.store measures: each function makes its files, does one thing, and gives its rate."""

import contextlib
import itertools
import json
import mmap
import sqlite3
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from benchmarks._canned_board import CELLS
from drivers import ArrayBoard
from entropy import RecordingPlan, Store
from entropy.quality.health import BlockHealth, Cutoffs
from entropy.testing import append_bits, array_cells, start_recording
from instruments.array import Block, WorkingPoint
from instruments.recording._block_writer import BlockWriter, Delivered
from instruments.recording._health import JudgedBlock

PIECE = 1 << 20  # bytes of one read
CHUNK = 1 << 18  # bytes of a chunk of `/bits`, as the format has it


def _sources(size: int) -> list[np.ndarray]:
    return [np.random.default_rng(seed).integers(0, 256, size, np.uint8) for seed in range(4)]


def fill(folder: Path, size: int, blocks: int) -> None:
    """Make a store of `blocks` blocks of `size` bytes."""
    with Store(folder) as store, start_recording(store, CELLS) as recording:
        for data in itertools.islice(itertools.cycle(_sources(size)), blocks):
            append_bits(recording, data)


# Append: bytes per second of blocks of `size` bytes; opening and closing are left out everywhere.


def append_store(folder: Path, size: int, blocks: int) -> float:
    """Append through `Store.record`."""
    sources = _sources(size)
    with Store(folder) as store, start_recording(store, CELLS) as recording:
        return _rate(
            size * blocks,
            lambda: [append_bits(recording, sources[number % 4]) for number in range(blocks)],
        )


def append_plain(folder: Path, size: int, blocks: int, chunk: int) -> float:
    """Append to a dataset with h5py as its guide shows it: resize, assign, flush, in SWMR mode."""
    sources = _sources(size)
    folder.mkdir()
    with h5py.File(folder / "plain.h5", "w", libver=("v110", "v110")) as file:
        bits = file.create_dataset("bits", (0,), np.uint8, maxshape=(None,), chunks=(chunk,))
        file.swmr_mode = True

        def append() -> None:
            for number in range(blocks):
                bits.resize(((number + 1) * size,))
                bits[number * size :] = sources[number % 4]
                file.flush()

        return _rate(size * blocks, append)


def append_raw(folder: Path, size: int, blocks: int) -> float:
    """Write blocks to a file."""
    sources = _sources(size)
    folder.mkdir()
    with open(folder / "raw", "wb", buffering=0) as file:
        return _rate(
            size * blocks, lambda: [file.write(sources[number % 4].data) for number in range(blocks)]
        )


def crc_alone(size: int, blocks: int) -> float:
    """Compute the CRC of blocks that are in memory."""
    sources = _sources(size)
    return _rate(size * blocks, lambda: [zlib.crc32(sources[number % 4].data) for number in range(blocks)])


# Follow: another process reads the blocks of a recording as they come


@dataclass(frozen=True)
class Followed:
    """Bytes per second from the first block seen to the last one read; processor seconds per GiB of it."""

    rate: float
    cpu: float
    append_rate: float


def follow(folder: Path, size: int, blocks: int, plain: bool) -> Followed:
    """Record at full speed while another process follows."""
    sources = _sources(size)
    with Store(folder) as store, start_recording(store, CELLS) as recording:
        with other("follow-plain" if plain else "follow", folder, blocks) as process:
            began = time.perf_counter()
            for number in range(blocks):
                append_bits(recording, sources[number % 4])
            append_rate = size * blocks / (time.perf_counter() - began)
            said = _said(process)
    total = size * blocks
    return Followed(total / (said["ended"] - said["began"]) * 1e9, said["cpu"] / total * 2**30, append_rate)


# Leases


def leases(folder: Path, most: int, processes: int, count: int) -> float:
    """Take, read and leave leases of up to `most` bits in several processes at once; leases per second of all."""
    fill(folder, most, max(2, processes * count // 8))
    with contextlib.ExitStack() as stack:
        running = [stack.enter_context(other("lease", folder, most, count)) for _ in range(processes)]
        for process in running:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        said = [_said(process) for process in running]
    seconds = (max(item["ended"] for item in said) - min(item["began"] for item in said)) / 1e9
    return processes * count / seconds


def sqlite_commits(folder: Path, count: int) -> float:
    """Commit one row after the other, durably, to an SQLite database: what the disk allows; per second."""
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "plain.sqlite", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT)")
        return _rate(
            count, lambda: [db.execute("INSERT INTO rows (text) VALUES ('x')") for _ in range(count)]
        )


def lease_read(folder: Path) -> float:
    """Read a whole store through one lease, which spends it."""
    with Store(folder, create=False) as store:
        free = store.accounts().free
        with store.lease(free, purpose="benchmark") as lease:

            def read() -> None:
                for _ in range(free // (8 * PIECE)):
                    lease.read(8 * PIECE)

            return _rate(free // 8, read)


def read_plain(folder: Path, crc: bool) -> float:
    """Read the bits of a store's only buffer with h5py, piece by piece."""
    (path,) = folder.glob("*.h5")
    with h5py.File(path, "r", swmr=True) as file:
        bits = file["bits"]
        assert isinstance(bits, h5py.Dataset)
        size = bits.shape[0]

        def read() -> None:
            for at in range(0, size, PIECE):
                data = bits[at : at + PIECE]
                if crc:
                    zlib.crc32(data.data)

        return _rate(size, read)


# Verify


def verify(folder: Path) -> float:
    """Verify a store."""
    with Store(folder, create=False) as store:
        size = sum(info.bytes for info in store.buffers())
        return _rate(size, lambda: _assert_ok(store))


def _assert_ok(store: Store) -> None:
    report = store.verify()
    assert report.ok, report.problems


def read_raw_crc(folder: Path, crc32: Callable[[memoryview], int]) -> float:
    """Read the file of a store's only buffer as it is and compute its CRC in pieces."""
    (path,) = folder.glob("*.h5")
    piece = mmap.mmap(-1, PIECE)

    def read() -> None:
        with open(path, "rb", buffering=0) as file:
            while count := file.readinto(piece):
                crc32(memoryview(piece)[:count])

    return _rate(path.stat().st_size, read)


# Latency


@dataclass(frozen=True)
class Latencies:
    """Seconds to a lease in another process, block by block."""

    from_request: list[float]
    from_block: list[float]


def latency_from_wire(folder: Path, port: int, bits: int, blocks: int, rate: float) -> Latencies:
    """Fetch blocks from a board, `rate` blocks a second, and write them by the recorder's thread.

    Times run from the request for the block, and from the moment when the driver has it whole and checked.
    """
    requests: list[int] = []
    fetched: list[int] = []
    board = ArrayBoard(f"TCPIP::127.0.0.1::{port}::SOCKET", visa_library="@py")
    point = WorkingPoint("toggle", 1.0, 1e-9, 6e-9, 1.0, 1e-9, 0.1, 1e-6)
    health = BlockHealth(Cutoffs.from_claim(0.5), CELLS)
    plan = RecordingPlan(array_cells(CELLS), bench={}, procedure={}, simulated=True)
    with contextlib.closing(board), Store(folder) as store:
        writer = BlockWriter(store, plan, point, 0.0, np.empty(0), lambda _: None)
        writer.open(lambda: None)
        with other("wait", folder, bits, blocks) as process:
            for _ in _paced(blocks, rate):
                requests.append(time.monotonic_ns())
                block = board.fetch()
                fetched.append(time.monotonic_ns())
                assert block is not None
                assert block.bits is not None
                ours = Block(block.sequence, block.pulses, block.cells, block.time, block.bits, block.valid)
                judged = JudgedBlock(
                    ours, ours.valid, health.judge(ours.bits, ours.valid, ours.positions), {}
                )
                writer.put(Delivered(judged, time.time(), 300.0, acquisition=0), lambda: None)
            taken = _said(process)
        writer.finish()
    return Latencies(_steps(requests, taken), _steps(fetched, taken))


def latency_from_append(folder: Path, bits: int, blocks: int, rate: float) -> list[float]:
    """Append blocks, `rate` a second; seconds from the call of `append` to the lease in another process."""
    sources = _sources(bits // 8)
    called: list[int] = []
    with Store(folder) as store, start_recording(store, CELLS) as recording:
        with other("wait", folder, bits, blocks) as process:
            for number in _paced(blocks, rate):
                called.append(time.monotonic_ns())
                append_bits(recording, sources[number % 4])
            return _steps(called, _said(process))


def _steps(begin: list[int], end: list[int]) -> list[float]:
    return [(after - before) / 1e9 for before, after in zip(begin, end, strict=True)]


def _paced(count: int, rate: float) -> Iterator[int]:
    """Give 0 … count − 1, `rate` a second, at moments that do not keep step with anybody's polling."""
    dice = np.random.default_rng(0)
    moments = np.cumsum(dice.uniform(0.5, 1.5, count)) / rate
    began = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, began + float(moments[number]) - time.monotonic()))
        yield number


# The other process


@contextlib.contextmanager
def other(work: str, folder: Path, number: int, count: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Run benchmarks._store_process beside the benchmark; it is ready when the context is entered."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks._store_process", work, str(folder), str(number), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the process of {work!r} did not start: its error is above")
        yield process
    finally:
        process.kill()
        process.communicate()


def _said(process: subprocess.Popen[str]) -> Any:
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise RuntimeError("the other process failed: its error is above")
    return json.loads(line)


def _rate(amount: float, work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return amount / (time.perf_counter() - start)
