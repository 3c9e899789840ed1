#!/usr/bin/env bash
# pymeasure 0.16.0: what a procedure emits into a column with a unit.
# Source: pymeasure/experiment/results.py, `CSVFormatter.format`: only int, float and complex are taken for numbers; other scalars of numpy are not.
# Behaviour: a reading that is a np.float32 (any array of single precision), a np.int64 (a count) or a np.bool_ is written as `nan`, with a warning in the log
# alone; np.float64 is kept, because it is a float. In a column without a unit the same values are kept. A measurement can so end with a file full of nan.
# Seen on 2026-11-30: "with a unit: nan,nan,nan,0.25,7; without: 0.25,7,True,0.25,7".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymeasure==0.16.0
cat >"$folder/show.py" <<'PY'
import sys
import numpy as np
from pymeasure.experiment.results import CSVFormatter

values = (np.float32(0.25), np.int64(7), np.bool_(True), np.float64(0.25), 7)
seen = []
for columns in ([f"{name} (V)" for name in "abcde"], list("abcde")):
    seen.append(CSVFormatter(columns=columns).format(dict(zip(columns, values))))
print(f"with a unit: {seen[0]}; without: {seen[1]}")
sys.exit(seen != ["nan,nan,nan,0.25,7", "0.25,7,True,0.25,7"])
PY
"$folder/venv/bin/python" "$folder/show.py"
