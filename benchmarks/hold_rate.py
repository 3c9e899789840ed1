"""What the servo costs: the whole path with it and without it, in turn, and its own time for a block.

`python -m benchmarks.hold_rate [--rounds N] [--blocks N]`: recordings of 1 MiB blocks from a simulated lab in its own
process into a new store, per mode; medians over the rounds, and the ratio of recordings side by side. The board's own
share is in it: with each change of trims the simulated cells' laws are computed anew.
"""

import argparse
import statistics
import tempfile
from pathlib import Path

import instruments
from benchmarks._lab import lab
from entropy import Store
from instruments.procedures import RecordBits

BITS = 1 << 23  # of one block


def rate(bench_file: Path, folder: Path, mode: str, servo: str, blocks: int) -> tuple[float, int]:
    """Record; gives bits per second of the host's clock, and how often the servo acted."""
    with (
        tempfile.TemporaryDirectory(dir=folder) as place,
        instruments.Bench.from_toml(bench_file) as bench,
        Store(Path(place) / "store") as store,
    ):
        procedure = RecordBits(bench=bench, store=store, mode=mode, servo=servo, bits=blocks * BITS)
        summary = instruments.run(procedure, Path(place) / "rows.csv")
    return summary.record_bits_per_s, summary.servo_actions


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--blocks", type=int, default=256)
    chosen = parser.parse_args()
    with lab() as (bench_file, _):
        folder = bench_file.parent
        for mode in ("reset", "toggle"):
            measured: dict[str, list[float]] = {}
            for _ in range(chosen.rounds):
                for servo in ("off", "common", "cells"):
                    speed, actions = rate(bench_file, folder, mode, servo, chosen.blocks)
                    measured.setdefault(servo, []).append(speed)
                    print(
                        f"{mode:7} servo {servo:7} {speed / 1e6:6.0f} Mbit/s, {actions} actions", flush=True
                    )
            for servo in ("common", "cells"):
                ratio = statistics.median(
                    a / b for a, b in zip(measured[servo], measured["off"], strict=True)
                )
                print(f"{mode}: servo {servo} over servo off: {ratio:.2f}")


if __name__ == "__main__":
    main()
