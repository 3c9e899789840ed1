"""One recording from a simulated lab in a process of its own, in whichever checkout PYTHONPATH names.

`python -P benchmarks/_recording_process.py FOLDER MODE BLOCKS` prints one line of JSON. FOLDER holds `bench.toml`,
whose resource is the word RESOURCE. What is imported here is public: another checkout may have other private names.
"""

import contextlib
import csv
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import instruments
from entropy import Store
from instruments.procedures import RecordBits

_BITS = 1 << 23  # of one block
_LOOK = 0.004  # s between looks at how many blocks are in the store: rows, which cost less than asking for progress
_SEEN = "Host time (s)"


def _lab_seconds(pid: int) -> float:
    """Processor seconds of another process; NaN where the system does not say."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(") ")[2].split()
    except OSError:
        return float("nan")
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _record(folder: Path, mode: str, blocks: int, lab: int) -> dict[str, float]:
    began: list[tuple[float, float]] = []  # processor seconds of both when the first block is asked for
    times: list[float] = []  # when so many blocks were in the store
    over = threading.Event()
    with (
        instruments.Bench.from_toml(folder / "bench.toml") as bench,
        Store(folder / "store") as store,
    ):
        procedure = RecordBits(bench=bench, store=store, mode=mode, bits=blocks * _BITS)

        def look() -> None:
            while procedure.progress.stage != "recording":
                if over.wait(_LOOK):
                    return
            began.append((time.process_time(), _lab_seconds(lab)))
            with (folder / "rows.csv").open("rb") as rows:
                ahead = 1  # the line of the columns' names
                while not over.wait(_LOOK):
                    lines = [line for line in rows.read().splitlines() if not line.startswith(b"#")]
                    times.extend([time.time()] * (len(lines) - ahead))
                    ahead -= min(ahead, len(lines))

        watching = threading.Thread(target=look)
        watching.start()
        try:
            summary = instruments.run(procedure, folder / "rows.csv")
        finally:
            over.set()
            watching.join()
        used = time.process_time() - began[0][0], _lab_seconds(lab) - began[0][1]
    with (folder / "rows.csv").open(encoding="utf-8") as file:
        rows = csv.DictReader(line for line in file if not line.startswith("#"))
        fetched = [float(row[_SEEN]) for row in rows]
    waits = [there - then for there, then in zip(times, fetched, strict=False)]
    return {
        "bits_per_s": summary.record_bits_per_s,
        "recorder_s_per_gbit": used[0] / summary.bits * 1e9,
        "lab_s_per_gbit": used[1] / summary.bits * 1e9,
        "leasable_after_s": statistics.median(waits) if waits else float("nan"),
    }


def main() -> None:
    """Serve a lab, record from it, and print what was measured."""
    folder, mode, blocks = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    bench = folder / "bench.toml"
    with contextlib.ExitStack() as stack:
        lab = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-P", "-m", "memtj", "lab", "--json", "--exit-with-parent"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        assert lab.stdout is not None
        resource = json.loads(lab.stdout.readline())["resources"]["board"]
        bench.write_text(bench.read_text(encoding="utf-8").replace("RESOURCE", resource), encoding="utf-8")
        print(json.dumps(_record(folder, mode, blocks, lab.pid)), flush=True)


if __name__ == "__main__":
    main()
