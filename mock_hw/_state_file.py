"""The state file: what of a laboratory outlives its process, the lock that gives it to one lab, when it is written."""

import contextlib
import importlib
import logging
import os
import sys
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mock_hw._errors import LabError

log = logging.getLogger(__name__)

FORMAT = "memtj simulated laboratory"
VERSION = 1
# Seconds between signs of life: set C has forgotten a hundredth of its bits after so long.
_BEAT = 0.02
# At most one write in so many seconds, and one note: a host may run thousands of short acquisitions.
_PAUSE, _NOTE_PAUSE = 1.0, 0.01
_NOTED = ("antiparallel", "epoch")  # what pulses and rests change, and little: some bytes for a hundred cells

_DAMAGE = (OSError, ValueError, KeyError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error)

try:
    import fcntl
except ImportError:  # Windows
    _msvcrt: Any = importlib.import_module("msvcrt")

    def _lock(descriptor: int) -> None:
        _msvcrt.locking(descriptor, _msvcrt.LK_NBLCK, 1)

else:

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


@dataclass(frozen=True)
class BoxState:
    """What one box's array keeps: `arrays` as `SimulatedArray.save` gives them.

    `device` names the device; `taken` is the UTC time (seconds since 1970) at which the array had been left
    alone, under power, for `idle` seconds, at `hold` volts and in the lab's field (`field_on`) or not, which a host has
    switched (`field_switched`) or nobody.
    """

    arrays: Mapping[str, NDArray]
    device: str
    taken: float
    idle: float
    hold: float = 0.0
    field_on: bool = True
    field_switched: bool = False


@dataclass(frozen=True)
class LabState:
    """What a laboratory keeps: its seed, and one state for each box."""

    seed: int
    boxes: Mapping[str, BoxState]


class StateFile:
    """A file of one laboratory's state, locked until `close` or the end of the process, however it ends.

    Format: numpy's .npz without pickles. It is replaced as a whole, so a reader sees an old or a new state. Beside it
    lies a note of the magnetisation since, `FILE.last`, which is quick to write: it counts with the state that it was
    written after, and with no other. `alive` is the last sign of life of the lab that had it before, in seconds since
    1970; 0 where there is none.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(os.path.realpath(path))
        self._descriptor = -1
        self._saved: list[
            str
        ] = []  # when the state in the file was written, and the one that may replace it now
        if self.path.is_dir():
            raise LabError(f"the state file {self.path} is a folder: name a file")
        lock = Path(f"{self.path}.lock")
        self.alive = lock.stat().st_mtime if lock.exists() else 0.0
        try:
            self._descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise LabError(
                f"the state file {self.path} cannot be locked ({error.strerror}): name one in a folder that "
                "exists and can be written"
            ) from error
        try:
            _lock(self._descriptor)
        except OSError as error:
            self.close()
            raise LabError(
                f"the state file {self.path} is in use by another lab: end that one, or name another file"
            ) from error

    def beat(self) -> None:
        """Leave a sign of life, so that what is found after the lab was killed tells when."""
        with contextlib.suppress(OSError):
            os.utime(f"{self.path}.lock", (now := time.time(), now))

    def close(self) -> None:
        """Give the file to the next lab."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()

    def read(self) -> LabState | None:
        """The state, None where there is no file; raises `LabError` where it is damaged or not ours."""
        if not self.path.exists():
            return None
        try:
            if not zipfile.is_zipfile(self.path):
                raise ValueError("it is no whole .npz file")
            with np.load(self.path, allow_pickle=False) as content:
                state, saved = _parse(content), str(content["saved"])
            return self._with_note(state, saved)
        except _DAMAGE as error:
            why = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
            raise LabError(
                f"{self.path} cannot be read as the state of a lab ({why}): name another file, or move it away "
                "to begin anew"
            ) from error

    def _with_note(self, state: LabState, saved: str) -> LabState:
        try:
            with np.load(f"{self.path}.last", allow_pickle=False) as content:
                if saved not in content["after"].tolist():
                    return state
                note = _parse(content)
        except FileNotFoundError:
            return state
        except _DAMAGE as error:
            log.warning("%s.last cannot be read (%s): the state of %s is taken", self.path, error, saved)
            return state
        newer = {name: box for name, box in note.boxes.items() if box.taken > state.boxes[name].taken}
        boxes = {
            name: replace(box, arrays={**state.boxes[name].arrays, **box.arrays})
            for name, box in newer.items()
        }
        return LabState(state.seed, {**state.boxes, **boxes})

    def note(self, state: LabState) -> None:
        """Leave beside the state what has changed since: it outlives the process, if not a failure of the power."""
        new = f"{self.path}.last.new"
        try:
            with open(new, "wb") as file:
                np.savez(file, allow_pickle=False, **_flat(state, _NOTED), after=np.array(self._saved))
            os.replace(new, f"{self.path}.last")
        except OSError as error:
            log.error("what has changed since the state of the lab was written cannot be noted: %s", error)

    def drop_note(self) -> None:
        """The state itself is the last one: it needs no note."""
        for name in (f"{self.path}.last", f"{self.path}.last.new"):
            with contextlib.suppress(OSError):
                Path(name).unlink(missing_ok=True)

    def write(self, state: LabState) -> None:
        """Replace the state; raises `LabError`, and leaves the old one, where that fails."""
        if self._descriptor < 0:
            raise LabError(f"the state file {self.path} has been given back: make another lab of it")
        new = self.path.with_name(self.path.name + ".new")
        content = _flat(state)
        try:
            with new.open("wb") as file:
                np.savez(file, allow_pickle=False, **content)
                file.flush()
                os.fsync(file.fileno())
            self._saved = [*self._saved[:1], str(content["saved"])]
            os.replace(new, self.path)
            self._saved = [str(content["saved"])]
            _keep_name(self.path.parent)
        except OSError as error:
            with contextlib.suppress(OSError):
                new.unlink(missing_ok=True)
            raise LabError(
                f"the state of the lab cannot be written to {self.path} ({error.strerror or error}): make room, "
                "or name another file"
            ) from error


class StateKeeper:
    """Writes the state from threads of its own, off the way of commands and pulses, until `close`.

    `look` gives each box's state, None for one whose pulses are running: of that one the last state is kept. Between
    two writes it notes what `touch` says, so that a process that is killed loses the running acquisition, what ended in
    the last few milliseconds, and of drift and wear a second, but nothing else.
    """

    def __init__(self, file: StateFile, seed: int, look: Callable[[], Mapping[str, BoxState | None]]) -> None:
        self._file = file
        self._seed = seed
        self._look = look
        self._boxes: Mapping[str, BoxState] = {}  # replaced as a whole: the thread may be writing it
        self._touched, self._unsaved = threading.Event(), threading.Event()
        self._ended = threading.Event()
        self.save()  # at once: a file that cannot be written is found now, not at the end
        # Two, because a disk may take a second to have a state, and a note and a sign of life must not wait for it.
        self._threads = [
            threading.Thread(target=each, name="lab state", daemon=True)
            for each in (self._keep_noted, self._keep_saved)
        ]
        for thread in self._threads:
            thread.start()

    def touch(self, name: str, state: BoxState) -> None:
        """The array of a box has been used and is left alone again; does not wait."""
        self._boxes = {**self._boxes, name: state}
        self._touched.set()

    def save(self) -> None:
        """Write what there is now."""
        now = {name: state for name, state in self._look().items() if state is not None}
        self._boxes = {**self._boxes, **now}
        self._file.write(LabState(self._seed, self._boxes))

    def close(self) -> None:
        """Write for the last time; the boxes must be still."""
        for event in (self._ended, self._touched, self._unsaved):
            event.set()
        for thread in self._threads:
            thread.join()
        self.save()
        self._file.drop_note()

    def _keep_noted(self) -> None:
        while not self._ended.is_set():
            touched = self._touched.wait(_BEAT)
            self._touched.clear()
            self._file.beat()
            if touched:
                self._file.note(LabState(self._seed, self._boxes))
                self._unsaved.set()
                self._ended.wait(_NOTE_PAUSE)

    def _keep_saved(self) -> None:
        while self._unsaved.wait() and not self._ended.is_set():
            self._unsaved.clear()
            try:
                self._file.write(LabState(self._seed, self._boxes))
            except LabError as error:
                log.error("%s", error)
            self._ended.wait(_PAUSE)


def _flat(state: LabState, only: Sequence[str] | None = None) -> dict[str, NDArray]:
    values: dict[str, object] = {
        "format": FORMAT,
        "version": VERSION,
        "seed": str(state.seed),  # a seed may be larger than any integer of numpy
        "saved": datetime.fromtimestamp(time.time(), UTC).isoformat(),
        "boxes": list(state.boxes),
    }
    for number, box in enumerate(state.boxes.values()):
        own = {name: value for name, value in vars(box).items() if name != "arrays"}
        values |= {f"{number}.{name}": value for name, value in own.items()}
        kept = box.arrays if only is None else {name: box.arrays[name] for name in only}
        values |= {f"{number}.array.{name}": value for name, value in kept.items()}
    return {name: np.asarray(value) for name, value in values.items()}


def _parse(content: Mapping[str, NDArray]) -> LabState:
    if str(content["format"]) != FORMAT:
        raise ValueError("it is of another program")
    if int(content["version"]) != VERSION:
        raise ValueError(
            f"it has version {int(content['version'])} of the format, and this program {VERSION}"
        )
    boxes = {}
    for number, name in enumerate(content["boxes"].tolist()):
        prefix = f"{number}.array."
        boxes[str(name)] = BoxState(
            arrays={key.removeprefix(prefix): content[key] for key in content if key.startswith(prefix)},
            device=str(content[f"{number}.device"]),
            taken=float(content[f"{number}.taken"]),
            idle=float(content[f"{number}.idle"]),
            # Not in a state of a version without them.
            hold=float(content.get(f"{number}.hold", 0.0)),
            field_on=bool(content.get(f"{number}.field_on", True)),
            field_switched=bool(content.get(f"{number}.field_switched", False)),
        )
    return LabState(int(str(content["seed"])), boxes)


def _keep_name(folder: Path) -> None:
    """Have the new name outlive a power failure too, where folders can be written out (not on Windows)."""
    if sys.platform != "win32":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
