"""Read a buffer by its page alone, with whatever h5py runs this, and follow it while it grows: FILE.

Imports nothing of ours. First prints HDF5's version and what the whole file holds; then, for each line on stdin, it
refreshes the datasets and prints the blocks by then; a wrong check ends it. One JSON object a line.
"""

import json
import sys
import zlib
from typing import Any

import h5py
import numpy as np

WHOLE = ("cells", "tuning", "actions", "resistances")


def blocks(file: Any) -> list[list[int]]:
    found = []
    for row in file["blocks"][:]:
        if zlib.crc32(row.tobytes()[:140]) != row["row_crc"]:
            raise SystemExit(f"row {len(found)} is wrong")
        first, size = int(row["first_byte"]), -(-int(row["bits"]) // 8)
        data = file["bits"][first : first + size]
        if zlib.crc32(data.tobytes()) != row["crc"]:
            raise SystemExit(f"block {len(found)} is wrong")
        if row["valid_offset"] >= 0:
            offset, size = int(row["valid_offset"]), -(-int(row["positions"]) // 8)
            if zlib.crc32(file["valid"][offset : offset + size].tobytes()) != row["valid_crc"]:
                raise SystemExit(f"the mask of block {len(found)} is wrong")
        found.append([int(row["sequence"]), int(row["bits"]), int(row["crc"])])
    return found


def main(path: str) -> None:
    with h5py.File(path, "r", swmr=True) as opened:
        file: Any = opened
        rest = {
            name: zlib.crc32(np.ascontiguousarray(file[name][:]).tobytes()) for name in WHOLE if name in file
        }
        print(
            json.dumps({"hdf5": h5py.version.hdf5_version, "blocks": blocks(file), "rest": rest}), flush=True
        )
        held: dict[str, Any] = {name: file[name] for name in ("blocks", "bits", "valid")}  # one handle each
        for _ in sys.stdin:
            for dataset in held.values():
                dataset.refresh()
            print(json.dumps(blocks(held)), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
