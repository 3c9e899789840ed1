"""After a crash: files are closed properly, and a lost or damaged ledger is made anew with what is proven."""

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import DamagedLedger, StoreError
from ..buffer._durable import sync_folder
from ..buffer._reader import BufferReader
from ..ledger import BURNED, FREE, BufferRecord, FileLocks, Ledger, now
from ..ledger._locks import is_free
from ..ledger._opening import open_ledger, prepared, stamp_in, stamp_of
from ..ledger._snapshot import copy_ledger, scratch_folder
from ._anew import alone, in_the_place_of, write_anew

_FILES = ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm")


@dataclass
class SalvageReport:
    """What `salvage` did.

    `ledger`: "kept", "made" (there was none) or "replaced" (it was damaged, and is kept in the folder `set_aside`).
    Of a damaged one, `kept`: how many bits its rows prove to be in which state; `lost`: in sentences, what it did not
    prove. `closed`: files of killed writers that any HDF5 program opens now; `entered`: files that the ledger did not
    know and how many bits they hold, `entered_as` burned or free; `burned`: how many bits it burned in all of that;
    `problems`: what could not be helped.
    """

    ledger: str = "kept"
    set_aside: str = ""
    kept: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    entered: dict[str, int] = field(default_factory=dict)
    entered_as: str = BURNED
    burned: int = 0
    problems: list[str] = field(default_factory=list)


def salvage(
    path: str | os.PathLike[str],
    *,
    unused: bool = False,
    dry_run: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> SalvageReport:
    """Bring a store in order after a crash or the loss of a file; what is in order stays as it is.

    Buffers of killed writers are copied block by block into files that are closed properly. A damaged
    ledger is made anew with every state that its rows prove; other bits, and those of open leases, are burned. A lost
    one is made anew too. Buffers that the ledger does not know are entered with all of their bits burned, because
    nobody knows which were used; `unused=True` says that none was, so that they are free. Recordings need none of
    this to go on. With `dry_run` nothing is changed and the report says what would be. `progress(done, total)` is
    called in bytes of `/bits`. Raises StoreError where the store is in use or stands at another place than it was
    made for.
    """
    folder = Path(path).absolute()
    if not folder.is_dir() or not (any(folder.glob("*.h5")) or (folder / "ledger.sqlite").exists()):
        raise StoreError(f"{folder} holds neither buffers nor a ledger: give the folder of a store")
    report = SalvageReport(entered_as=FREE if unused else BURNED)
    if dry_run:
        return _tried(folder, report)
    (folder / "locks").mkdir(exist_ok=True)
    with alone(folder), contextlib.closing(_open_or_make(folder, report)) as ledger:
        _enter_strays(folder, ledger, report)
        _close_interrupted(folder, ledger, report, progress)
    return report


def _open_or_make(folder: Path, report: SalvageReport) -> Ledger:
    if not (folder / "ledger.sqlite").exists():
        report.ledger = "made"
        return open_ledger(folder, create=True, orphans=True)
    return _sound(folder, lambda: open_ledger(folder, create=False)) or _replace(folder, report)


def _sound(folder: Path, opened: Callable[[], Ledger]) -> Ledger | None:
    """Open the ledger of a store, None where it is damaged; raises StoreError where the store was made elsewhere."""
    try:
        ledger = opened()
    except DamagedLedger:
        return None
    try:
        if ledger.intact():
            if stamp_in(ledger) != stamp_of(folder):
                raise StoreError(f"{folder} was moved or copied here: say which by 'memtj store adopt' first")
            return ledger
    except BaseException:
        ledger.close()
        raise
    ledger.close()
    return None


def _refuse_used(folder: Path) -> None:
    for path in (folder / "locks").glob("*-*.lock"):
        if not is_free(path):
            raise StoreError(f"{folder} is in use ({path.name} is held): end what uses it, and salvage then")


def _replace(folder: Path, report: SalvageReport) -> Ledger:
    """Set a damaged ledger aside and make a new one of what it proves."""
    _refuse_used(folder)
    aside = folder / f"damaged-ledger-{now()[:23].replace(':', '')}"
    try:
        aside.mkdir()
        _into_one_file(folder / "ledger.sqlite")
        for name in _FILES:
            if (folder / name).exists():
                shutil.copy2(folder / name, aside / name)
        making = aside / "new"
        making.mkdir()
        _rescued(folder, making, aside / "ledger.sqlite", report).close()
        for name in _FILES[1:]:  # of no ledger, or empty by now
            (folder / name).unlink(missing_ok=True)
        os.replace(making / "ledger.sqlite", folder / "ledger.sqlite")
        sync_folder(folder)
        shutil.rmtree(making)
    except OSError as error:
        raise StoreError(f"{aside} cannot be written: {error.strerror or error}; free some space") from None
    report.set_aside = str(aside)
    return open_ledger(folder, create=False)


def _rescued(folder: Path, place: Path, damaged: Path, report: SalvageReport) -> Ledger:
    """Make a new ledger for the store in `folder`, in the folder `place`, of what a damaged one proves."""
    ledger = prepared(Ledger(place), folder, orphans=True)
    try:
        found = ledger.take_over(damaged, stamp_of(folder))
    except BaseException:
        ledger.close()
        raise
    report.ledger, report.kept, report.lost = "replaced", dict(found.kept), found.lost
    report.burned = found.burned
    return ledger


def _tried(folder: Path, report: SalvageReport) -> SalvageReport:
    """Say what would be done, by doing it to a copy of the ledger."""
    with scratch_folder() as scratch, contextlib.closing(_copied_or_made(folder, scratch, report)) as ledger:
        ledger.liveness = FileLocks(folder / "locks", read_only=True)
        _enter_strays(folder, ledger, report)
        report.closed += [item.file for item in ledger.buffers() if _interrupted(folder, ledger, item)]
    return report


def _copied_or_made(folder: Path, scratch: Path, report: SalvageReport) -> Ledger:
    making = scratch / "new"
    making.mkdir()
    if not (folder / "ledger.sqlite").exists():
        report.ledger = "made"
        return prepared(Ledger(making), folder, orphans=True)
    copy_ledger(folder / "ledger.sqlite", scratch)
    ledger = _sound(folder, lambda: prepared(Ledger(scratch), folder))
    if ledger is None:
        _refuse_used(folder)
        ledger = _rescued(folder, making, scratch / "ledger.sqlite", report)
    return ledger


def _into_one_file(path: Path) -> None:
    """Put what a ledger's log holds into its file, so that one rename takes another ledger's place."""
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _enter_strays(folder: Path, ledger: Ledger, report: SalvageReport) -> None:
    records = ledger.buffers()
    files, names = {item.file for item in records}, {item.uuid: item.file for item in records}
    for path in sorted(folder.glob("*.h5")):
        if path.name in files:
            continue
        try:
            reader = BufferReader(path)
        except StoreError as error:
            report.problems.append(str(error))
            continue
        with contextlib.closing(reader):
            values = _described(path, reader)
            if values["uuid"] in names:
                report.problems.append(f"{path} is a copy of {names[values['uuid']]}: take it away")
            elif ledger.liveness.is_dead("writer", values["recording"]):  # else it is just being begun
                ledger.add_stray(values, reader.rows, report.entered_as)
                names[values["uuid"]] = path.name
                bits = report.entered[path.name] = int(reader.starts[-1])
                report.burned += bits if report.entered_as == BURNED else 0


def _described(path: Path, reader: BufferReader) -> dict[str, Any]:
    """Give the ledger's row of a buffer by what its file says of itself."""
    texts = {name: reader.text(name) for name in ("buffer", "recording", "created", "conditioning")}
    return {
        "uuid": texts["buffer"],
        "file": path.name,
        "recording": texts["recording"],
        "segment": reader.number("segment"),
        "created": texts["created"],
        "simulated": reader.number("simulated"),
        "conditioning": texts["conditioning"],
        "complete": reader.number("complete"),
    }


def _close_interrupted(
    folder: Path, ledger: Ledger, report: SalvageReport, progress: Callable[[int, int], None] | None
) -> None:
    records = [item for item in ledger.buffers() if _interrupted(folder, ledger, item)]
    total, done = sum(item.bytes for item in records), 0
    for record in records:
        path = folder / record.file
        try:
            close_properly(path)
        except StoreError as error:
            report.problems.append(str(error))
        else:
            ledger.closed_properly(record.id)
            report.closed.append(record.file)
        done += record.bytes
        if progress is not None:
            progress(done, total)


def _interrupted(folder: Path, ledger: Ledger, record: BufferRecord) -> bool:
    here = record.place is None and (folder / record.file).is_file()
    return here and not record.complete and ledger.liveness.is_dead("writer", record.recording)


def close_properly(path: Path) -> None:
    """Put the committed blocks of a buffer into a new file in its place, closed as its writer would have.

    Raises StoreError where it cannot be read; the old file stays then. A block whose CRC is wrong is copied as it is.
    """
    with in_the_place_of(path) as new:
        write_anew(path, new, {"complete": np.uint8(1), "salvaged": np.bytes_(now())})
