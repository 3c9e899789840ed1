#!/usr/bin/env bash
# pyvisa 1.16.2 and pyvisa-py 0.8.1, an instrument on a raw TCP socket (TCPIP::host::port::SOCKET).
# Source: pyvisa-py's tcpip.py; a socket has no message numbers, and nothing is thrown away when a read times out.
# Behaviour: an instrument that once answers after the time-out shifts every later answer by one: query("TEMP?") raises, the next
# query("OUTP?") returns the temperature, and so on for ever, without an error. Nothing else tells of it. `clear()` helps, whose
# meaning elsewhere is a device clear: here it only empties the receive buffer, so it helps once the late answer has come.
# Seen on 2026-11-29: "TEMP? raised VI_ERROR_TMO; OUTP? -> '300.1'; VOLT? -> '0'; after clear(): TEMP? -> '300.1'".
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q pyvisa==1.16.2 pyvisa-py==0.8.1
cat >"$folder/show.py" <<'PY'
import socket, sys, threading, time
import pyvisa

ANSWERS = {"TEMP?": "300.1", "OUTP?": "0", "VOLT?": "1.25"}
server = socket.create_server(("127.0.0.1", 0))

def instrument():
    wire, _ = server.accept()
    late = True
    for line in wire.makefile("r"):
        if late:
            time.sleep(0.5)  # busy, once
            late = False
        wire.sendall((ANSWERS[line.strip()] + "\n").encode())

threading.Thread(target=instrument, daemon=True).start()
manager = pyvisa.ResourceManager("@py")
session = manager.open_resource(f"TCPIP::127.0.0.1::{server.getsockname()[1]}::SOCKET",
                                read_termination="\n", write_termination="\n", timeout=200)
seen = []
try:
    session.query("TEMP?")
except pyvisa.errors.VisaIOError as error:
    seen.append(f"TEMP? raised {error.abbreviation}")
time.sleep(0.6)
seen += [f"{question} -> {session.query(question)!r}" for question in ("OUTP?", "VOLT?")]
time.sleep(0.2)
session.clear()
seen.append(f"after clear(): TEMP? -> {session.query('TEMP?')!r}")
session.close()
print("; ".join(seen))
sys.exit(seen != ["TEMP? raised VI_ERROR_TMO", "OUTP? -> '300.1'", "VOLT? -> '0'", "after clear(): TEMP? -> '300.1'"])
PY
"$folder/venv/bin/python" "$folder/show.py"
