"""Make version-1.h5 and version-1.json, what a buffer of format version 1 is and what it must read as: FOLDER.

Run once by the writer of memtj 0.1; the two files are kept, so that every later reader is held against them. Run
it again only into another folder, and never to make a reader's test pass.
"""

import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from entropy import CELL_DTYPE, Recording, Store
from entropy.testing import append_outcomes, start_recording

CELLS = 10


def cells() -> np.ndarray:
    made = np.zeros(CELLS, CELL_DTYPE)
    made["row"], made["column"] = np.divmod(np.arange(CELLS), 5)
    made["r_p"] = 78e3 + 100 * np.arange(CELLS)
    made["r_ap"] = 2 * made["r_p"]
    made["threshold"] = 1.5 * made["r_p"]
    made["trim"] = 0.01 * (np.arange(CELLS) - 5)
    made["p_sw"] = np.linspace(0.48, 0.52, CELLS)
    made["quarantined"][3] = 1
    return made


def outcomes(pulses: int, seed: int, lost: tuple[int, ...] = ()) -> np.ndarray:
    """Give 0 or 1 for each position, −1 where it is not usable: `lost` positions, and cell 3 where any is."""
    made = np.random.default_rng(seed).integers(0, 2, (pulses, CELLS)).astype(np.int8)
    if lost:
        made[:, 3] = -1
        made.reshape(-1)[list(lost)] = -1
    return made


BLOCKS = (
    ("plain", outcomes(8, 1), {}),
    ("bits that end within a byte", outcomes(7, 2), {"health": 0}),
    ("a quarantined cell and failed resets", outcomes(9, 3, (0, 17, 44, 89)), {"failed_resets": 4}),
    ("stalled, and withheld for its health", outcomes(4, 4), {"stalled": True, "health": 5}),
    ("empty", outcomes(0, 5), {}),
    ("no position usable", np.full((2, CELLS), -1, np.int8), {"failed_resets": 20}),
    ("after a gap in the board's numbers", outcomes(40, 6, (5, 6, 7)), {"sequence": 12, "failed_resets": 3}),
)
RESISTANCES = [78e3, 156e3, 117e3, float("inf"), 1e9, 0.0]


def append_all(
    record: Recording, actions: Callable[[int], np.ndarray | None] = lambda block: None
) -> list[dict]:
    """Append the blocks, with what was changed for each; gives what they must read as."""
    rows = []
    for index, (what, block, more) in enumerate(BLOCKS):
        usable = block.reshape(-1) >= 0
        facts = {
            "sequence": index, "host_time": 1.7e9 + index, "board_time": 0.25 * index, "pulses": len(block),
            "voltage": 1.2, "width": 1e-9, "read_voltage": 0.1, "field": 0.01, "temperature": 295.5,
            "failed_resets": 0, "health": 0, "stalled": False,
        } | more  # fmt: skip
        mask = None if usable.all() else usable
        outcomes = np.maximum(block.reshape(-1), 0).astype(np.uint8)
        append_outcomes(record, outcomes, mask, actions(index), **facts)
        text = ["".join("-01"[value + 1] for value in pulse) for pulse in block]
        rows.append({"what": what, "outcomes": text} | {name: float(facts[name]) for name in facts})
    return rows


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, Store(Path(scratch) / "store") as store:
        with start_recording(
            store, cells(), bench={"name": "Prüfstand 1"}, procedure={"mode": "toggle"},
            simulated=True, device="array A", resistances=8,
        ) as record:  # fmt: skip
            rows = append_all(record)
            record.append_resistances(np.array(RESISTANCES))
        (info,) = store.buffers()
        described = {name: cells()[name].tolist() for name in CELL_DTYPE.names}
        expected = {
            "buffer": info.uuid, "recording": info.recording, "created": info.created, "cells_per_pulse": CELLS,
            "bench": {"name": "Prüfstand 1"}, "procedure": {"mode": "toggle"}, "device": "array A",
            "blocks": rows, "cells": described, "resistances": [str(ohms) for ohms in RESISTANCES],
            "resistances_within": 10.0,
        }  # fmt: skip
        shutil.copy(info.path, folder / "version-1.h5")
        (folder / "version-1.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
