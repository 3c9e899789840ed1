"""The other process of benchmarks.store: it follows, leases, or waits for bits, and says when.

`python -m benchmarks._store_process WORK FOLDER NUMBER COUNT`. It prints a line when it is ready and one of JSON at
its end; times are of the monotonic clock, which all processes of a computer share, in ns. WORK is one of
- `follow`: read NUMBER blocks of the newest buffer through the store as they come, their CRC checked;
- `follow-plain`: the same with h5py alone, no CRC;
- `lease`: take COUNT leases of random size up to NUMBER bits, read and leave each;
- `wait`: take COUNT leases of NUMBER bits, waiting for each.
"""

import json
import random
import sys
import time
from pathlib import Path

import h5py

from entropy import Store

_PAUSE = 0.001  # s between looks where nothing new is there
_PATIENCE = 60.0  # s


def follow(folder: Path, blocks: int) -> dict[str, float]:
    """Read blocks through the store as they come."""
    with Store(folder, create=False) as store:
        buffer = store.buffers()[-1].uuid
        _ready()
        seen = 0
        began = cpu = 0.0
        while seen < blocks:
            there = len(store.rows(buffer))
            if there == seen:
                time.sleep(_PAUSE)
                continue
            if not seen:
                began, cpu = time.monotonic_ns(), time.process_time()
            for index in range(seen, there):
                store.read_block(buffer, index)
            seen = there
        return {"began": began, "ended": time.monotonic_ns(), "cpu": time.process_time() - cpu}


def follow_plain(folder: Path, blocks: int) -> dict[str, float]:
    """Read blocks with h5py alone as they come."""
    (path,) = folder.glob("*.h5")
    with h5py.File(path, "r", swmr=True) as file:
        rows, bits = file["blocks"], file["bits"]
        assert isinstance(rows, h5py.Dataset)
        assert isinstance(bits, h5py.Dataset)
        _ready()
        seen = 0
        began = cpu = 0.0
        while seen < blocks:
            rows.refresh()
            there = rows.shape[0]
            if there == seen:
                time.sleep(_PAUSE)
                continue
            if not seen:
                began, cpu = time.monotonic_ns(), time.process_time()
            bits.refresh()
            for row in rows[seen:there]:
                first = int(row["first_byte"])
                bits[first : first + (int(row["bits"]) + 7) // 8]
            seen = there
        return {"began": began, "ended": time.monotonic_ns(), "cpu": time.process_time() - cpu}


def lease(folder: Path, most: int, count: int) -> dict[str, float]:
    """Take, read and leave leases of random sizes, once the other side says go."""
    dice = random.Random()
    with Store(folder, create=False) as store:
        _ready()
        sys.stdin.readline()
        began = time.monotonic_ns()
        for _ in range(count):
            bits = dice.randint(1, most)
            with store.lease(bits, purpose="benchmark") as taken:
                taken.read(bits)
        return {"began": began, "ended": time.monotonic_ns()}


def wait(folder: Path, bits: int, count: int) -> list[int]:
    """Say when each of the leases was there."""
    taken = []
    with Store(folder, create=False) as store:
        _ready()
        for _ in range(count):
            with store.lease(bits, purpose="benchmark", wait=_PATIENCE) as got:
                taken.append(time.monotonic_ns())
                got.read(bits)
    return taken


def _ready() -> None:
    print("ready", flush=True)


def main() -> None:
    """Do one of the works; see the module."""
    work, folder, number, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
    works = {
        "follow": lambda: follow(folder, number),
        "follow-plain": lambda: follow_plain(folder, number),
        "lease": lambda: lease(folder, number, count),
        "wait": lambda: wait(folder, number, count),
    }
    print(json.dumps(works[work]()))


if __name__ == "__main__":
    main()
