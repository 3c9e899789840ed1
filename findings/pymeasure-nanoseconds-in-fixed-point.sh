#!/usr/bin/env bash
# pymeasure 0.16.0: widths and periods of pulses that are sent with `%f`.
# Source: pymeasure/instruments/agilent/agilent33220A.py, `pulse_width`: "FUNC:PULS:WIDT %f", its range from 20 ns; and the same in Rigol DG800.
# Behaviour: six digits behind the point are microseconds: each width below half of one is sent as 0.000000 and each other is rounded to whole
# microseconds, although the property takes the value and the instrument could make it.
# Seen on 2026-11-30: "20 ns -> FUNC:PULS:WIDT 0.000000", "1.4 us -> FUNC:PULS:WIDT 0.000001".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymeasure==0.16.0
cat >"$folder/show.py" <<'PY'
from pymeasure.instruments.agilent import Agilent33220A
from pymeasure.test import expected_protocol

for said, width, line in (("20 ns", 20e-9, "FUNC:PULS:WIDT 0.000000"), ("1.4 us", 1.4e-6, "FUNC:PULS:WIDT 0.000001")):
    with expected_protocol(Agilent33220A, [(line.encode(), None)]) as generator:
        generator.pulse_width = width
    print(f"{said} -> {line}")
PY
"$folder/venv/bin/python" "$folder/show.py"
