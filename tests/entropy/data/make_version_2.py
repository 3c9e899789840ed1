"""Make version-2.h5 and version-2.json, what a buffer of format version 2 is and what it must read as: FOLDER.

The blocks are those of version 1, with a tuning and with changes of the trims on the way. As with version 1: run once.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from make_version_1 import CELLS, RESISTANCES, append_all, cells

from entropy import ACTION_DTYPE, CELL_DTYPE, FROM_AP, FROM_BOTH, FROM_P, TUNING_DTYPE, Store
from entropy.testing import start_recording

CONDITIONS = {"target": 0.5, "voltage": 1.2, "board": "Prüfstand 1"}
ACTIONS = {
    1: [(0, FROM_P, 1e-3, 0.0, 0.45, 1), (7, FROM_AP, 0.0, -2e-12, 0.56, 2)],
    4: [(-1, FROM_BOTH, -5e-4, 1e-13, 0.51, 3)],
    6: [(0, FROM_P, 2e-3, 0.0, 0.44, 4)],
}


def tuning() -> np.ndarray:
    made = np.zeros(CELLS, TUNING_DTYPE)
    for index, (name, (kind, _)) in enumerate(TUNING_DTYPE.fields.items()):
        if kind.kind == "f":
            made[name] = (index + 1) * np.linspace(-1e-3, 1e-3, CELLS)
    made["pulses"] = 20_000
    made["reason"][3] = b"shorted"
    return made


def actions(block: int) -> np.ndarray:
    rows = np.zeros(len(ACTIONS.get(block, ())), ACTION_DTYPE)
    for row, values in zip(rows, ACTIONS.get(block, ()), strict=True):
        for name, value in zip(
            ("cell", "state", "voltage", "width", "p_estimate", "generation"), values, strict=True
        ):
            row[name] = value
    return rows


def main(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch, Store(Path(scratch) / "store") as store:
        with start_recording(
            store, cells(), bench={"name": "Prüfstand 1"}, procedure={"mode": "toggle"},
            simulated=True, device="array A", resistances=8, tuning=tuning(), conditions=CONDITIONS, actions=True,
        ) as record:  # fmt: skip
            rows = append_all(record, actions)
            record.append_resistances(np.array(RESISTANCES))
        (info,) = store.buffers()
        changed = [[block, *values] for block, each in ACTIONS.items() for values in each]
        expected = {
            "buffer": info.uuid, "recording": info.recording, "created": info.created, "cells_per_pulse": CELLS,
            "bench": {"name": "Prüfstand 1"}, "procedure": {"mode": "toggle"}, "device": "array A",
            "blocks": rows, "cells": {name: cells()[name].tolist() for name in CELL_DTYPE.names},
            "resistances": [str(ohms) for ohms in RESISTANCES], "resistances_within": 10.0, "conditions": CONDITIONS,
            "tuning": {
                name: [each.decode() if name == "reason" else each for each in tuning()[name].tolist()]
                for name in TUNING_DTYPE.names
            },
            "actions": changed,
        }  # fmt: skip
        shutil.copy(info.path, folder / "version-2.h5")
        (folder / "version-2.json").write_text(json.dumps(expected, indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
