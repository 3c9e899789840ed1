"""Starts of one checkout, in a process of its own: `python -P _start_process.py FOLDER {first-bit,cells,demo}`.

It imports what PYTHONPATH names, so only names that both checkouts of a comparison have; prints one JSON line.
"""

import importlib
import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

import drivers
import instruments
from entropy import Store
from instruments.procedures import RecordBits
from memtj._example_bench import example_bench

_moved = importlib.util.find_spec("entropy.statistics") is None
_cell_statistics = importlib.import_module(
    "entropy.quality.statistics" if _moved else "entropy.statistics"
).cell_statistics
_BITS = 1 << 25  # recorded after the first one; in the look at the cells eight times as many


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-P", "-m", "memtj", *arguments]


@contextmanager
def _lab(folder: Path) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    lab = subprocess.Popen(
        _command("lab", "--json", "--seed", "1", "--exit-with-parent"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert lab.stdin is not None
    assert lab.stdout is not None
    bench = folder / "bench.toml"
    bench.write_text(example_bench(json.loads(lab.stdout.readline())["resources"]["board"]), encoding="utf-8")
    try:
        yield bench, lab
    finally:
        lab.stdin.close()
        lab.wait(20)


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def first_bit(folder: Path) -> dict[str, float]:
    """Start a recorder beside a lab that is there; seconds until its first bit can be leased, and the processors'."""
    with _lab(folder) as (bench, lab):
        before, began = _processor_seconds(lab.pid), time.monotonic()
        recorder = subprocess.Popen(
            _command("record", str(bench), "--store", str(folder / "store"), "--bits", str(_BITS), "--json"),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while not (folder / "store" / "ledger.sqlite").exists() and recorder.poll() is None:
            time.sleep(0.02)
        with Store(folder / "store") as store, store.lease(1, purpose="benchmark", wait=120):
            seconds = time.monotonic() - began
            processor = _processor_seconds(recorder.pid) + _processor_seconds(lab.pid) - before
        recorder.wait(60)
    return {"first_bit_s": seconds, "first_bit_processor_s": processor}


def cells(folder: Path) -> dict[str, float]:
    """Record without a servo: usable outcomes a cell before the first block, and how far the cells' P spread then."""
    outcomes, fetch = [0], drivers.ArrayBoard.fetch

    def counted(board: Any) -> Any:
        block = fetch(board)
        if block is not None and block.bits is not None:
            valid = block.valid
            outcomes[0] += block.positions if valid is None else int(np.bitwise_count(valid).sum())
        return block

    drivers.ArrayBoard.fetch = counted  # pyright: ignore[reportAttributeAccessIssue]
    with (
        _lab(folder) as (bench_file, _),
        instruments.Bench.from_toml(bench_file) as bench,
        Store(folder / "store") as store,
    ):
        procedure = RecordBits(bench=bench, store=store, bits=8 * _BITS, servo="off")
        instruments.run(procedure, folder / "rows.csv")
        found = _cell_statistics(store, [buffer.uuid for buffer in store.buffers()])
        recorded = store.accounts().recorded
    used = found.counts > 0
    p, counts = found.p1[used], found.counts[used]
    noise = float(np.mean(p * (1 - p) / counts))
    return {
        "outcomes_per_cell": (outcomes[0] - recorded) / len(used),
        "spread_of_p": max(float(p.var()) - noise, 0.0) ** 0.5,
        "cells_used": float(used.sum()),
    }


def demo(folder: Path) -> dict[str, float]:
    """Run the demo as it comes: seconds to its end and to its first preview, and the memory of its processes."""
    began, preview, memory = time.monotonic(), 0.0, dict[int, int]()
    process = subprocess.Popen(
        _command("demo", "--out", str(folder / "demo"), "--seed", "1"),
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while process.poll() is None:
        if not preview and (folder / "demo" / "images.png").exists():
            preview = time.monotonic() - began
        _look_at_the_memory(process.pid, memory)
        time.sleep(0.05)
    used = os.times()
    return {
        "demo_s": time.monotonic() - began,
        "demo_processor_s": used.children_user + used.children_system,
        "first_preview_s": preview,
        "demo_memory_mb": sum(memory.values()) / 1024,
    }


def _look_at_the_memory(pid: int, memory: dict[int, int]) -> None:
    """Note VmHWM, in kB, of a process and those that it started."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
        memory[pid] = max(
            [int(line.split()[1]) for line in lines if line.startswith("VmHWM")], default=memory.get(pid, 0)
        )
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split():
            _look_at_the_memory(int(child), memory)
    except OSError:
        pass


if __name__ == "__main__":
    print(json.dumps({"first-bit": first_bit, "cells": cells, "demo": demo}[sys.argv[2]](Path(sys.argv[1]))))
