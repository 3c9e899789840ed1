"""The ledger: which bits of which buffer are free, leased, consumed, burned or withheld.

SQLite in WAL mode, every commit on the disk before it counts (`synchronous=FULL`), every change inside
`BEGIN IMMEDIATE`. Ranges are explicit in all five states, so the sum can be checked against the block rows.
"""

import contextlib
import datetime
import sqlite3
import threading
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import NotEnoughBits, StoreError
from ._locks import FileLock, is_free
from ._ranges import Range, choose, join_adjacent, subtract

LEDGER_VERSION = 1
FREE, LEASED, CONSUMED, BURNED, WITHHELD = "free", "leased", "consumed", "burned", "withheld"

_SCHEMA = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE buffers (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, file TEXT NOT NULL UNIQUE, recording TEXT NOT NULL,
    segment INTEGER NOT NULL, created TEXT NOT NULL, simulated INTEGER NOT NULL, conditioning TEXT NOT NULL,
    blocks INTEGER NOT NULL DEFAULT 0, bits INTEGER NOT NULL DEFAULT 0, ones INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0);
CREATE TABLE blocks (
    buffer INTEGER NOT NULL, idx INTEGER NOT NULL, first_bit INTEGER NOT NULL, bits INTEGER NOT NULL,
    first_byte INTEGER NOT NULL, ones INTEGER NOT NULL, crc INTEGER NOT NULL, health INTEGER NOT NULL,
    PRIMARY KEY (buffer, idx)) WITHOUT ROWID;
CREATE INDEX blocks_by_bit ON blocks (buffer, first_bit);
CREATE TABLE ranges (
    buffer INTEGER NOT NULL, first INTEGER NOT NULL, bits INTEGER NOT NULL CHECK (bits > 0),
    state TEXT NOT NULL, lease INTEGER, PRIMARY KEY (buffer, first)) WITHOUT ROWID;
CREATE INDEX ranges_by_state ON ranges (state, buffer, first);
CREATE INDEX ranges_by_lease ON ranges (lease) WHERE lease IS NOT NULL;
CREATE TABLE leases (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, purpose TEXT NOT NULL, bits INTEGER NOT NULL,
    withheld INTEGER NOT NULL, taken TEXT NOT NULL, settled TEXT, outcome TEXT);
CREATE INDEX open_leases ON leases (outcome) WHERE outcome IS NULL;
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, buffer INTEGER NOT NULL, first INTEGER NOT NULL,
    bits INTEGER NOT NULL, verdict TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Accounts:
    """Where every recorded usable bit is; all in bits. `recorded` is summed apart from the other five."""

    recorded: int
    free: int
    leased: int
    consumed: int
    burned: int
    withheld: int

    @property
    def balanced(self) -> bool:
        """Whether recorded = free + leased + consumed + burned + withheld, exactly."""
        return self.recorded == self.free + self.leased + self.consumed + self.burned + self.withheld


@dataclass(frozen=True)
class BufferRecord:
    """What the ledger knows of a buffer: a row of the table `buffers`."""

    id: int
    uuid: str
    file: str
    recording: str
    segment: int
    created: str
    simulated: int
    conditioning: str
    blocks: int
    bits: int
    ones: int
    bytes: int
    ended: int
    complete: int


def now() -> str:
    """Give the time as ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


class Ledger:
    """One connection to a store's ledger; safe to share between the threads of one process."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "ledger.sqlite"
        self.locks = folder / "locks"
        self._mutex = threading.RLock()
        with self._errors():
            self._db = sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            try:
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            except sqlite3.Error:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the connection."""
        with self._mutex:
            self._db.close()

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            advice = "free some space" if "full" in text or "disk I/O" in text else "try again"
            raise StoreError(f"{self.path}: {text}; {advice}") from error
        except sqlite3.DatabaseError as error:
            raise StoreError(f"{self.path} is no ledger or is damaged ({error}): restore it") from error

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._errors():
            self._db.execute("BEGIN")
            try:
                yield self._db
            finally:
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._mutex, self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    # --- the store itself

    def prepare(self) -> None:
        """Make the tables where there are none; raises StoreError for a ledger of another version."""
        with self._writing() as db:
            if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'meta'").fetchone():
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute("INSERT INTO meta VALUES ('version', ?)", (str(LEDGER_VERSION),))
                db.execute("INSERT INTO meta VALUES ('uuid', ?)", (str(uuid.uuid4()),))
            version = db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0]
        if version != str(LEDGER_VERSION):
            raise StoreError(
                f"{self.path} is a ledger of version {version} and this program knows {LEDGER_VERSION}: "
                "use the memtj that wrote it"
            )

    def meta(self, key: str) -> str | None:
        """Read a word about the store."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, **words: str) -> None:
        """Write words about the store."""
        with self._writing() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(words.items()))

    # --- buffers and their blocks

    def register(self, values: dict[str, Any]) -> None:
        """Enter a new buffer that followers can open by now."""
        with self._writing() as db:
            names = ", ".join(values)
            marks = ", ".join("?" * len(values))
            db.execute(f"INSERT INTO buffers ({names}) VALUES ({marks})", list(values.values()))

    def buffers(self, *, following: bool = False) -> list[BufferRecord]:
        """List the buffers in the order of their making; `following` lists those that may still grow."""
        condition = "WHERE NOT ended" if following else ""
        with self._reading() as db:
            found = db.execute(
                "SELECT id, uuid, file, recording, segment, created, simulated, conditioning, blocks, bits, "
                f"ones, bytes, ended, complete FROM buffers {condition} ORDER BY id"
            ).fetchall()
        return [BufferRecord(*row) for row in found]

    def block_copies(self, buffer: int) -> np.ndarray:
        """Give the ledger's copy of block rows: (first_byte, bits, ones, crc), int64, (blocks, 4)."""
        with self._reading() as db:
            found = db.execute(
                "SELECT first_byte, bits, ones, crc FROM blocks WHERE buffer = ? ORDER BY idx", (buffer,)
            ).fetchall()
        return np.asarray(found, np.int64).reshape(len(found), 4)

    def enter(self, buffer: int, rows: np.ndarray, *, ended: bool, complete: bool) -> None:
        """Enter all rows of a buffer that the ledger has not seen: as free, or withheld by their health."""
        with self._writing() as db:
            _enter(db, buffer, rows, ended, complete)

    # --- leases

    def lease(self, bits: int, purpose: str, withheld: bool) -> tuple[int, str, list[Range], FileLock]:
        """Take `bits` in one transaction; returns the lease's id, uuid, ranges and the lock of its owner.

        Raises NotEnoughBits, having changed nothing.
        """
        name = str(uuid.uuid4())
        with self._writing() as db:
            _reap(db, self.locks)
            chosen = _choose(db, bits, WITHHELD if withheld else FREE)
            lock = FileLock(lease_lock(self.locks, name))
            cursor = db.execute(
                "INSERT INTO leases (uuid, purpose, bits, withheld, taken) VALUES (?, ?, ?, ?, ?)",
                (name, purpose, bits, withheld, now()),
            )
            lease = cursor.lastrowid
            assert lease is not None
            ids = dict(db.execute("SELECT uuid, id FROM buffers").fetchall())
            for item in chosen:
                _repaint(db, ids[item.buffer], item.first, item.bits, LEASED, lease)
        return lease, name, chosen, lock

    def settle(self, lease: int, read: Sequence[Range], *, burn: bool) -> None:
        """End a lease: what was read is consumed and the rest goes back; with `burn` all of it is burned."""
        with self._writing() as db:
            if db.execute("SELECT outcome FROM leases WHERE id = ?", (lease,)).fetchone()[0] is not None:
                raise StoreError(
                    f"{self.path}: this lease was taken for dead and burned (was its lock file in "
                    f"{self.locks} removed?); its bits stay burned"
                )
            _settle(db, lease, read, burn)

    def reap(self) -> None:
        """Burn the leases whose owners are dead."""
        with self._reading() as db:
            suspects = _open_leases(db)
        if any(is_free(lease_lock(self.locks, name)) for _, name in suspects):
            with self._writing() as db:
                _reap(db, self.locks)

    def clean_locks(self) -> None:
        """Remove lock files that stand for nothing any more."""
        with (
            self._writing() as db
        ):  # lease locks are made inside such a transaction, so none is in the making
            alive = {lease_lock(self.locks, name) for _, name in _open_leases(db)}
            for path in self.locks.glob("lease-*"):
                if path not in alive and is_free(path):
                    with contextlib.suppress(OSError):
                        path.unlink()

    def withhold(self, buffer: int, first: int, bits: int, verdict: str) -> int:
        """Withhold the free bits of a range; returns how many there were."""
        with self._writing() as db:
            inside = db.execute(
                "SELECT MAX(first, ?), MIN(first + bits, ?) FROM ranges WHERE buffer = ? AND state = ? "
                "AND first < ? AND first + bits > ?",
                (first, first + bits, buffer, FREE, first + bits, first),
            ).fetchall()
            for low, high in inside:
                _repaint(db, buffer, low, high - low, WITHHELD)
            db.execute(
                "INSERT INTO verdicts (time, buffer, first, bits, verdict) VALUES (?, ?, ?, ?, ?)",
                (now(), buffer, first, bits, verdict),
            )
        return sum(high - low for low, high in inside)

    def become_a_copy(self, rows: dict[int, np.ndarray], stamp: dict[str, str]) -> None:
        """Burn every free and withheld bit, expect no more of any buffer, and take the place for one's own.

        `rows`: all block rows of the buffers that were still followed; they are entered first. It is one
        transaction, so that a copy whose bits are not burned never passes for a store.
        """
        with self._writing() as db:
            for buffer, found in rows.items():
                _enter(db, buffer, found, ended=True, complete=False)
            _reap(db, self.locks)
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(stamp.items()))
            db.execute("UPDATE ranges SET state = ? WHERE state IN (?, ?)", (BURNED, FREE, WITHHELD))
            db.execute("UPDATE buffers SET ended = 1")
            db.execute("UPDATE meta SET value = ? WHERE key = 'uuid'", (str(uuid.uuid4()),))

    # --- the accounts

    def accounts(self) -> Accounts:
        """Sum the block rows and, apart from them, the ranges of each state, at one moment."""
        with self._reading() as db:
            recorded = db.execute("SELECT COALESCE(SUM(bits), 0) FROM blocks").fetchone()[0]
            sums = dict(db.execute("SELECT state, SUM(bits) FROM ranges GROUP BY state").fetchall())
        states = (sums.get(state, 0) for state in (FREE, LEASED, CONSUMED, BURNED, WITHHELD))
        return Accounts(recorded, *states)

    def ranges(self, buffer: int) -> list[tuple[int, int, str]]:
        """List a buffer's (first bit, bits, state) in the order of bits."""
        with self._reading() as db:
            return db.execute(
                "SELECT first, bits, state FROM ranges WHERE buffer = ? ORDER BY first", (buffer,)
            ).fetchall()


def lease_lock(locks: Path, name: str) -> Path:
    """Name the file whose lock the owner of a lease holds."""
    return locks / f"lease-{name}.lock"


def writer_lock(locks: Path, recording: str) -> Path:
    """Name the file whose lock the writer of a recording holds."""
    return locks / f"writer-{recording}.lock"


def _enter(db: sqlite3.Connection, buffer: int, rows: np.ndarray, ended: bool, complete: bool) -> None:
    seen, first, ones, size = db.execute(
        "SELECT blocks, bits, ones, bytes FROM buffers WHERE id = ?", (buffer,)
    ).fetchone()
    for index in range(seen, len(rows)):
        row = rows[index]
        bits, health = int(row["bits"]), int(row["health"])
        db.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                buffer,
                index,
                first,
                bits,
                int(row["first_byte"]),
                int(row["ones"]),
                int(row["crc"]),
                health,
            ),
        )
        _put(db, buffer, first, bits, WITHHELD if health else FREE)
        first += bits
        ones += int(row["ones"])
        size += (bits + 7) // 8
    db.execute(
        "UPDATE buffers SET blocks = MAX(blocks, ?), bits = ?, ones = ?, bytes = ?, "
        "ended = MAX(ended, ?), complete = MAX(complete, ?) WHERE id = ?",
        (len(rows), first, ones, size, ended, complete, buffer),
    )


def _open_leases(db: sqlite3.Connection) -> list[tuple[int, str]]:
    return db.execute("SELECT id, uuid FROM leases WHERE outcome IS NULL").fetchall()


def _reap(db: sqlite3.Connection, locks: Path) -> None:
    for lease, name in _open_leases(db):
        path = lease_lock(locks, name)
        if is_free(path):
            _settle(db, lease, (), burn=True)
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def _choose(db: sqlite3.Connection, wanted: int, state: str) -> list[Range]:
    names = dict(db.execute("SELECT id, uuid FROM buffers").fetchall())
    ids = {name: number for number, name in names.items()}

    def to_byte(item: Range) -> int:
        start = db.execute(
            "SELECT first_bit FROM blocks WHERE buffer = ? AND first_bit <= ? AND bits > 0 "
            "ORDER BY first_bit DESC LIMIT 1",
            (ids[item.buffer], item.first),
        ).fetchone()[0]
        return (start - item.first) % 8

    large = db.execute(
        "SELECT buffer, first, bits FROM ranges WHERE state = ? AND bits >= ? ORDER BY buffer, first LIMIT 8",
        (state, wanted),
    ).fetchall()
    free = [Range(names[buffer], first, bits) for buffer, first, bits in large]
    single = choose(free, wanted, to_byte) if free else None
    if single is not None and len(single) == 1:
        return single
    every = db.execute(
        "SELECT buffer, first, bits FROM ranges WHERE state = ? ORDER BY buffer, first", (state,)
    ).fetchall()
    free = [Range(names[buffer], first, bits) for buffer, first, bits in every]
    chosen = choose(free, wanted, to_byte)
    if chosen is None:
        what = "withheld in the store" if state == WITHHELD else "free in the store"
        raise NotEnoughBits(wanted, sum(item.bits for item in free), what)
    return chosen


def _settle(db: sqlite3.Connection, lease: int, read: Sequence[Range], burn: bool) -> None:
    ids = dict(db.execute("SELECT uuid, id FROM buffers").fetchall())
    if burn:
        db.execute("UPDATE ranges SET state = ? WHERE lease = ? AND state = ?", (BURNED, lease, LEASED))
    else:
        withheld = db.execute("SELECT withheld FROM leases WHERE id = ?", (lease,)).fetchone()[0]
        back = WITHHELD if withheld else FREE
        taken = db.execute(
            "SELECT buffer, first, bits FROM ranges WHERE lease = ? AND state = ?", (lease, LEASED)
        ).fetchall()
        spent = [(ids[item.buffer], item) for item in join_adjacent(sorted(read))]
        for buffer, first, bits in taken:
            whole = Range("", first, bits)
            inside = [
                Range("", item.first, item.bits)
                for number, item in spent
                if number == buffer and first <= item.first < first + bits
            ]
            db.execute("DELETE FROM ranges WHERE buffer = ? AND first = ?", (buffer, first))
            for item in inside:
                db.execute(
                    "INSERT INTO ranges VALUES (?, ?, ?, ?, ?)",
                    (buffer, item.first, item.bits, CONSUMED, lease),
                )
            for item in subtract(whole, inside):
                _put(db, buffer, item.first, item.bits, back)
    db.execute(
        "UPDATE leases SET outcome = ?, settled = ? WHERE id = ?",
        ("burned" if burn else "left", now(), lease),
    )


def _put(db: sqlite3.Connection, buffer: int, first: int, bits: int, state: str) -> None:
    """Insert a range that no lease owns, joined with neighbours of the same state."""
    if bits == 0:
        return
    before = db.execute(
        "SELECT first, bits, state FROM ranges WHERE buffer = ? AND first < ? ORDER BY first DESC LIMIT 1",
        (buffer, first),
    ).fetchone()
    if before and before[2] == state and before[0] + before[1] == first:
        db.execute("DELETE FROM ranges WHERE buffer = ? AND first = ?", (buffer, before[0]))
        first, bits = before[0], before[1] + bits
    after = db.execute(
        "SELECT bits, state FROM ranges WHERE buffer = ? AND first = ?", (buffer, first + bits)
    ).fetchone()
    if after and after[1] == state:
        db.execute("DELETE FROM ranges WHERE buffer = ? AND first = ?", (buffer, first + bits))
        bits += after[0]
    db.execute("INSERT INTO ranges VALUES (?, ?, ?, ?, NULL)", (buffer, first, bits, state))


def _repaint(
    db: sqlite3.Connection, buffer: int, first: int, bits: int, state: str, lease: int | None = None
) -> None:
    """Give a stretch that lies inside one range another state, leaving the rest of that range as it is."""
    low, size, old = db.execute(
        "SELECT first, bits, state FROM ranges WHERE buffer = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (buffer, first),
    ).fetchone()
    assert first + bits <= low + size, "a range that is not there was to change its state"
    db.execute("DELETE FROM ranges WHERE buffer = ? AND first = ?", (buffer, low))
    if low < first:
        db.execute("INSERT INTO ranges VALUES (?, ?, ?, ?, NULL)", (buffer, low, first - low, old))
    if lease is None:
        _put(db, buffer, first, bits, state)
    else:
        db.execute("INSERT INTO ranges VALUES (?, ?, ?, ?, ?)", (buffer, first, bits, state, lease))
    end = first + bits
    if end < low + size:
        db.execute("INSERT INTO ranges VALUES (?, ?, ?, ?, NULL)", (buffer, end, low + size - end, old))
