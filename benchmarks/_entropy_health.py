"""Rates of the health tests: bits per second of one thread, of 1 MiB blocks; read by `benchmarks.entropy`."""

import time
from collections.abc import Callable

import numpy as np
from isal import isal_zlib

from benchmarks._entropy_rows import Row
from entropy.quality.health import BlockHealth, CellHealth, Cutoffs, StreamHealth

BITS = 1 << 23
CELLS = (4096, 1000, 5)
ROUNDS = 9


def rows() -> list[Row]:
    """Measure each test by itself, and all that judges a block, its CRC-32 too; the best of some rounds, in bit/s."""
    random = np.random.default_rng(0)
    bits = random.integers(0, 256, BITS // 8, np.uint8)
    valid = np.packbits(random.random(BITS) < 0.999)
    cutoffs = Cutoffs.from_claim(0.9)
    stream = StreamHealth(cutoffs)
    measured = {"health, stream": _rate(lambda: stream.check(bits, BITS))}
    for cells in CELLS:
        each, positions = CellHealth(cutoffs, cells), BITS // cells * cells
        measured[f"health, {cells} cells"] = _rate(lambda each=each, n=positions: each.check(bits, None, n))
    each = CellHealth(cutoffs, CELLS[0])
    measured[f"health, {CELLS[0]} cells, 0.1 % of the outcomes missing"] = _rate(
        lambda: each.check(bits, valid, BITS)
    )
    for name, mask in (
        ("all of it", None),
        ("1 % of the outcomes missing", np.packbits(random.random(BITS) < 0.99)),
    ):
        judge, usable = BlockHealth(cutoffs, CELLS[0]), bits if mask is None else bits & mask
        measured[f"health, a block judged, {CELLS[0]} cells, {name}"] = _rate(
            lambda judge=judge, usable=usable, mask=mask: isal_zlib.crc32(
                judge.judge(usable, mask, BITS).bits.data
            )
        )
    return [Row(name, rate) for name, rate in measured.items()]


def _rate(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return BITS / min(seconds)


if __name__ == "__main__":
    for row in rows():
        print(f"{row.name:<60}{row.bits_per_s / 1e6:>8.0f} Mbit/s")
