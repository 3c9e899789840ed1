#!/usr/bin/env bash
# pymeasure 0.16.0: `shutdown()` of instruments that drive a device.
# Source: pymeasure/instruments/instrument.py, `shutdown`: it marks the object and writes a line of the log; few classes add commands of their own.
# Behaviour: a pulse generator, a magnet supply, a lock-in whose sine excites the device: none of them hears a command, and all their outputs stay as they
# are; nor is the connection closed. Of the classes shown only the source-meter switches its output off.
# Seen on 2026-11-30: "Keysight81160A: no lines; KepcoBOP3612: no lines; SR830: no lines; Agilent33500: no lines; Keithley2400: 33 lines, then OUTPUT 0".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pymeasure==0.16.0
cat >"$folder/show.py" <<'PY'
import sys
from unittest.mock import patch
from pymeasure.adapters import ProtocolAdapter
from pymeasure.instruments.agilent import Agilent33500
from pymeasure.instruments.keithley import Keithley2400
from pymeasure.instruments.kepco import KepcoBOP3612
from pymeasure.instruments.keysight import Keysight81160A
from pymeasure.instruments.srs import SR830


def lines(kind, answers=()):
    sent, answers = [], iter(answers)

    class Recording(ProtocolAdapter):
        def _write(self, command, **kwargs):
            sent.append(command)

        def _write_bytes(self, content, **kwargs):
            sent.append(content)

        def _read(self, **kwargs):
            return next(answers)

    instrument = kind(Recording())
    sent.clear()
    with patch("time.sleep"):
        instrument.shutdown()
    return sent


seen = {kind.__name__: len(lines(kind)) for kind in (Keysight81160A, KepcoBOP3612, SR830, Agilent33500)}
*others, last = lines(Keithley2400, ["VOLT", "0"])
print("; ".join(f"{name}: {count or 'no'} lines" for name, count in seen.items()), end="")
print(f"; Keithley2400: {len(others)} lines, then {last}")
sys.exit(any(seen.values()) or last != "OUTPUT 0")
PY
"$folder/venv/bin/python" "$folder/show.py"
