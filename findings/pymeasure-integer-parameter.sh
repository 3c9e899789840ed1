#!/usr/bin/env bash
# pymeasure 0.16.0: IntegerParameter, the way in which a procedure takes its counts.
# Source: pymeasure/experiment/parameters.py, IntegerParameter.convert: `int(value)` of whatever comes.
# Behaviour: a count of 1.5 pulses is taken as 1, one of 0.9 as 0 and True as 1, without a word; only what the results file keeps tells. The bounds
# are looked at after the cut, so 10.9 passes a maximum of 10. FloatParameter, beside it, refuses what is out of bounds before and after.
# Seen on 2026-11-29: "1.5 -> 1, 0.9 -> 0, True -> 1, '7 ' -> 7, 10.9 with a maximum of 10 -> 10, 11 refused".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymeasure==0.16.0
cat >"$folder/show.py" <<'PY'
import sys
from pymeasure.experiment import IntegerParameter

def taken(value):
    pulses = IntegerParameter("pulses", minimum=0, maximum=10)
    try:
        pulses.value = value
        return f"{value!r} -> {pulses.value!r}"
    except Exception as error:
        return f"{value!r} refused ({type(error).__name__})"

seen = ", ".join(taken(value) for value in (1.5, 0.9, True, "7 ", 10.9, 11))
print(seen)
sys.exit(seen != "1.5 -> 1, 0.9 -> 0, True -> 1, '7 ' -> 7, 10.9 -> 10, 11 refused (ValueError)")
PY
"$folder/venv/bin/python" "$folder/show.py"
