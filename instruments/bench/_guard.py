"""What the guardian's process does: watch, and make every role safe (docs/decisions/0026-the-guardian.md)."""

import contextlib
import json
import os
import queue
import signal
import sys
import threading
import time
from typing import Any

from pymeasure.instruments import Instrument

from ._file import BenchFile
from ._inspection import switch_off
from ._opening import Finding, Opening

_TICK = 0.1  # s
_TRIES, _PAUSE = 60, 1.0  # s: of boxes that cannot be reached
_SERIAL = "a serial line has one user, and is opened when that is gone"
_ENDED = "the program that had it open has ended without leaving it"

Lines = queue.SimpleQueue[bytes]


def guard() -> None:
    """Watch over the bench that standard input names, until it says that all is well; act where it does not."""
    lines: Lines = queue.SimpleQueue()
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    # Whoever ends it has everything switched off first.
    signal.signal(signal.SIGTERM, lambda *_: lines.put(b"off\n"))
    parent = os.getppid()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    first = lines.get()
    if not first.startswith(b"{"):
        return  # nobody wants it
    setup = json.loads(first)
    opening = Opening(BenchFile.model_validate(setup["file"]), setup["source"])
    opened, without = _connect(opening)
    _say({"without": without})
    reason = _watch(lines, parent, setup["deadline"])
    if reason is not None:
        _make_safe(opening, opened, reason)


def _listen(lines: Lines) -> None:
    """Pass on what the program says, and that it has closed."""
    rest = b""
    with contextlib.suppress(OSError):
        # Unbuffered: a buffered reader's lock would trouble the interpreter at exit.
        while said := os.read(sys.stdin.fileno(), 1 << 16):
            *whole, rest = (rest + said).split(b"\n")
            for line in whole:
                lines.put(line + b"\n")
    lines.put(b"")


def _connect(opening: Opening) -> tuple[dict[str, Instrument], dict[str, str]]:
    """Open every box beside the program; gives those, and why others are not open."""
    opened: dict[str, Instrument] = {}
    without: dict[str, str] = {}
    for name, section in opening.file.instruments.items():
        if section.resource.upper().startswith("ASRL"):
            without[name] = _SERIAL
            continue
        try:
            opened[name] = opening.open(name)[0]
        except Exception as error:  # drivers raise what they like
            without[name] = f"it takes no second connection ({error})"
    return opened, without


def _watch(lines: Lines, parent: int, deadline: float) -> str | None:
    """Wait until there is something to do, and say why; None where there is nothing."""
    armed, latest = False, time.monotonic()
    while True:
        try:
            line = lines.get(timeout=_TICK)
        except queue.Empty:
            if armed and os.getppid() != parent:
                return _ENDED  # a child that it has forked holds the pipe open
            if armed and time.monotonic() - latest > deadline:
                return f"the program that has it open gave no sign of life for {deadline:g} s"
            continue
        latest = time.monotonic()
        if line == b"arm\n":
            armed = True
        elif line == b"done\n" or (not armed and line in (b"", b"off\n")):
            return None
        elif not line:
            return _ENDED
        elif line == b"off\n":
            return "it was told to"


def _make_safe(opening: Opening, opened: dict[str, Instrument], reason: str) -> None:
    """Do what `memtj bench off` does, over the connections that are open first, and over others until it is done."""
    findings = switch_off(opening, opened)
    _say({"reason": reason, "findings": _said(findings)})
    for _ in range(_TRIES):
        if all(each.ok for each in findings):
            break
        time.sleep(_PAUSE)
        findings = switch_off(opening)
    with contextlib.suppress(OSError):
        print(
            f"memtj's guardian of {opening.source}: {reason}: {_said(findings)}", file=sys.stderr, flush=True
        )


def _said(findings: list[Finding]) -> dict[str, str]:
    return {each.instrument: each.detail for each in findings if each.subject == "output" or not each.ok}


def _say(values: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):
        print(json.dumps(values), flush=True)
