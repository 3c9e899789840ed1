#!/usr/bin/env bash
# pyvisa 1.16.2 and pyvisa-py 0.8.1: open_resource of TCPIP::host::port::SOCKET where nothing listens, and where the other end closes.
# Source: pyvisa-py's tcpip.py: the result of connect_ex is not looked at; a receive of no bytes counts as nothing received yet.
# Behaviour: opening the resource of an instrument that is switched off succeeds. The first write raises Python's ConnectionRefusedError
# (no VisaIOError, so `except pyvisa.Error` lets it through). An instrument that closes the connection is reported as a time-out, after the whole of it.
# A program that opens its instruments first and then "knows" that they are there knows nothing.
# Seen on 2026-11-29: "closed port: opened, then ConnectionRefusedError, a VisaIOError: False; hung up: VI_ERROR_TMO after 1.0 s".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyvisa==1.16.2 pyvisa-py==0.8.1
cat >"$folder/show.py" <<'PY'
import socket, sys, threading, time
import pyvisa

def opened(port):
    return pyvisa.ResourceManager("@py").open_resource(
        f"TCPIP::127.0.0.1::{port}::SOCKET", read_termination="\n", write_termination="\n", timeout=1000)

with socket.create_server(("127.0.0.1", 0)) as server:
    free = server.getsockname()[1]
session = opened(free)
try:
    session.query("*IDN?")
    raised = None
except Exception as error:
    raised = error
server = socket.create_server(("127.0.0.1", 0))

def hang_up():
    wire, _ = server.accept()
    wire.recv(100)
    wire.close()

threading.Thread(target=hang_up, daemon=True).start()
session = opened(server.getsockname()[1])
start = time.monotonic()
try:
    session.query("*IDN?")
    code = "answered"
except pyvisa.errors.VisaIOError as error:
    code = error.abbreviation
took = time.monotonic() - start
print(f"closed port: opened, then {type(raised).__name__}, a VisaIOError: {isinstance(raised, pyvisa.errors.VisaIOError)}; "
      f"hung up: {code} after {took:.1f} s")
sys.exit(not (type(raised) is ConnectionRefusedError and code == "VI_ERROR_TMO" and took > 0.9))
PY
"$folder/venv/bin/python" "$folder/show.py"
