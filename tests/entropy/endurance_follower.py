"""Lease what endurance_recorder.py records, as it comes, and hold every block against it: FOLDER BYTES SLICE.

One JSON line a slice: bytes so far, bytes per second, and what the process holds.
"""

import json
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from endurance_recorder import BLOCK, holdings, sources, stamp

from entropy import Store

AT_ONCE = 4  # blocks of a lease


def main(folder: str, total: int, piece: int) -> None:
    blocks = sources()
    with Store(folder, create=False) as store:
        for done in range(0, total, piece):
            begin = time.perf_counter()
            for number in range(done // BLOCK, (done + piece) // BLOCK, AT_ONCE):
                with store.lease(8 * BLOCK * AT_ONCE, purpose="endurance", wait=100) as lease:
                    for index in range(number, number + AT_ONCE):
                        if not np.array_equal(lease.read(8 * BLOCK), stamp(blocks, index)):
                            raise SystemExit(f"block {index} is not what was recorded")
            said = {"done": done + piece, "rate": piece / (time.perf_counter() - begin)}
            print(json.dumps(said | holdings()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
