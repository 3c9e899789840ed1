#!/usr/bin/env bash
# pymeasure 0.16.0: `Instrument.measurement(..., cast=bool)` of a SCPI boolean.
# Source: pymeasure/instruments/common_base.py, `values`: a cast to bool goes through a number first, and what cannot be cast is handed on
# as the text it is.
# Behaviour: SCPI lets an instrument answer 0, 1, OFF or ON to a boolean query. "0" becomes False, "OFF" stays the text 'OFF', which is true
# in every `if`; so is any other answer ("ERR"), and 2 or 0.3 are True. A driver whose docstring promises a bool thus says "on" of an
# output, or "closed" of an interlock, that is off or open, without an error.
# Seen on 2026-11-29: "'0' -> False, '1' -> True, 'OFF' -> 'OFF', 'ON' -> 'ON', '2' -> True, '0.3' -> True, 'ERR' -> 'ERR'".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymeasure==0.16.0
cat >"$folder/show.py" <<'PY'
import sys
from pymeasure.instruments import Instrument
from pymeasure.test import expected_protocol

class Supply(Instrument):
    output_enabled = Instrument.measurement("OUTP?", """Get whether the output is on (bool).""", cast=bool)

    def __init__(self, adapter, name="supply", **kwargs):
        super().__init__(adapter, name, includeSCPI=False, **kwargs)

seen = {}
for answer in ("0", "1", "OFF", "ON", "2", "0.3", "ERR"):
    with expected_protocol(Supply, [(b"OUTP?", answer.encode())]) as supply:
        seen[answer] = supply.output_enabled
print(", ".join(f"{answer!r} -> {value!r}" for answer, value in seen.items()))
sys.exit(list(seen.values()) != [False, True, "OFF", "ON", True, True, "ERR"])
PY
"$folder/venv/bin/python" "$folder/show.py"
