#!/usr/bin/env bash
# pymeasure 0.16.0: a setpoint that is not a number, given to a property with the validator `truncated_range`.
# Source: pymeasure/instruments/validators.py, `truncated_range`: NaN is neither inside nor above the range, and what is left is taken to be below.
# Behaviour: the lower end of the range is sent, without an error: a bipolar supply for a magnet goes to its full negative voltage or current.
# `strict_range`, which most pulse generators have, refuses the same NaN; a value above the range becomes the upper end in silence, too.
# Seen on 2026-11-30: "voltage_setpoint = nan -> VOLTage -36", "current_setpoint = nan -> CURRent -12", "voltage_setpoint = 40 -> VOLTage 36".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymeasure==0.16.0
cat >"$folder/show.py" <<'PY'
from pymeasure.instruments.kepco import KepcoBOP3612
from pymeasure.instruments.validators import strict_range
from pymeasure.test import expected_protocol

asked = (
    ("voltage_setpoint", float("nan"), "VOLTage -36"),
    ("current_setpoint", float("nan"), "CURRent -12"),
    ("voltage_setpoint", 40, "VOLTage 36"),
)
for name, value, line in asked:
    with expected_protocol(KepcoBOP3612, [(line.encode(), None)]) as supply:
        setattr(supply, name, value)
    print(f"{name} = {value} -> {line}")
try:
    strict_range(float("nan"), [-36, 36])
except ValueError as refusal:
    print("strict_range:", refusal)
else:
    raise SystemExit("strict_range takes NaN")
PY
"$folder/venv/bin/python" "$folder/show.py"
