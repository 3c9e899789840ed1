"""The store beside what it is made of: plain h5py, a raw file, zlib's CRC, SQLite; in one run.

`python -m benchmarks.store [--json FILE] [--rounds N]`: append, follow, lease and verify, and how long a block takes
from the wire of a board to a lease in another process. Medians over rounds in which every part has its turn, there and
back in turn. Only the ratios mean anything; each is the median of the ratios of single rounds.
"""

import argparse
import json
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import _store_parts as parts
from benchmarks._python import python

MIB = 1 << 20
TOTAL = 64 * MIB  # bytes of one measurement
SMALL_TOTAL = 16 * MIB  # of one of 64 KiB blocks
MOST_BITS = 4096  # of a lease when leases are counted
LEASES = 100  # of each process
PROCESSES = 3
LATENCY_BLOCKS = 100  # of one measurement
# Bytes of a block and blocks a second: 84 and 42 Mbit/s, a fast array and a slow one.
PACES = ((MIB, 10.0), (MIB // 16, 80.0))

# what is divided by what, and how much was asked for
RATIOS = {
    "append 1 MiB over plain h5py": ("append 1 MiB", "plain h5py append 1 MiB", 0.8),
    "append 1 MiB over plain h5py, chunk = block": ("append 1 MiB", "plain h5py append 1 MiB, chunk = block", None),
    "append 1 MiB over raw file": ("append 1 MiB", "raw file write 1 MiB", None),
    "append 64 KiB over plain h5py": ("append 64 KiB", "plain h5py append 64 KiB", None),
    "append 64 KiB over raw file": ("append 64 KiB", "raw file write 64 KiB", None),
    "follow over plain h5py": ("follow", "plain h5py follow", None),
    "lease read over plain h5py read": ("lease read", "plain h5py read", None),
    "lease read over plain h5py read + crc32": ("lease read", "plain h5py read + crc32", None),
    "verify over raw read + crc32": ("verify", "raw read + crc32", 0.8),
    "lease over two SQLite commits": ("leases", "pairs of SQLite commits", None),
    f"leases in {PROCESSES} processes over one": (f"leases in {PROCESSES} processes", "leases", None),
}  # fmt: skip


class Measured:
    """Rates by name, and latencies by name, as they come in."""

    def __init__(self) -> None:
        self.rates: dict[str, list[float]] = {}
        self.seconds: dict[str, list[float]] = {}

    def rate(self, name: str, value: float) -> None:
        """Note a rate."""
        self.rates.setdefault(name, []).append(value)

    def latencies(self, name: str, values: list[float]) -> None:
        """Note latencies, s."""
        self.seconds.setdefault(name, []).extend(values)


def works(folder: Path, boards: dict[int, int], found: Measured) -> list[Callable[[], None]]:
    """List what is measured in a round; `boards`: port by bytes of a block; everything goes into `folder`."""
    blocks, small = TOTAL // MIB, SMALL_TOTAL // (MIB // 16)
    rates: dict[str, Callable[[Path], float]] = {
        "append 1 MiB": lambda at: parts.append_store(at, MIB, blocks),
        "plain h5py append 1 MiB": lambda at: parts.append_plain(at, MIB, blocks, parts.CHUNK),
        "plain h5py append 1 MiB, chunk = block": lambda at: parts.append_plain(at, MIB, blocks, MIB),
        "raw file write 1 MiB": lambda at: parts.append_raw(at, MIB, blocks),
        "zlib.crc32 1 MiB": lambda _: parts.crc_alone(MIB, blocks),
        "append 64 KiB": lambda at: parts.append_store(at, MIB // 16, small),
        "plain h5py append 64 KiB": lambda at: parts.append_plain(at, MIB // 16, small, parts.CHUNK),
        "raw file write 64 KiB": lambda at: parts.append_raw(at, MIB // 16, small),
        "leases": lambda at: parts.leases(at, MOST_BITS, 1, LEASES),
        f"leases in {PROCESSES} processes": lambda at: parts.leases(at, MOST_BITS, PROCESSES, LEASES),
        "pairs of SQLite commits": lambda at: parts.sqlite_commits(at, 2 * LEASES) / 2,
    }

    def of_rate(name: str, work: Callable[[Path], float]) -> Callable[[], None]:
        def measure() -> None:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                found.rate(name, work(Path(place) / "store"))

        return measure

    def filled() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as place:
            _of_a_filled_store(Path(place) / "store", found)

    def following() -> None:
        for plain in (False, True):
            with tempfile.TemporaryDirectory(dir=folder) as place:
                _of_following(Path(place) / "store", plain, found)

    def latencies() -> None:
        for size, pace in PACES:
            with tempfile.TemporaryDirectory(dir=folder) as place:
                _of_latency(Path(place), size, pace, boards[size], found)

    # Appends differ by less than the disk's moods, so they have three turns a round.
    appends = [name for name in rates if "append" in name or "write" in name]
    names = [*appends, *appends, *rates]
    return [*(of_rate(name, rates[name]) for name in names), filled, following, latencies]


def _of_a_filled_store(folder: Path, found: Measured) -> None:
    parts.fill(folder, MIB, TOTAL // MIB)
    found.rate("lease read", parts.lease_read(folder))
    found.rate("plain h5py read", parts.read_plain(folder, crc=False))
    found.rate("plain h5py read + crc32", parts.read_plain(folder, crc=True))
    found.rate("verify", parts.verify(folder))
    found.rate("raw read + crc32", parts.read_raw_crc(folder))


def _of_following(folder: Path, plain: bool, found: Measured) -> None:
    name = "plain h5py follow" if plain else "follow"
    followed = parts.follow(folder, MIB, TOTAL // MIB, plain)
    found.rate(name, followed.rate)
    found.rate(f"append while {name} reads", followed.append_rate)
    found.rate(f"{name}: processor s per GiB", followed.cpu)


def _of_latency(folder: Path, size: int, pace: float, port: int, found: Measured) -> None:
    what = f"{size >> 10} KiB blocks, {pace:.0f} a second"
    wire = parts.latency_from_wire(folder / "wire", port, 8 * size, LATENCY_BLOCKS, pace)
    found.latencies(f"request on the wire → lease, {what}", wire.from_request)
    found.latencies(f"block from the wire → lease, {what}", wire.from_block)
    alone = parts.latency_from_append(folder / "alone", 8 * size, LATENCY_BLOCKS, pace)
    found.latencies(f"append → lease, {what}", alone)


def main() -> None:
    """Measure, print the table, and write the same numbers as JSON where asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    found = Measured()
    with (
        tempfile.TemporaryDirectory() as temporary,
        python("-m", "benchmarks._canned_board", str(8 * PACES[0][0]), str(LATENCY_BLOCKS)) as large,
        python("-m", "benchmarks._canned_board", str(8 * PACES[1][0]), str(LATENCY_BLOCKS)) as small,
    ):
        boards = {PACES[0][0]: int(large), PACES[1][0]: int(small)}
        order = works(Path(temporary), boards, found)
        for turn in range(options.rounds):
            for work in order if turn % 2 == 0 else reversed(order):
                work()
    result = _result(found)
    _print(result)
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _result(found: Measured) -> dict[str, Any]:
    ratios = {
        name: statistics.median(
            ours / theirs for ours, theirs in zip(found.rates[one], found.rates[other], strict=True)
        )
        for name, (one, other, _) in RATIOS.items()
    }
    latencies = {
        name: {
            "median": float(np.median(values)) * 1e3,
            "99th percentile": float(np.percentile(values, 99)) * 1e3,
            "worst": max(values) * 1e3,
            "blocks": len(values),
        }
        for name, values in found.seconds.items()
    }
    median = {name: statistics.median(values) for name, values in found.rates.items()}
    return {"rates": found.rates, "median": median, "ratios": ratios, "latency_ms": latencies}


def _print(result: dict[str, Any]) -> None:
    for name, value in result["median"].items():
        if "processor" in name:
            print(f"{name:<44}{value:>12.2f}")
        elif "leases" in name or "pairs" in name:
            print(f"{name:<44}{value:>12.0f} a second")
        else:
            print(f"{name:<44}{value / 1e6:>12.0f} MB/s{8 * value / 1e6:>10.0f} Mbit/s")
    print()
    for name, value in result["ratios"].items():
        asked = RATIOS[name][2]
        print(f"{name}: {value:.2f}" + (f" (asked: at least {asked})" if asked else ""))
    print(f"\n{'latency, ms':<62}{'median':>8}{'99 %':>8}{'worst':>8}{'blocks':>8}")
    columns = ("median", "99th percentile", "worst", "blocks")
    for name, found in result["latency_ms"].items():
        median, most, worst, blocks = (found[column] for column in columns)
        print(f"{name:<62}{median:>8.1f}{most:>8.1f}{worst:>8.1f}{blocks:>8}")


if __name__ == "__main__":
    main()
