"""The ledger: which bits of which buffer are free, leased, consumed, burned or withheld.

Ranges are explicit in all five states, so that their sum can be checked against the block rows.
"""

import sqlite3
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

from .._errors import StoreError
from ._buffers import BufferUpdate, add_blocks
from ._leases import forget_dead
from ._liveness import Liveness
from ._locks import FileLocks
from ._range_table import BURNED, FREE, WITHHELD, unsound
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
from ._transaction import LedgerFile, Transaction, now


class Ledger(LedgerFile):
    """The ledger of the store in `folder`: one connection and the verbs that are written over its transactions.

    With `read_only` it is a snapshot in memory, brought up to date there, and nothing on the disk is changed.
    `liveness`: who says which owners are alive; by default the file locks in the store's folder.
    """

    from ._accounts import accounts, free, free_stretches, ranges, release, sums_of, withhold
    from ._buffers import (
        add_stray,
        begin_recording,
        block_copies,
        buffers,
        closed_properly,
        end_recording,
        expected,
        register,
        retire,
        stretch,
        update,
    )
    from ._credits import assess, assessed, credits, drawn
    from ._leases import burned, lease, lease_exactly, open_leases, reap, refuse_spent, settle
    from ._requests import might_serve, requests, reserve, set_waiting, wait_in_line, withdraw

    def __init__(self, folder: Path, *, read_only: bool = False, liveness: Liveness | None = None) -> None:
        liveness = liveness or FileLocks(folder / "locks", read_only)
        super().__init__(folder / "ledger.sqlite", liveness, read_only=read_only)

    def prepare(self, stamp: Mapping[str, str], *, may_be_empty: bool = True) -> None:
        """Make the tables, and note the place of the store, where there are none; bring an earlier version up to date.

        Raises StoreError for a ledger of a version that is unknown, DamagedLedger, having changed nothing, for one
        that contradicts itself or holds what no ledger does, and for an empty one unless `may_be_empty`.
        """
        with self.reading() as transaction:
            version = version_of(transaction.db)
            if version is None and not may_be_empty:
                raise self.damaged("it is empty, and the store holds buffers")
            if version == str(LEDGER_VERSION):
                self._refuse_damaged(transaction.db)
                return
        with self.changing(seeing=True) as transaction:
            db = transaction.db
            version = version_of(db)
            if version is None:
                make_tables(db)
                db.executemany("INSERT INTO meta VALUES (?, ?)", list(stamp.items()))
            elif version in OLDER_VERSIONS:
                self._refuse_damaged(db, version)
                try:
                    bring_up_to_date(db, version)
                except sqlite3.IntegrityError as error:
                    raise self.damaged(error) from error
            elif version != str(LEDGER_VERSION):
                raise StoreError(
                    f"{self.path} is a ledger of version {version} and this program knows {LEDGER_VERSION}: "
                    "use the memtj that wrote it"
                )

    def check(self) -> None:
        """Raise DamagedLedger where a bit has no or two owners, or the file holds what no ledger does."""
        with self.reading() as transaction:
            self._refuse_damaged(transaction.db)

    def _refuse_damaged(self, db: sqlite3.Connection, version: str = str(LEDGER_VERSION)) -> None:
        """Raise DamagedLedger for a foreign table or trigger, a missing one, or where a bit has no or two owners."""
        there, expected = definitions(db), expected_definitions(version)
        for kind, name, _ in sorted(there - expected):
            raise self.damaged(f"it holds the {kind} {name!r}, which no ledger has")
        for kind, name, _ in sorted(expected - there):
            raise self.damaged(f"it lacks the {kind} {name!r}")
        wrong = unsound(db)
        if wrong is not None:
            raise self.damaged(wrong)

    def intact(self) -> bool:
        """Whether SQLite finds the file and every value in it well-formed, and every bit has exactly one owner."""
        try:
            self.check()
            with self.reading() as transaction:
                return transaction.db.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok"
        except StoreError:
            return False

    def take_over(self, damaged: Path, stamp: Mapping[str, str]) -> Rescue:
        """Take over what another ledger's file proves, into this one that holds no buffer yet."""
        with self.changing() as transaction:
            return rescue(transaction.db, damaged, stamp, now())

    def meta(self, key: str) -> str | None:
        """Read a word about the store."""
        with self.reading() as transaction:
            row = transaction.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def set_meta(self, **words: str) -> None:
        """Write words about the store."""
        with self.changing() as transaction:
            _set_meta(transaction, words)

    def become_a_copy(self, updates: Sequence[BufferUpdate], stamp: Mapping[str, str]) -> None:
        """Burn every free and withheld bit, expect no more of any buffer, and take the place for one's own.

        `updates`: the buffers that were still followed; they are entered first. It is one transaction, so that a copy
        whose bits are not burned never passes for a store.
        """
        with self.changing() as transaction:
            add_blocks(transaction.db, updates)
            forget_dead(transaction)
            _set_meta(transaction, {**stamp, "uuid": str(uuid.uuid4())})
            transaction.db.execute(
                "UPDATE ranges SET state = ? WHERE state IN (?, ?)", (BURNED, FREE, WITHHELD)
            )
            transaction.db.execute("UPDATE buffers SET ended = 1")
            transaction.db.execute("UPDATE recordings SET ended = 1")


def _set_meta(transaction: Transaction, words: Mapping[str, str]) -> None:
    transaction.db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", list(words.items()))
