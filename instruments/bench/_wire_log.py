"""What is said to the boxes of a bench and by them, in a file (docs/wire-log.md) that never stands in the way."""

import datetime
import json
import logging
import os
import queue
import threading
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyvisa
from pyvisa.highlevel import VisaLibraryBase

from .._new_file import refuse_unwritable

log = logging.getLogger(__name__)

FORMAT = "memtj wire log 1"
KEPT = 1024  # bytes of one piece that are written whole
BEGINNING = 32  # bytes of a longer one
_WAITING = 20_000  # pieces for a disk that is slow
_PATIENCE = 2.0  # s for it at the end


class WireLog:
    """A new file with a line for each piece that passes, written by a thread of its own: nobody waits for the disk.

    Where it cannot be written any more an error is logged once, and that is all. Raises BenchError where the file
    exists or its folder takes none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        refuse_unwritable(self.path)
        self._began, self._date = time.monotonic(), datetime.datetime.now(datetime.UTC)
        self._pieces: queue.SimpleQueue[tuple[float, dict[str, object]] | None] = queue.SimpleQueue()
        self._writer: threading.Thread | None = None
        self._starting = threading.Lock()
        self._failed = False
        self._lost = 0

    def note(self, box: str, what: str, data: bytes | str = b"", **more: str) -> None:
        """Note one piece with the time; `what`: "opened", "sent", "got", "cleared", "failed" or "lost"."""
        if self._failed:
            return
        if self._pieces.qsize() >= _WAITING:
            self._lost += 1
            return
        if self._lost:
            lost, self._lost = self._lost, 0
            self._put({"box": box, "what": "lost", "pieces": lost})
        self._put({"box": box, "what": what, **_shown(data), **more})

    def noting(self, box: str) -> Callable[[str, bytes], None]:
        """Give what notes for one box."""
        return lambda what, data: self.note(box, what, data)

    def library(self, box: str, visa_library: str) -> Any:
        """Give a VISA library that notes what passes for one box, for pymeasure's `visa_library`."""
        try:
            return _noting_library(pyvisa.ResourceManager(visa_library).visalib, self.noting(box))
        except Exception as error:  # one that cannot be loaded is the driver's to refuse
            log.error("nothing of the %r goes into the wire log %s (%s)", box, self.path, error)
            return visa_library

    def end(self) -> None:
        """Have everything written; a later `note` goes on at the end of the file."""
        writer, self._writer = self._writer, None
        if writer is not None:
            self._pieces.put(None)
            writer.join(_PATIENCE)

    def _put(self, piece: dict[str, object]) -> None:
        self._pieces.put((time.monotonic() - self._began, piece))
        with self._starting:
            if self._writer is None:
                self._writer = threading.Thread(target=self._write, name="wire log", daemon=True)
                self._writer.start()

    def _write(self) -> None:
        try:
            with self.path.open("ab", buffering=0) as file:
                if not file.tell():
                    _append(file, {"format": FORMAT, "began": self._date.isoformat()})
                while (entry := self._pieces.get()) is not None:
                    _append(file, {"at": round(entry[0], 6), **entry[1]})
        except OSError as error:
            self._failed = True
            log.error("the wire log %s ends here (%s); nothing else is affected", self.path, error.strerror)


def _append(file: Any, values: dict[str, object]) -> None:
    left = memoryview(json.dumps(values).encode() + b"\n")
    while left:
        left = left[file.write(left) :]


def _shown(data: bytes | str) -> dict[str, object]:
    """Give a piece as JSON has it: the code of each letter is the byte; of a long one the beginning, length and CRC."""
    if isinstance(data, str):
        return {"data": data}
    if len(data) <= KEPT:
        return {"data": bytes(data).decode("latin-1")}
    beginning = bytes(data[:BEGINNING]).decode("latin-1")
    return {"begins": beginning, "bytes": len(data), "crc32": f"{zlib.crc32(data):08x}"}


def _noting_library(library: VisaLibraryBase, note: Callable[[str, bytes], None]) -> VisaLibraryBase:
    """Give another library of the same kind that tells `note` of everything that is written and read."""
    kind: Any = type(library)

    class Noting(kind):
        def write(self, session: Any, data: bytes) -> Any:
            note("sent", bytes(data))
            return self._noted(super().write, session, data)

        def read(self, session: Any, count: int) -> Any:
            got = self._noted(super().read, session, count)
            note("got", bytes(got[0]))
            return got

        def clear(self, session: Any) -> Any:
            note("cleared", b"")
            return self._noted(super().clear, session)

        def _noted(self, call: Callable[..., Any], *given: Any) -> Any:
            try:
                return call(*given)
            except Exception as error:
                note("failed", str(error).encode("latin-1", "replace"))
                raise

    return Noting(library.library_path)
