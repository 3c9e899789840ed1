"""Opening a store's ledger: the folder, and the stamp of its place."""

from __future__ import annotations

from pathlib import Path

from .._errors import StoreError
from ._ledger import Ledger
from ._locks import FileLock
from ._site import machine_id, real_path, refuse_network


def open_ledger(folder: Path, *, create: bool, orphans: bool = False) -> Ledger:
    """Open the ledger of a store's folder, making both where they are missing and `create` allows it.

    A new ledger beside buffers is made only where `orphans` says that they will be entered into it.
    """
    there = (folder / "ledger.sqlite").is_file()
    if not there and not create:
        raise _without_ledger(folder)
    try:
        refuse_network(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "locks").mkdir(exist_ok=True)
        lock = FileLock(folder / "locks" / "open.lock")
    except OSError as error:
        looking = ", where 'memtj store ls' and 'verify' only read it" if there else ""
        raise StoreError(
            f"{folder} cannot be used as a store: {error.strerror}; check the path{looking}"
        ) from None
    try:
        there = (folder / "ledger.sqlite").is_file()
        if not there and not orphans and _has_buffers(folder):
            raise _without_ledger(folder)
        return prepared(Ledger(folder), folder, orphans=orphans)
    finally:
        lock.release()


def look_at_ledger(folder: Path) -> Ledger:
    """Open a snapshot of the ledger of a store's folder, making and changing nothing there."""
    if not (folder / "ledger.sqlite").is_file():
        raise _without_ledger(folder)
    refuse_network(folder)
    return prepared(Ledger(folder, read_only=True), folder)


def _has_buffers(folder: Path) -> bool:
    return any(folder.glob("*.h5"))


def _without_ledger(folder: Path) -> StoreError:
    if not _has_buffers(folder):
        return StoreError(f"{folder} is no store (it has no ledger.sqlite): give the folder of one")
    return StoreError(
        f"{folder} holds buffers but no ledger.sqlite, so it is not known which bits are spent: restore the "
        "ledger, or let 'memtj store salvage' make one in which all of these bits count as burned"
    )


def prepared(ledger: Ledger, folder: Path, *, orphans: bool = False) -> Ledger:
    """Prepare a ledger that was just opened for the store in `folder`; it is closed where that raises.

    An empty one beside buffers is what a power cut or a full disk left of a ledger: damaged, unless `orphans` says
    that they will be entered into it.
    """
    try:
        ledger.prepare(stamp_of(folder), may_be_empty=orphans or not _has_buffers(folder))
    except BaseException:
        ledger.close()
        raise
    return ledger


def stamp_of(folder: Path) -> dict[str, str]:
    """Say on which computer and at which path a store in this folder is."""
    return {"machine": machine_id(), "path": real_path(folder)}


def stamp_in(ledger: Ledger) -> dict[str, str | None]:
    """Say for which place a ledger was made, as `stamp_of` does."""
    return {key: ledger.meta(key) for key in ("machine", "path")}


def check_stamp(folder: Path, ledger: Ledger) -> None:
    here, there = stamp_of(folder), stamp_in(ledger)
    if there != here:
        machine, path = there["machine"], there["path"]
        where = f"at {path}" if machine == here["machine"] else f"at {path} on another computer"
        raise StoreError(
            f"the store {folder} was made {where}: say whether it was moved or copied here, by "
            "`memtj store adopt PATH --moved` (the old one is gone) or `--copied` (free bits are burned here), "
            f"in Python entropy.adopt({str(folder)!r}, moved=True or False)"
        )
