#!/usr/bin/env bash
# h5py 3.16.0 (HDF5 2.0.0), one process that follows a growing dataset through two handles.
# Source: h5py's issue 2803 tells of it; seen in HDF5 1.10 to 2.0.
# Behaviour: a chunked, extendible dataset is opened twice (a reader and, say, a plotting window in one program). Once one of the two
# handles is refreshed, both give the first chunk's rows in the place of all others: no error, right shape. Closing one and
# refreshing the other mends it. The documentation of following (SWMR) speaks of one refresh per reader and not of this.
# Seen on 2026-11-29: "one handle: 0 of 1000 rows wrong; two handles, one refreshed: 936 and 936 of 1000 rows wrong; after closing
# one and refreshing: 0".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q h5py==3.16.0 numpy==2.4.6
cat >"$folder/show.py" <<'PY'
import sys, h5py, numpy as np

path = sys.argv[1] + "/growing.h5"
with h5py.File(path, "w", libver=("v110", "v110")) as file:
    rows = file.create_dataset("rows", (1000,), "<i8", maxshape=(None,), chunks=(64,))
    rows[:] = np.arange(1000)

def wrong(dataset):
    return int((dataset[:] != np.arange(1000)).sum())

with h5py.File(path, "r", swmr=True) as file:
    file["rows"].refresh()
    alone = wrong(file["rows"])
with h5py.File(path, "r", swmr=True) as file:
    first, second = file["rows"], file["rows"]
    first.refresh()
    both = wrong(first), wrong(second)
    del second
    first.refresh()
    after = wrong(first)
print(f"one handle: {alone} wrong; two handles, one refreshed: {both[0]} and {both[1]} of 1000 rows wrong; "
      f"after closing one and refreshing: {after}")
sys.exit(0 if (alone, both, after) == (0, (936, 936), 0) else 1)
PY
"$folder/venv/bin/python" "$folder/show.py" "$folder"
