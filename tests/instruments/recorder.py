"""A recorder in a process of its own, for tests that interrupt or kill it: BENCH STORE CSV [WATCHDOG]."""

import sys

from entropy import Store
from instruments import Bench, run
from instruments.procedures import RecordBits


def recording(bench: Bench, store: Store, watchdog: float = 5.0) -> RecordBits:
    """A recording without an end, a little ahead of consumers that do not come."""
    return RecordBits(
        bench=bench,
        store=store,
        mode="toggle",
        bits=0,
        ahead=8_000_000,
        block_bits=2**18,
        calibrate=False,
        watchdog=watchdog,
    )


if __name__ == "__main__":
    bench_file, store_path, rows, *more = sys.argv[1:]
    with Store(store_path) as store, Bench.from_toml(bench_file) as bench:
        run(recording(bench, store, *map(float, more)), rows)
