"""Record many bytes of stamped blocks and say what that took: FOLDER BYTES ROTATE SLICE.

One JSON line a slice of SLICE bytes: bytes so far, bytes per second by the clock and by this process's processor
time, bytes per second of a plain file written right after it (the disk's own speed at that moment), and what the
process holds (bytes resident without the page cache, open files, threads).
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

import numpy as np

from entropy import Store
from entropy.testing import append_bits, start_recording

CELLS = 4096
BLOCK = 1 << 20  # bytes
STAMPED = np.dtype("<u8")


def holdings() -> dict[str, int]:
    """What this process holds by Linux's book-keeping."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Rss")}
    return {
        "resident": 1024 * (int(kilobytes["RssAnon"]) + int(kilobytes["RssShmem"])),
        "files": len(os.listdir("/proc/self/fd")),
        "threads": threading.active_count(),
    }


def sources() -> list[np.ndarray]:
    """The few random blocks that are recorded over and over, each with its number in its first bytes."""
    return [np.random.default_rng(seed).integers(0, 256, BLOCK, dtype=np.uint8) for seed in range(7)]


def stamp(blocks: list[np.ndarray], number: int) -> np.ndarray:
    block = blocks[number % len(blocks)]
    block[: STAMPED.itemsize].view(STAMPED)[0] = number
    return block


def plain_rate(path: Path, blocks: list[np.ndarray], size: int) -> float:
    with open(path, "wb", buffering=0) as file:
        begin = time.perf_counter()
        for number in range(size // BLOCK):
            file.write(blocks[number % len(blocks)].data)
        seconds = time.perf_counter() - begin
        file.truncate(0)
    return size / seconds


def main(folder: str, total: int, rotate: int, piece: int) -> None:
    blocks = sources()
    with Store(folder) as store:
        with start_recording(store, CELLS, rotate_bytes=rotate) as recording:
            print(recording.uuid, flush=True)
            for done in range(0, total, piece):
                begin, used = time.perf_counter(), time.process_time()
                for number in range(done // BLOCK, (done + piece) // BLOCK):
                    append_bits(recording, stamp(blocks, number), host_time=time.time())
                said = {
                    "done": done + piece,
                    "rate": piece / (time.perf_counter() - begin),
                    "processor_rate": piece / (time.process_time() - used),
                    "plain_rate": plain_rate(Path(folder) / "plain", blocks, piece // 4),
                }
                print(json.dumps(said | holdings()), flush=True)
    (Path(folder) / "plain").unlink()


if __name__ == "__main__":
    main(sys.argv[1], *(int(argument) for argument in sys.argv[2:]))
