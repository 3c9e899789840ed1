"""Normal numbers a second from recorded bits against `torch.randn` on as many threads, for every width of the map.

`python -m benchmarks.noise [--json FILE] [--pairs N] [--numbers N]`: alternating pairs of `torch.randn` without and
with `hardware_noise`: from a lease of recorded bits as they are and through the XOR of two, and the map alone, from
bits in memory into a tensor that is there. The bits are recorded beforehand into a temporary store, so its files are
likely in the system's cache; the lease is taken before the clock starts. Only the ratios mean anything. `--clock cpu`
measures this thread's processor time instead of the time that passes, for one thread on a machine that is busy.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.sampling import record
from entropy import Conditioning, NoConditioning, Store, Xor
from sampler import NORMAL_WIDTHS, LeaseSource, hardware_noise, normal_bits, normals

_PATHS: dict[str, Conditioning | None] = {"map alone": None, "lease": NoConditioning(), "lease, xor2": Xor(2)}


_CLOCKS = {"wall": time.perf_counter, "cpu": time.thread_time}
Clock = Callable[[], float]


class Row(NamedTuple):
    """Normals a second of one way on so many threads, torch's beside it, and the median of the pairs' ratios."""

    width: int
    threads: int
    path: str
    normals_per_s: float
    randn_per_s: float
    ratio: float
    lowest: float
    highest: float


def pairs_of(ours: Callable[[], object], numbers: int, pairs: int, clock: Clock) -> list[tuple[float, float]]:
    """Measure (ours, torch.randn) in numbers a second; who goes first alternates; the first pair is not counted."""

    def plain() -> object:
        return torch.randn(numbers)

    found = []
    for pair in range(pairs + 1):
        if pair % 2:
            b, a = _rate(plain, numbers, clock), _rate(ours, numbers, clock)
        else:
            a, b = _rate(ours, numbers, clock), _rate(plain, numbers, clock)
        found.append((a, b))
    return found[1:]


def map_alone(width: int, threads: int, numbers: int, pairs: int, clock: Clock) -> list[tuple[float, float]]:
    """Map bits in memory into the same tensor, again and again."""
    packed = np.frombuffer(os.urandom(normal_bits(numbers, width) // 8), np.uint8)
    out = torch.empty(numbers).numpy()
    return pairs_of(
        lambda: normals(packed, out, width=width, count=numbers, threads=threads), numbers, pairs, clock
    )


def from_lease(
    store: Store, conditioning: Conditioning, width: int, numbers: int, pairs: int, clock: Clock
) -> list[tuple[float, float]]:
    """Draw new tensors by torch.randn with the hook on, each from bits of the lease that were never read."""
    needed = conditioning.bits_in(normal_bits(numbers, width)) * (pairs + 1)

    def draw() -> object:
        return torch.randn(numbers)

    def hooked() -> float:
        with hardware_noise(source, bits_per_normal=width):
            return _rate(draw, numbers, clock)

    found = []
    with store.lease(needed, purpose="benchmark") as lease:
        source = LeaseSource(lease, conditioning)
        for pair in range(pairs + 1):
            if pair % 2:
                b, a = _rate(draw, numbers, clock), hooked()
            else:
                a, b = hooked(), _rate(draw, numbers, clock)
            found.append((a, b))
    return found[1:]


def _rate(work: Callable[[], object], numbers: int, clock: Clock) -> float:
    start = clock()
    work()
    return numbers / (clock() - start)


def rows(threads: int, numbers: int, pairs: int, clock: Clock) -> list[Row]:
    """Measure all widths and ways on so many threads."""
    torch.set_num_threads(threads)
    result = []
    recorded = [c.bits_in(normal_bits(numbers, w)) for c in _PATHS.values() if c for w in NORMAL_WIDTHS]
    with tempfile.TemporaryDirectory() as folder, Store(Path(folder) / "store") as store:
        record(store, sum(recorded) * (pairs + 1))
        for width in NORMAL_WIDTHS:
            for path, conditioning in _PATHS.items():
                if conditioning is None:
                    found = map_alone(width, threads, numbers, pairs, clock)
                else:
                    found = from_lease(store, conditioning, width, numbers, pairs, clock)
                ratios = [a / b for a, b in found]
                medians = (statistics.median(a for a, _ in found), statistics.median(b for _, b in found))
                row = Row(width, threads, path, *medians, statistics.median(ratios), min(ratios), max(ratios))
                result.append(row)
    return result


def _print(found: list[Row]) -> None:
    print("normals a second over torch.randn's on as many threads: median of the pairs (lowest to highest)")
    print(f"{'bits':>5} {'threads':>8}" + "".join(f"{path:>26}" for path in _PATHS))
    for width in NORMAL_WIDTHS:
        for threads in sorted({row.threads for row in found}):
            cells = [row for row in found if (row.width, row.threads) == (width, threads)]
            line = (f"{row.ratio:>10.2f} ({row.lowest:.2f} to {row.highest:.2f})" for row in cells)
            print(f"{width:>5} {threads:>8}" + "".join(f"{cell:>26}" for cell in line))
    print("asked: at 32 bits, at least 1.0")


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.noise", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--numbers", type=int, default=1 << 21, help="of one draw")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clock", choices=list(_CLOCKS), default="wall")
    options = parser.parse_args()
    if options.clock == "cpu" and options.threads != [1]:
        parser.error("--clock cpu measures one thread: add --threads 1")
    clock = _CLOCKS[options.clock]
    found = [
        row for threads in options.threads for row in rows(threads, options.numbers, options.pairs, clock)
    ]
    _print(found)
    if options.json:
        result = {
            "numbers": options.numbers,
            "pairs": options.pairs,
            "rows": [row._asdict() for row in found],
        }
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
