"""The ledger: which bits of which buffer are free, leased, consumed, burned or withheld.

SQLite in WAL mode, every change inside `BEGIN IMMEDIATE`; a lease is on the disk before a bit leaves
(`synchronous=FULL`). Ranges are explicit in all five states, so the sum can be checked against the block rows.
"""

from __future__ import annotations

import contextlib
import datetime
import os
import sqlite3
import threading
import uuid
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import DamagedLedger, NotEnoughBits, StoreError
from . import _credits as credited
from . import _range_table as ranges_of
from . import _requests as queue
from ._credits import Credit
from ._locks import FileLock, is_free, remove_if_free
from ._range_table import BURNED, CONSUMED, FREE, LEASED, WITHHELD, News
from ._ranges import Range
from ._requests import Request, Ticket
from ._rescue import Rescue, rescue
from ._schema import (
    LEDGER_VERSION,
    OLDER_VERSIONS,
    bring_up_to_date,
    definitions,
    expected_definitions,
    make_tables,
    version_of,
)
from ._snapshot import ledger_snapshot

if TYPE_CHECKING:
    import numpy as np

DELETED = "deleted"


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
    """What the ledger knows of a buffer: a row of the table `buffers`.

    `place`: None in the store's folder, "deleted", or the absolute path of the archived file.
    """

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
    place: str | None


@dataclass(frozen=True)
class OpenLease:
    """A lease that has not been left: its uuid, purpose and bits, and since when (ISO 8601, UTC)."""

    uuid: str
    purpose: str
    bits: int
    taken: str


@dataclass(frozen=True)
class TakenBits:
    """What a lease was given: its number and uuid, its ranges in order, and the lock of its owner."""

    id: int
    uuid: str
    ranges: list[Range]
    lock: FileLock


_BUFFER_COLUMNS = (
    "id, uuid, file, recording, segment, created, simulated, conditioning, blocks, bits, ones, bytes, ended, "
    "complete, place"
)
# What values lead to that no ledger holds, such as a text in the place of a number.
_NONSENSE = (TypeError, ValueError, OverflowError, LookupError, AttributeError, AssertionError)


_OPEN: weakref.WeakSet[Ledger] = weakref.WeakSet()
_inherited = False


def _note_what_is_inherited() -> None:
    # SQLite knows of the files that a process has open, and takes the parent's locks for the child's own.
    global _inherited
    _inherited = _inherited or bool(_OPEN)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_note_what_is_inherited)


def now() -> str:
    """Give the time as ISO 8601 in UTC."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


class Ledger:
    """One connection to a store's ledger; safe to share between the threads of one process.

    With `read_only` it is a snapshot in memory, brought up to date there, and nothing on the disk is changed.
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.path = folder / "ledger.sqlite"
        self.locks = folder / "locks"
        self.read_only = read_only
        self._mutex = threading.RLock()
        if _inherited:
            raise StoreError(
                f"{self.path} cannot be opened in a process that was forked while a store was open, because SQLite's "
                "locks do not hold there: close the store before forking, or start the process anew (the start "
                "method 'spawn' of multiprocessing)"
            )
        with self._errors():
            self._db = (
                ledger_snapshot(self.path)
                if read_only
                else sqlite3.connect(self.path, timeout=60, isolation_level=None, check_same_thread=False)
            )
            try:
                self._db.execute("PRAGMA trusted_schema=OFF")
                if not read_only:
                    self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=FULL")
            except BaseException:
                self._db.close()
                raise
        _OPEN.add(self)

    def close(self) -> None:
        """Close the connection."""
        _OPEN.discard(self)
        with self._mutex:
            self._db.close()

    def refuse_read_only(self) -> None:
        """Raise StoreError where this is a snapshot, through which nothing is changed."""
        if self.read_only:
            raise StoreError(
                f"{self.path} was opened read-only: open the store without read_only to change it"
            )

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what SQLite raises, and what values that are none lead to, into StoreError."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if any(word in text for word in ("no such", "malformed", "syntax", "not authorized", "unsafe")):
                raise self._damaged(error) from error
            advice = "free some space" if "full" in text or "disk I/O" in text else "try again"
            if "readonly" in text or "unable to open" in text:
                advice = f"check whether {self.path.parent} can be written; 'memtj store ls' and 'verify' only read it"
            raise StoreError(f"{self.path}: {text}; {advice}") from error
        except sqlite3.IntegrityError as error:
            if "CHECK" not in str(error):
                raise self._damaged(error) from error
            raise StoreError(f"{self.path} takes no such value ({error}): nothing was changed") from error
        except (sqlite3.Error, *_NONSENSE) as error:
            raise self._damaged(error) from error
        except OSError as error:  # of a lock file
            raise StoreError(
                f"{self.locks}: {error.strerror or error}; check the folder and its room"
            ) from error

    def _damaged(self, error: object) -> DamagedLedger:
        return DamagedLedger(
            f"{self.path} is no ledger or is damaged ({error}): restore it, or let 'memtj store salvage' make a "
            "new one, in which all that it cannot prove counts as burned"
        )

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
    def _writing(self, *, durable: bool = True, seeing: bool = False) -> Iterator[sqlite3.Connection]:
        """Change the ledger in one transaction, on the disk when this is left.

        With `durable=False` it reaches the disk with the next one that is durable: for changes that a power cut
        may undo, because then bits count as burned, or are found in the buffers again. `seeing`: it only sees what
        has happened, which a snapshot does too; all else raises StoreError there.
        """
        if not seeing:
            self.refuse_read_only()
        with self._mutex, self._errors():
            if not durable:
                self._db.execute("PRAGMA synchronous=NORMAL")
            try:
                self._db.execute("BEGIN IMMEDIATE")
                try:
                    yield self._db
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            finally:
                if not durable:
                    self._db.execute("PRAGMA synchronous=FULL")

    # --- the store itself

    def prepare(self, stamp: Mapping[str, str], *, may_be_empty: bool = True) -> None:
        """Make the tables, and note the place of the store, where there are none; bring an earlier version up to date.

        Raises StoreError for a ledger of a version that is unknown, DamagedLedger, having changed nothing, for one
        that contradicts itself or holds what no ledger does, and for an empty one unless `may_be_empty`.
        """
        with self._reading() as db:
            version = version_of(db)
            if version is None and not may_be_empty:
                raise self._damaged("it is empty, and the store holds buffers")
            if version == str(LEDGER_VERSION):
                self._refuse_damaged(db)
                return
        with self._writing(seeing=True) as db:
            version = version_of(db)
            if version is None:
                make_tables(db)
                db.executemany("INSERT INTO meta VALUES (?, ?)", list(stamp.items()))
            elif version in OLDER_VERSIONS:
                self._refuse_damaged(db, version)
                try:
                    bring_up_to_date(db, version)
                except sqlite3.IntegrityError as error:
                    raise self._damaged(error) from error
            elif version != str(LEDGER_VERSION):
                raise StoreError(
                    f"{self.path} is a ledger of version {version} and this program knows {LEDGER_VERSION}: "
                    "use the memtj that wrote it"
                )

    def check(self) -> None:
        """Raise DamagedLedger where a bit has no or two owners, or the file holds what no ledger does."""
        with self._reading() as db:
            self._refuse_damaged(db)

    def _refuse_damaged(self, db: sqlite3.Connection, version: str = str(LEDGER_VERSION)) -> None:
        """Raise DamagedLedger for a foreign table or trigger, a missing one, or where a bit has no or two owners."""
        there, expected = definitions(db), expected_definitions(version)
        for kind, name, _ in sorted(there - expected):
            raise self._damaged(f"it holds the {kind} {name!r}, which no ledger has")
        for kind, name, _ in sorted(expected - there):
            raise self._damaged(f"it lacks the {kind} {name!r}")
        wrong = ranges_of.unsound(db)
        if wrong is not None:
            raise self._damaged(wrong)

    def intact(self) -> bool:
        """Whether SQLite finds the file and every value in it well-formed, and every bit has exactly one owner."""
        try:
            self.check()
            with self._reading() as db:
                return db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        except StoreError:
            return False

    def take_over(self, damaged: Path, stamp: Mapping[str, str]) -> Rescue:
        """Take over what another ledger's file proves, into this one that holds no buffer yet."""
        with self._writing() as db:
            return rescue(db, damaged, stamp, now())

    def meta(self, key: str) -> str | None:
        """Read a word about the store."""
        with self._reading() as db:
            row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, **words: str) -> None:
        """Write words about the store."""
        with self._writing() as db:
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(words.items()))

    # --- recordings, buffers and their blocks

    def begin_recording(self, recording: str, expected: int | None) -> None:
        """Enter a recording that will bring `expected` bits in all (None: it has no end)."""
        with self._writing() as db:
            db.execute(
                "INSERT INTO recordings (uuid, started, expected) VALUES (?, ?, ?)",
                (recording, now(), expected),
            )

    def end_recording(self, recording: str) -> None:
        """Expect nothing more of a recording."""
        with self._writing(durable=False) as db:
            db.execute("UPDATE recordings SET ended = 1 WHERE uuid = ?", (recording,))

    def expected(self) -> float:
        """Count the bits that recordings whose writers live will still bring; infinite where one has no end."""
        with self._reading() as db:
            found = db.execute(
                "SELECT r.uuid, r.expected, (SELECT COALESCE(SUM(bits), 0) FROM buffers WHERE recording = r.uuid) "
                "FROM recordings AS r WHERE NOT r.ended"
            ).fetchall()
        return sum(
            float("inf") if wanted is None else max(wanted - there, 0)
            for name, wanted, there in found
            if not is_free(writer_lock(self.locks, name))
        )

    def register(self, values: dict[str, Any]) -> None:
        """Enter a new buffer that followers can open by now."""
        with self._writing() as db:
            _register(db, values)

    def salvage(self, values: dict[str, Any], rows: np.ndarray, state: str) -> None:
        """Enter a buffer that no ledger knows, all of its bits in one state."""
        with self._writing() as db:
            number = _register(db, values)
            complete = bool(values.get("complete"))
            ranges_of.enter(db, News(number, rows, ended=True, complete=complete), state)

    def buffers(self, *, following: bool = False) -> list[BufferRecord]:
        """List the buffers in the order of their making; `following` lists those that may still grow."""
        condition = "WHERE NOT ended" if following else ""
        with self._reading() as db:
            found = db.execute(f"SELECT {_BUFFER_COLUMNS} FROM buffers {condition} ORDER BY id").fetchall()
            return [_checked(BufferRecord(*row)) for row in found]

    def block_copies(self, buffer: int) -> np.ndarray:
        """Give the ledger's copy of block rows: (first_byte, bits, ones, crc), int64, (blocks, 4)."""
        import numpy as np

        with self._reading() as db:
            found = db.execute(
                "SELECT first_byte, bits, ones, crc FROM blocks WHERE buffer = ? ORDER BY idx", (buffer,)
            ).fetchall()
        return np.asarray(found, np.int64).reshape(len(found), 4)

    def block_copies_from(self, buffer: int, index: int, count: int) -> dict[int, tuple[int, int, int, int]]:
        """Give the ledger's copies of up to `count` block rows from `index` on: (first_byte, bits, ones, crc)."""
        # One statement is a transaction by itself: begun and ended apart it took three times as long. All rows are
        # fetched, so that it is over.
        with self._mutex, self._errors():
            found = self._db.execute(
                "SELECT idx, first_byte, bits, ones, crc FROM blocks WHERE buffer = ? AND idx BETWEEN ? AND ?",
                (buffer, index, index + count - 1),
            ).fetchall()
        return {row[0]: row[1:] for row in found}

    def first_bits(self, buffer: int) -> np.ndarray:
        """Give the first usable bit of each block of a buffer, and the end of the last; int64, (blocks + 1,)."""
        import numpy as np

        bits = self.block_copies(buffer)[:, 1]
        return np.concatenate([[0], np.cumsum(bits)])

    def enter(self, news: Sequence[News]) -> None:
        """Enter all rows that the ledger has not seen: as free, or withheld by their health."""
        if news:
            with self._writing(durable=False, seeing=True) as db:
                for item in news:
                    ranges_of.enter(db, item)

    def closed_properly(self, buffer: int) -> None:
        """Note that a buffer's file has been closed properly after all."""
        with self._writing() as db:
            db.execute("UPDATE buffers SET complete = 1 WHERE id = ?", (buffer,))

    def retire(self, buffer: int, place: str, *, burn: bool) -> bool:
        """Note that a buffer's file goes to `place`; False, and nothing changes, where bits are still to be had.

        With `burn` its free and withheld bits are burned; leased bits always keep a buffer.
        """
        with self._writing() as db:
            states = {
                state
                for (state,) in db.execute(
                    "SELECT DISTINCT state FROM ranges WHERE buffer = ?", (buffer,)
                ).fetchall()
            }
            ended = db.execute("SELECT ended FROM buffers WHERE id = ?", (buffer,)).fetchone()[0]
            if LEASED in states or not ended or (not burn and states & {FREE, WITHHELD}):
                return False
            db.execute(
                "UPDATE ranges SET state = ? WHERE buffer = ? AND state IN (?, ?)",
                (BURNED, buffer, FREE, WITHHELD),
            )
            db.execute("UPDATE buffers SET place = ? WHERE id = ?", (place, buffer))
        return True

    # --- leases

    def lease(
        self,
        bits: int,
        purpose: str,
        withheld: bool = False,
        *,
        news: Sequence[News] = (),
        ticket: Ticket | None = None,
        min_entropy: float | None = None,
    ) -> TakenBits:
        """Take `bits` in one transaction, after entering the `news`.

        Bits that those before `ticket` were promised are left to them; without a ticket one comes last. Bits
        whose file is missing are not taken; with `min_entropy`, only those of buffers that were assessed so high.
        Raises NotEnoughBits, having taken nothing.
        """
        with self._writing() as db:
            for item in news:
                ranges_of.enter(db, item)
            self._forget_dead(db)
            if not withheld:
                self._leave_promised(db, bits, ticket)
            chosen = ranges_of.pick(db, bits, WITHHELD if withheld else FREE, self._is_there, min_entropy)
            return self._take(db, chosen, purpose, withheld, ticket, min_entropy)

    def lease_exactly(self, buffer: BufferRecord, first: int, bits: int, purpose: str) -> TakenBits:
        """Take one stretch of a buffer, all of it free; raises StoreError where some of it is not."""
        with self._writing() as db:
            self._forget_dead(db)
            _refuse_spent(db, buffer, first, bits)
            return self._take(db, [(buffer.id, Range(buffer.uuid, first, bits))], purpose, False, None)

    def refuse_spent(self, buffer: BufferRecord, first: int, bits: int) -> None:
        """Raise StoreError where not all of a stretch of a buffer is free."""
        with self._reading() as db:
            _refuse_spent(db, buffer, first, bits)

    def _is_there(self, file: str) -> bool:
        return (self.path.parent / file).is_file()

    def _take(
        self,
        db: sqlite3.Connection,
        chosen: list[tuple[int, Range]],
        purpose: str,
        withheld: bool,
        ticket: Ticket | None,
        min_entropy: float | None = None,
    ) -> TakenBits:
        name = str(uuid.uuid4())
        bits = sum(item.bits for _, item in chosen)
        lock = FileLock(lease_lock(self.locks, name))
        number = None if ticket is None else ticket.id
        cursor = db.execute(
            "INSERT INTO leases (uuid, purpose, bits, withheld, taken, request, min_entropy) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (name, purpose, bits, withheld, now(), number, min_entropy),
        )
        lease = cursor.lastrowid
        assert lease is not None
        for buffer, item in chosen:
            was = WITHHELD if withheld else FREE
            ranges_of.repaint(db, buffer, item.first, item.bits, LEASED, was=was, lease=lease)
        if ticket is not None:
            db.execute("UPDATE requests SET taken = taken + ?, waiting = 0 WHERE id = ?", (bits, number))
        return TakenBits(lease, name, [item for _, item in chosen], lock)

    def _leave_promised(self, db: sqlite3.Connection, bits: int, ticket: Ticket | None) -> None:
        """Raise NotEnoughBits where taking `bits` would break a promise to those who came before."""
        before = queue.ahead(queue.alive(db, self.locks), ticket.id if ticket else None)
        promised = sum(item.outstanding for item in before)
        if not promised:
            return
        free = ranges_of.total(db, FREE)
        if free - promised < bits:
            raise NotEnoughBits(
                bits,
                max(free - promised, 0),
                f"free in the store beside {promised:,} promised to earlier requests ({queue.describe(before)})",
            )

    def settle(self, lease: int, read: Sequence[Range], *, burn: bool) -> None:
        """End a lease: what was read is consumed and the rest goes back; with `burn` all of it is burned."""
        with self._writing(durable=False) as db:
            if db.execute("SELECT outcome FROM leases WHERE id = ?", (lease,)).fetchone()[0] is not None:
                raise StoreError(
                    f"{self.path}: this lease was taken for dead and burned (was its lock file in "
                    f"{self.locks} removed?); its bits stay burned"
                )
            ranges_of.settle(db, lease, read, burn, now())

    def open_leases(self) -> list[OpenLease]:
        """List the leases that were not left, those of dead owners included until they are burned."""
        with self._reading() as db:
            found = db.execute(
                "SELECT uuid, purpose, bits, taken FROM leases WHERE outcome IS NULL ORDER BY id"
            ).fetchall()
            return [OpenLease(*row) for row in found]

    def burned(self, purpose: str) -> list[Range]:
        """Give the ranges of the last lease that was taken for `purpose`, in order, where it was burned; else none."""
        with self._reading() as db:
            found = db.execute(
                "SELECT b.uuid, r.first, r.bits FROM ranges AS r JOIN buffers AS b ON b.id = r.buffer "
                "WHERE r.state = 'burned' AND r.lease = (SELECT MAX(id) FROM leases WHERE purpose = ?) "
                "ORDER BY r.buffer, r.first",
                (purpose,),
            ).fetchall()
            return [Range(*row) for row in found]

    def reap(self) -> None:
        """Burn the leases whose owners are dead."""
        with self._reading() as db:
            suspects = _open_leases(db)
        if any(is_free(lease_lock(self.locks, name)) for _, name in suspects):
            with self._writing(seeing=True) as db:
                self._forget_dead(db)

    def _forget_dead(self, db: sqlite3.Connection) -> None:
        for lease, name in _open_leases(db):
            path = lease_lock(self.locks, name)
            if is_free(path):
                ranges_of.settle(db, lease, (), True, now())
                self._remove_lock(path)
        if not self.read_only:
            queue.forget_dead(db, self.locks)

    def _remove_lock(self, path: Path) -> None:
        if not self.read_only:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def clean_locks(self) -> None:
        """Remove lock files that stand for nothing any more."""
        if self.read_only:
            return
        # Such locks are made inside a writing transaction, so none is in the making.
        with self._writing(durable=False) as db:
            alive = {lease_lock(self.locks, name) for _, name in _open_leases(db)}
            alive |= {queue.request_lock(self.locks, item.uuid) for item in queue.alive(db, self.locks)}
            for path in [*self.locks.glob("lease-*"), *self.locks.glob("request-*")]:
                if path not in alive and is_free(path):
                    with contextlib.suppress(OSError):
                        path.unlink()
        for path in self.locks.glob("writer-*"):
            with contextlib.suppress(OSError):
                remove_if_free(path)

    # --- requests

    def reserve(self, bits: int, purpose: str, coming: float, min_entropy: float | None = None) -> Ticket:
        """Promise `bits` out of what is free and what is `coming`; raises NotEnoughBits where that is too little.

        With `min_entropy` so many must be free in buffers that were assessed so high.
        """
        with self._writing() as db:
            self._forget_dead(db)
            ranges_of.refuse_unsupported(db, bits, FREE, min_entropy)
            before = queue.alive(db, self.locks)
            there = ranges_of.total(db, FREE) - sum(item.outstanding for item in before)
            if there + coming < bits:
                raise NotEnoughBits(bits, max(int(there + coming), 0), _what_is_to_be_had(coming, before))
            return queue.ask(db, self.locks, queue.RESERVED, bits, purpose, now())

    def wait_in_line(self, bits: int, purpose: str) -> Ticket:
        """Enter a lease that waits at the end of the queue."""
        with self._writing(durable=False) as db:
            return queue.ask(db, self.locks, queue.WAITING, bits, purpose, now())

    def set_waiting(self, ticket: Ticket, bits: int) -> None:
        """Note that the holder of a reservation waits for so many bits just now (0: for none)."""
        with self._writing(durable=False) as db:
            db.execute("UPDATE requests SET waiting = ? WHERE id = ?", (bits, ticket.id))

    def withdraw(self, ticket: Ticket) -> None:
        """Forget a request."""
        with self._writing(durable=False) as db:
            db.execute("DELETE FROM requests WHERE id = ?", (ticket.id,))

    def requests(self) -> list[Request]:
        """List the requests whose makers live, in the order in which they are served."""
        with self._reading() as db:
            return queue.alive(db, self.locks)

    def might_serve(self, bits: int, ticket: Ticket, min_entropy: float | None = None) -> bool:
        """Whether it is worth trying to lease `bits`; looks without stopping others."""
        with self._reading() as db:
            if min_entropy is not None and ranges_of.supported(db, FREE, min_entropy) < bits:
                return False
            before = queue.ahead(queue.alive(db, self.locks), ticket.id)
            return ranges_of.total(db, FREE) - sum(item.outstanding for item in before) >= bits

    # --- assessments and verdicts

    def assess(self, buffer: int, min_entropy: float, bits: int, basis: str) -> None:
        """Append an assessment of a buffer's raw bits."""
        with self._writing() as db:
            credited.record(db, buffer, min_entropy, bits, basis, now())

    def credits(self) -> list[Credit]:
        """List all assessments in the order of their making."""
        with self._reading() as db:
            return credited.every(db)

    def assessed(self) -> dict[int, float]:
        """Give the min-entropy that counts of each buffer that was assessed, by the buffer's number."""
        with self._reading() as db:
            return credited.lowest(db)

    def withhold(self, buffer: int, first: int, bits: int, verdict: str) -> int:
        """Withhold the free bits of a range; returns how many there were."""
        return self._judge((buffer, first, bits), FREE, WITHHELD, verdict)

    def release(self, buffer: int, first: int, bits: int, verdict: str) -> int:
        """Make the withheld bits of a range free again; returns how many there were."""
        return self._judge((buffer, first, bits), WITHHELD, FREE, verdict)

    def _judge(self, stretch: tuple[int, int, int], was: str, state: str, verdict: str) -> int:
        with self._writing() as db:
            changed = ranges_of.repaint_inside(db, stretch, was, state)
            db.execute(
                "INSERT INTO verdicts (time, buffer, first, bits, verdict) VALUES (?, ?, ?, ?, ?)",
                (now(), *stretch, verdict),
            )
        return changed

    def become_a_copy(self, news: Sequence[News], stamp: dict[str, str]) -> None:
        """Burn every free and withheld bit, expect no more of any buffer, and take the place for one's own.

        `news`: the buffers that were still followed; they are entered first. It is one transaction, so that a copy
        whose bits are not burned never passes for a store.
        """
        with self._writing() as db:
            for item in news:
                ranges_of.enter(db, item)
            self._forget_dead(db)
            db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(stamp.items()))
            db.execute("UPDATE ranges SET state = ? WHERE state IN (?, ?)", (BURNED, FREE, WITHHELD))
            db.execute("UPDATE buffers SET ended = 1")
            db.execute("UPDATE recordings SET ended = 1")
            db.execute("UPDATE meta SET value = ? WHERE key = 'uuid'", (str(uuid.uuid4()),))

    # --- the accounts

    def accounts(self) -> Accounts:
        """Sum the block rows and, apart from them, the ranges of each state, at one moment."""
        with self._reading() as db:
            recorded = db.execute("SELECT COALESCE(SUM(bits), 0) FROM blocks").fetchone()[0]
            sums = dict(db.execute("SELECT state, SUM(bits) FROM ranges GROUP BY state").fetchall())
            states = (sums.get(state, 0) for state in (FREE, LEASED, CONSUMED, BURNED, WITHHELD))
            return Accounts(int(recorded), *(int(bits) for bits in states))

    def free_stretches(self) -> list[Range]:
        """Give the longest free stretch of each buffer that was not pruned."""
        with self._reading() as db:
            # of the row with the greatest MAX, SQLite gives the other columns too
            found = db.execute(
                "SELECT b.uuid, r.first, MAX(r.bits) FROM ranges AS r JOIN buffers AS b ON b.id = r.buffer "
                "WHERE r.state = ? AND b.place IS NULL GROUP BY r.buffer ORDER BY r.buffer",
                (FREE,),
            ).fetchall()
            return [Range(*row) for row in found]

    def free(self) -> int:
        """Sum the free bits alone, which costs the same however long the store is."""
        with self._reading() as db:
            return ranges_of.total(db, FREE)

    def sums_of(self, buffer: int) -> dict[str, int]:
        """Sum a buffer's bits by state; states without a bit are left out."""
        with self._reading() as db:
            return dict(
                db.execute(
                    "SELECT state, SUM(bits) FROM ranges WHERE buffer = ? GROUP BY state", (buffer,)
                ).fetchall()
            )

    def ranges(self, buffer: int) -> list[tuple[int, int, str]]:
        """List a buffer's (first bit, bits, state) in the order of bits."""
        with self._reading() as db:
            return db.execute(
                "SELECT first, bits, state FROM ranges WHERE buffer = ? ORDER BY first", (buffer,)
            ).fetchall()


def _refuse_spent(db: sqlite3.Connection, buffer: BufferRecord, first: int, bits: int) -> None:
    free = db.execute(
        "SELECT COALESCE(SUM(MIN(first + bits, ?) - MAX(first, ?)), 0) FROM ranges WHERE buffer = ? "
        "AND state = ? AND first < ? AND first + bits > ?",
        (first + bits, first, buffer.id, FREE, first + bits, first),
    ).fetchone()[0]
    if free < bits:
        raise StoreError(
            f"{free:,} of the {bits:,} bits from bit {first:,} of {buffer.file} are free and all of them were "
            "wanted: choose other blocks, or ask for a number of bits"
        )


def lease_lock(locks: Path, name: str) -> Path:
    """Name the file whose lock the owner of a lease holds."""
    return locks / f"lease-{name}.lock"


def writer_lock(locks: Path, recording: str) -> Path:
    """Name the file whose lock the writer of a recording holds."""
    return locks / f"writer-{recording}.lock"


def _open_leases(db: sqlite3.Connection) -> list[tuple[int, str]]:
    return db.execute("SELECT id, uuid FROM leases WHERE outcome IS NULL").fetchall()


def _register(db: sqlite3.Connection, values: dict[str, Any]) -> int:
    names = ", ".join(values)
    marks = ", ".join("?" * len(values))
    cursor = db.execute(f"INSERT INTO buffers ({names}) VALUES ({marks})", list(values.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _what_is_to_be_had(coming: float, before: list[Request]) -> str:
    running = " or coming from running recordings" if coming else ""
    promised = f", beside what was promised to {queue.describe(before)}" if before else ""
    return f"free in the store{running}{promised}"


def _checked(record: BufferRecord) -> BufferRecord:
    """Give a record back, or raise ValueError where it holds what none does."""
    texts = (record.uuid, record.file, record.recording, record.created)
    numbers = (record.id, record.segment, record.blocks, record.bits, record.ones, record.bytes, record.ended)
    sane = all(isinstance(text, str) and "\0" not in text for text in texts) and all(
        isinstance(number, int) and number >= 0 for number in numbers
    )
    if not sane or not (record.place is None or isinstance(record.place, str)):
        raise ValueError(f"its record of the buffer {record.file!r} is none")
    return record
