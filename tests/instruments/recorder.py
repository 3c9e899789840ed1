"""A recorder in a process of its own, for tests that interrupt or kill it: BENCH STORE CSV [WATCHDOG]."""

import sys

from entropy import Store
from instruments import Bench, run
from instruments.procedures import RecordBits

if __name__ == "__main__":
    bench_file, store_path, rows = sys.argv[1:4]
    watchdog = float(sys.argv[4]) if len(sys.argv) > 4 else 5.0
    with Store(store_path) as store, Bench.from_toml(bench_file) as bench:
        procedure = RecordBits(
            bench=bench,
            store=store,
            mode="toggle",
            bits=0,
            ahead=40_000_000,
            block_bits=2**18,
            watchdog=watchdog,
        )
        run(procedure, rows)
