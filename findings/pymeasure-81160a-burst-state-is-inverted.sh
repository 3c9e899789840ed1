#!/usr/bin/env bash
# pymeasure 0.16.0: `burst_state` of a channel of Keysight81160A.
# Source: pymeasure/instruments/keysight/keysight81160A.py: the values are the list [True, False], and a list that maps values maps by place: True
# is the first, 0.
# Behaviour: switching the burst on sends 0, and switching it off sends 1; reading it back turns the answer
# over as well, so a driver that compares what it set with what it reads sees nothing wrong. The property of the same name of the whole instrument is right.
# Seen on 2026-11-30: "channel True -> :BURS1:STAT 0, channel False -> :BURS1:STAT 1, answer 1 -> False; instrument True -> BURS:STAT 1".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymeasure==0.16.0
cat >"$folder/show.py" <<'PY'
from pymeasure.instruments.keysight import Keysight81160A
from pymeasure.test import expected_protocol

pairs = [
    (b":BURS1:STAT 0", None),
    (b":BURS1:STAT 1", None),
    (b":BURS1:STAT?", b"1"),
    (b"BURS:STAT 1", None),
]
with expected_protocol(Keysight81160A, pairs) as generator:
    generator.ch_1.burst_state = True
    generator.ch_1.burst_state = False
    assert generator.ch_1.burst_state is False, "the answer 1"
    generator.burst_state = True
print("channel True -> :BURS1:STAT 0, channel False -> :BURS1:STAT 1, answer 1 -> False; instrument True -> BURS:STAT 1")
PY
"$folder/venv/bin/python" "$folder/show.py"
