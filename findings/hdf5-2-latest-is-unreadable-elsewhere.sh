#!/usr/bin/env bash
# h5py 3.16.0 (HDF5 2.0.0) against h5py 3.13.0 (HDF5 1.14) and 3.8.0 (HDF5 1.12).
# Source: h5py's wheels bring their own HDF5; `libver="latest"` means whatever is the newest format of that HDF5.
# Behaviour: a table (compound type) written with libver="latest" opens in the older releases, lists its members, and fails only
# when the member is looked up, as a KeyError; a plain array beside it is read. With libver=("v110", "v110") all of them read all.
# A file that somebody wants to share is thus not tested by opening it.
# Seen on 2026-11-29: "latest: opened, ['plain', 'table'], plain read, table KeyError" from 1.14.4 and 1.12.2; "v110: … table read".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
for pins in "h5py==3.16.0 numpy==2.4.6" "h5py==3.13.0 numpy==2.2.6" "h5py==3.8.0 numpy==1.26.4"; do
  name=${pins%% *}
  python3 -m venv "$folder/$name"
  # shellcheck disable=SC2086
  "$folder/$name/bin/pip" install -q $pins
done
cat >"$folder/write.py" <<'PY'
import sys, h5py, numpy as np
for name, bounds in (("latest", "latest"), ("v110", ("v110", "v110"))):
    with h5py.File(f"{sys.argv[1]}/{name}.h5", "w", libver=bounds) as file:
        file["table"] = np.zeros(3, [("cell", "<u4"), ("voltage", "<f8")])
        file["plain"] = np.arange(3)
PY
cat >"$folder/read.py" <<'PY'
import sys, h5py
for name in ("latest", "v110"):
    with h5py.File(f"{sys.argv[1]}/{name}.h5", "r") as file:
        said = []
        for member in ("plain", "table"):
            try:
                file[member][:]
                said.append(f"{member} read")
            except Exception as error:
                said.append(f"{member} {type(error).__name__}")
        print(f"{name}: opened, {sorted(file)}, {', '.join(said)}")
PY
"$folder/h5py==3.16.0/bin/python" "$folder/write.py" "$folder"
expected="latest: opened, ['plain', 'table'], plain read, table KeyError
v110: opened, ['plain', 'table'], plain read, table read"
for name in h5py==3.13.0 h5py==3.8.0; do
  seen=$("$folder/$name/bin/python" "$folder/read.py" "$folder")
  echo "$name: $seen"
  [ "$seen" = "$expected" ]
done
