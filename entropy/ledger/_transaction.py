"""One connection to a store's ledger; each of its verbs is one transaction, which happens at one moment or not at all.

SQLite in WAL mode, every change inside `BEGIN IMMEDIATE`; a durable one is on the disk when its verb returns
(`synchronous=FULL`).
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

from .._errors import DamagedLedger, StoreError
from ._liveness import Liveness
from ._snapshot import ledger_snapshot

_P = ParamSpec("_P")
_R = TypeVar("_R")
# What values lead to that no ledger holds, such as a text in the place of a number.
_NONSENSE = (TypeError, ValueError, OverflowError, LookupError, AttributeError, AssertionError)

_OPEN: weakref.WeakSet[LedgerFile] = weakref.WeakSet()
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


@dataclass(frozen=True)
class Transaction:
    """A transaction that has begun, on the ledger at `path`, and who says which owners are alive."""

    db: sqlite3.Connection
    path: Path
    liveness: Liveness


class LedgerFile:
    """One connection to a store's ledger; safe to share between the threads of one process.

    With `read_only` it is a snapshot in memory, and nothing on the disk is changed.
    """

    def __init__(self, path: Path, liveness: Liveness, *, read_only: bool = False) -> None:
        self.path = path
        self.liveness = liveness
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
    def reading(self) -> Iterator[Transaction]:
        """Look at the ledger as it is at one moment."""
        with self._mutex, self._errors():
            self._db.execute("BEGIN")
            try:
                yield Transaction(self._db, self.path, self.liveness)
            finally:
                if self._db.in_transaction:
                    self._db.execute("COMMIT")

    @contextlib.contextmanager
    def changing(self, *, durable: bool = True, seeing: bool = False) -> Iterator[Transaction]:
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
                    yield Transaction(self._db, self.path, self.liveness)
                    self._db.execute("COMMIT")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("ROLLBACK")
                    raise
            finally:
                if not durable:
                    self._db.execute("PRAGMA synchronous=FULL")

    @contextlib.contextmanager
    def statement(self) -> Iterator[sqlite3.Connection]:
        """Read by one statement, which is a transaction by itself: begun and ended apart it took three times as long.

        All of its rows are to be fetched, so that it is over.
        """
        with self._mutex, self._errors():
            yield self._db

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn what SQLite raises, and what values that are none lead to, into StoreError."""
        try:
            yield
        except sqlite3.OperationalError as error:
            text = str(error)
            if any(word in text for word in ("no such", "malformed", "syntax", "not authorized", "unsafe")):
                raise self.damaged(error) from error
            advice = "free some space" if "full" in text or "disk I/O" in text else "try again"
            if "readonly" in text or "unable to open" in text:
                advice = f"check whether {self.path.parent} can be written; 'memtj store ls' and 'verify' only read it"
            raise StoreError(f"{self.path}: {text}; {advice}") from error
        except sqlite3.IntegrityError as error:
            if "CHECK" not in str(error):
                raise self.damaged(error) from error
            raise StoreError(f"{self.path} takes no such value ({error}): nothing was changed") from error
        except (sqlite3.Error, *_NONSENSE) as error:
            raise self.damaged(error) from error
        except OSError as error:  # of the marks of owners
            raise StoreError(
                f"{self.liveness}: {error.strerror or error}; check the folder and its room"
            ) from error

    def damaged(self, error: object) -> DamagedLedger:
        """Give the error that says in what way this file is no ledger."""
        return DamagedLedger(
            f"{self.path} is no ledger or is damaged ({error}): restore it, or let 'memtj store salvage' make a "
            "new one, in which all that it cannot prove counts as burned"
        )


def reads(
    verb: Callable[Concatenate[Transaction, _P], _R],
) -> Callable[Concatenate[LedgerFile, _P], _R]:
    """Make a verb of what looks at a ledger in one transaction: `ledger.verb(...)`."""

    @functools.wraps(verb)
    def once(ledger: LedgerFile, *arguments: _P.args, **named: _P.kwargs) -> _R:
        with ledger.reading() as transaction:
            return verb(transaction, *arguments, **named)

    return once


def changes(
    *, durable: bool = True, seeing: bool = False
) -> Callable[[Callable[Concatenate[Transaction, _P], _R]], Callable[Concatenate[LedgerFile, _P], _R]]:
    """Make a verb of what changes a ledger in one transaction; see `LedgerFile.changing`."""

    def decorate(
        verb: Callable[Concatenate[Transaction, _P], _R],
    ) -> Callable[Concatenate[LedgerFile, _P], _R]:
        @functools.wraps(verb)
        def once(ledger: LedgerFile, *arguments: _P.args, **named: _P.kwargs) -> _R:
            with ledger.changing(durable=durable, seeing=seeing) as transaction:
                return verb(transaction, *arguments, **named)

        return once

    return decorate
