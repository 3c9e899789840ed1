"""Let another program spoil the buffer that is being recorded, in each way at each moment: FOLDER.

In a process of its own, which ends: HDF5 searches for ever for what it does not find in such a file. Prints one JSON
object: for each "way, moment" what was said, the blocks that are left, and the accounts, as the next one finds them.
"""

import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from entropy import Recording, Store, StoreError
from entropy.testing import append_bits, start_recording

CELLS = 64
BLOCK = 1024  # bytes


def foreign(**more: Any) -> bytes:
    memory = io.BytesIO()
    with h5py.File(memory, "w", **more) as file:
        file["mine"] = np.arange(1000)
    return memory.getvalue()


def put_in_place(path: Path) -> None:
    other = path.with_suffix(".other")
    other.write_bytes(path.read_bytes())
    os.replace(other, path)


def scribble(path: Path) -> None:
    with open(path, "r+b") as file:
        file.write(bytes(4096))


def hollow(path: Path, left: int = 512) -> None:
    """Cut it short and let it grow again, as it is where that happens in the middle of a write."""
    size = path.stat().st_size
    os.truncate(path, left)
    os.truncate(path, size)


def hollow_the_bits(path: Path) -> None:
    """Do so behind what HDF5 made first."""
    with h5py.File(path, "r", swmr=True) as file:
        hollow(path, file["bits"].id.get_chunk_info(0).byte_offset)


WAYS: dict[str, Callable[[Path], object]] = {
    "made anew": lambda path: path.write_bytes(foreign()),
    "made anew, latest": lambda path: path.write_bytes(foreign(libver="latest")),
    "emptied": lambda path: os.truncate(path, 0),
    "halved": lambda path: os.truncate(path, path.stat().st_size // 20),
    "hollowed": hollow,
    "hollowed late": hollow_the_bits,
    "scribbled": scribble,
    "replaced": put_in_place,
    "deleted": os.remove,
}


def known(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, BLOCK, dtype=np.uint8)


def record(recording: Recording, number: int) -> None:
    append_bits(recording, known(number))
    recording.append_resistances(np.ones(1))


def spoil(
    folder: Path, spoils: Callable[[Path], object], blocks: int, then: Callable[[Recording], object]
) -> dict:
    said = ""
    with Store(folder) as store:
        try:
            with start_recording(
                store, CELLS, rotate_bytes=2 * BLOCK, resistances=8, durable=None
            ) as recording:
                for number in range(blocks):
                    record(recording, number)
                (path,) = [info.path for info in store.buffers() if info.uuid == recording.buffer]
                spoils(path)
                then(recording)
        except StoreError as error:
            said = str(error)
    with Store(folder) as store:
        first = store.buffers()[0]
        left = [np.array_equal(store.read_block(first.uuid, n)[0], known(n)) for n in range(first.blocks)]
        accounts = store.accounts()
        return {
            "said": said,
            "left": left,
            "accounts": dataclasses.asdict(accounts),
            "balanced": accounts.balanced,
        }


# two blocks make a segment: after how many it happens, and what the recorder does then
MOMENTS: dict[str, tuple[int, Callable[[Recording], object]]] = {
    "before a block": (3, lambda recording: record(recording, 3)),
    "before a new segment": (4, lambda recording: record(recording, 4)),
    "before resistances": (3, lambda recording: recording.append_resistances(np.ones(1))),
    "at the end": (3, lambda _: None),
}


def main(folder: Path) -> None:
    found = {}
    for way, spoils in WAYS.items():
        for moment, (blocks, then) in MOMENTS.items():
            found[f"{way}, {moment}"] = spoil(folder / str(len(found)), spoils, blocks, then)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
