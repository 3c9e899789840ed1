"""Files of ours are read by older HDF5, whole and while they grow: Debian's h5dump, h5py 3.8 (1.12) and 3.13 (1.14).

`MEMTJ_OLD_READERS` names a folder with an environment of each (`bash .ci/old-readers FOLDER` makes them): where it
is set, a missing one fails.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from entropy import ACTION_DTYPE, FROM_AP, TUNING_DTYPE, Recording, Store

FOLDER = os.environ.get("MEMTJ_OLD_READERS")
READERS = {"h5py-3.8.0": "1.12.2", "h5py-3.13.0": "1.14.6", "": ""}  # "": the one that runs the tests


def python_of(reader: str) -> str:
    if not reader:
        return sys.executable
    if FOLDER is None:
        pytest.skip("MEMTJ_OLD_READERS names no folder with environments of older h5py (.ci/old-readers)")
    found = Path(FOLDER) / reader / ("Scripts" if os.name == "nt" else "bin") / "python"
    assert found.exists(), f"{found} is missing: run .ci/old-readers {FOLDER}"
    return str(found)


@pytest.fixture
def h5dump() -> str:
    found = shutil.which("h5dump")
    if found is None and FOLDER is None:
        pytest.skip("h5dump is missing: apt-get install hdf5-tools")
    assert found is not None, "h5dump is missing: apt-get install hdf5-tools"
    return found


def record_everything(store: Store, made) -> Recording:
    """Begin a recording with all datasets in it, and a block with a mask and an action."""
    tuning = np.zeros(made.count, TUNING_DTYPE)
    tuning["reason"][3] = b"shorted"
    record = made.recording(store, resistances=8, tuning=tuning, actions=True)
    usable = np.ones(3 * made.count, np.uint8)
    usable[5::11] = 0
    actions = np.zeros(1, ACTION_DTYPE)
    actions["state"], actions["voltage"] = FROM_AP, 1e-3
    made.append(record, np.arange(len(usable)) % 2, usable=usable, actions=actions)
    record.append_resistances(np.array([78e3, 156e3]))
    return record


def append_many(record: Recording, made, blocks: int) -> None:
    """Append so many blocks that rows, bits and masks are in several chunks."""
    rng = np.random.default_rng(blocks)
    for number in range(blocks):
        usable = np.ones(30 * made.count, np.uint8)
        usable[number % made.count :: made.count] = 0
        made.append(record, rng.integers(0, 2, len(usable), dtype=np.uint8), usable=usable)


@pytest.fixture
def recorded(store, made) -> Path:
    with record_everything(store, made) as record:
        append_many(record, made, 40)
    return store.buffers()[0].path


def blocks_of(store: Store) -> list[list[int]]:
    rows = store.rows(store.buffers()[0].uuid)
    return [[int(row["sequence"]), int(row["bits"]), int(row["crc"])] for row in rows]


@pytest.mark.parametrize("reader", READERS)
def test_a_reader_of_the_page_follows_a_live_buffer(store, made, reader):
    python = python_of(reader)
    with record_everything(store, made) as record:
        append_many(record, made, 40)
        (info,) = store.buffers()
        command = [python, "-I", str(Path(__file__).with_name("old_reader.py")), str(info.path)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as follower:
            assert follower.stdin is not None
            assert follower.stdout is not None
            first = json.loads(follower.stdout.readline())
            assert first["blocks"] == blocks_of(store)
            assert first["hdf5"].startswith(READERS[reader])
            known = {
                "cells": store.cells(info.uuid), "actions": store.actions(info.uuid),
                "tuning": np.zeros(0) if (found := store.tuning(info.uuid)) is None else found[0],
            }  # fmt: skip
            rest = {name: zlib.crc32(np.ascontiguousarray(rows).tobytes()) for name, rows in known.items()}
            assert {name: first["rest"][name] for name in rest} == rest
            assert "resistances" in first["rest"]
            for _ in range(3):
                append_many(record, made, 35)
                print("more", file=follower.stdin, flush=True)
                assert json.loads(follower.stdout.readline()) == blocks_of(store)
            follower.stdin.close()
            assert follower.wait(60) == 0


def test_h5dump_reads_the_whole_file(recorded, store, h5dump):
    whole = subprocess.run([h5dump, str(recorded)], capture_output=True, text=True, timeout=60)
    assert (whole.returncode, whole.stderr) == (0, "")
    for name in ("actions", "bits", "blocks", "cells", "resistances", "tuning", "valid"):
        assert f'DATASET "{name}"' in whole.stdout
    first = subprocess.run(
        [h5dump, "-d", "/blocks", "-c", "1", str(recorded)], capture_output=True, text=True
    )
    numbers = re.findall(r"^\s+(-?[\d.e+-]+),?$", first.stdout, re.MULTILINE)
    row = store.rows(store.buffers()[0].uuid)[0]
    assert [float(number) for number in numbers] == pytest.approx([float(value) for value in row], rel=1e-5)
