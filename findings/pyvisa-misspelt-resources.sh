#!/usr/bin/env bash
# pyvisa 1.16.2: resource names that are nearly right.
# Source: pyvisa/rname.py and highlevel.py (`open_resource` falls back to a bare Resource where a name cannot be parsed, and then sets the
# keywords of the caller on it).
# Behaviour: a socket's port without ::SOCKET is a right name of something else: TCPIP::host::5025 is a VXI-11 instrument whose LAN device is called
# "5025", so the time-out that follows speaks of a port nobody asked for. The class has to be in capitals though VISA names are said to be
# case-insensitive: tcpip::host::5025::socket has "too many parts". And opening a name that cannot be parsed (ASLR3::INSTR for ASRL3::INSTR) with keywords says that
# 'read_termination' is no valid attribute, and nothing of the name.
# Seen on 2026-11-29: the four lines that are compared below.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyvisa==1.16.2 pyvisa-py==0.8.1
cat >"$folder/show.py" <<'PY'
import sys
import pyvisa
from pyvisa.rname import ResourceName

def parsed(name):
    try:
        found = ResourceName.from_string(name)
        return f"{type(found).__name__}, LAN device {getattr(found, 'lan_device_name', None)!r}"
    except Exception as error:
        return type(error).__name__

seen = [f"{name}: {parsed(name)}" for name in
        ("TCPIP::192.0.2.1::5025::SOCKET", "TCPIP::192.0.2.1::5025", "tcpip::192.0.2.1::5025::socket")]
try:
    pyvisa.ResourceManager("@py").open_resource("ASLR3::INSTR", read_termination="\n")
    said = "opened"
except Exception as error:
    said = f"{type(error).__name__}: {error}"
seen.append(f"ASLR3::INSTR opened with read_termination: {said}")
print("\n".join(seen))
PY
"$folder/venv/bin/python" "$folder/show.py" | tee "$folder/seen"
diff "$folder/seen" - <<'SEEN'
TCPIP::192.0.2.1::5025::SOCKET: TCPIPSocket, LAN device None
TCPIP::192.0.2.1::5025: TCPIPInstr, LAN device '5025'
tcpip::192.0.2.1::5025::socket: InvalidResourceName
ASLR3::INSTR opened with read_termination: ValueError: 'read_termination' is not a valid attribute for type Resource
SEEN
