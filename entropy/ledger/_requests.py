"""Who waits for bits and who was promised some: requests, served in the order in which they were made."""

import os
import sqlite3
import uuid
from dataclasses import dataclass
from pathlib import Path

from ._locks import FileLock, is_free

WAITING, RESERVED = "waiting", "reserved"
_COLUMNS = "id, uuid, kind, purpose, bits, taken, waiting, pid, made"


@dataclass(frozen=True)
class Request:
    """Bits that somebody alive was promised.

    `kind`: "waiting" (a lease that waits) or "reserved"; `bits` in all, of which `taken` were leased by now;
    `waiting`: of the rest, those that its owner waits for just now; `made`: ISO 8601, UTC.
    """

    id: int
    uuid: str
    kind: str
    purpose: str
    bits: int
    taken: int
    waiting: int
    pid: int
    made: str

    @property
    def outstanding(self) -> int:
        """Bits that are still to come."""
        return max(self.bits - self.taken, 0)


@dataclass(frozen=True)
class Ticket:
    """One's own request, and the lock that shows that one lives."""

    id: int
    lock: FileLock


def request_lock(locks: Path, name: str) -> Path:
    """Name the file whose lock the maker of a request holds."""
    return locks / f"request-{name}.lock"


def ask(db: sqlite3.Connection, locks: Path, kind: str, bits: int, purpose: str, when: str) -> Ticket:
    """Enter a request at the end of the queue; inside a writing transaction."""
    name = str(uuid.uuid4())
    lock = FileLock(request_lock(locks, name))
    cursor = db.execute(
        "INSERT INTO requests (uuid, kind, purpose, bits, waiting, pid, made) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (name, kind, purpose, bits, bits if kind == WAITING else 0, os.getpid(), when),
    )
    assert cursor.lastrowid is not None
    return Ticket(cursor.lastrowid, lock)


def alive(db: sqlite3.Connection, locks: Path) -> list[Request]:
    """List the requests whose makers live, first come first."""
    found = [Request(*row) for row in db.execute(f"SELECT {_COLUMNS} FROM requests ORDER BY id").fetchall()]
    return [request for request in found if not is_free(request_lock(locks, request.uuid))]


def forget_dead(db: sqlite3.Connection, locks: Path) -> None:
    """Delete the requests whose makers are dead; inside a writing transaction."""
    there = db.execute("SELECT id, uuid FROM requests").fetchall()
    for number, name in there:
        path = request_lock(locks, name)
        if is_free(path):
            db.execute("DELETE FROM requests WHERE id = ?", (number,))
            path.unlink(missing_ok=True)


def ahead(requests: list[Request], ticket: int | None) -> list[Request]:
    """Pick those who come before this ticket; without one, everybody does."""
    return [item for item in requests if ticket is None or item.id < ticket]


def needed(requests: list[Request]) -> int:
    """Count the free bits that a store must hold for everybody who waits to be served."""
    most = before = 0
    for item in requests:
        if item.waiting:
            most = max(most, before + item.waiting)
        before += item.outstanding
    return most


def describe(requests: list[Request]) -> str:
    """Say in a few words who was promised how much."""
    named = [f"'{item.purpose}' {item.outstanding:,}" for item in requests if item.outstanding]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return ", ".join(named[:3]) + more
