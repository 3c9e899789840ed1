"""Leases: bits that are one owner's alone, from their taking to the word on what became of them."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import StoreError
from ._buffers import BufferRecord, BufferUpdate, add_blocks
from ._liveness import Mark
from ._range_table import FREE, LEASED, WITHHELD, end_lease, inside, pick, repaint
from ._ranges import Range
from ._requests import Ticket, forget_dead_requests, leave_promised
from ._transaction import LedgerFile, Transaction, changes, now, reads


@dataclass(frozen=True)
class OpenLease:
    """A lease that has not been left: its uuid, purpose and bits, and since when (ISO 8601, UTC)."""

    uuid: str
    purpose: str
    bits: int
    taken: str


@dataclass(frozen=True)
class TakenBits:
    """What a lease was given: its number and uuid, its ranges in order, and what shows that its owner lives."""

    id: int
    uuid: str
    ranges: list[Range]
    mark: Mark


@changes()
def lease(
    transaction: Transaction,
    bits: int,
    purpose: str,
    withheld: bool = False,
    *,
    updates: Sequence[BufferUpdate] = (),
    ticket: Ticket | None = None,
    min_entropy: float | None = None,
) -> TakenBits:
    """Take `bits` in one transaction, after entering the `updates`.

    Bits that those before `ticket` were promised are left to them; without a ticket one comes last. Bits
    whose file is missing are not taken; with `min_entropy`, only those of buffers that were assessed so high.
    Raises NotEnoughBits, having taken nothing.
    """
    db, folder = transaction.db, transaction.path.parent
    add_blocks(db, updates)
    forget_dead(transaction)
    if not withheld:
        leave_promised(transaction, bits, ticket)
    state = WITHHELD if withheld else FREE
    chosen = pick(db, bits, state, lambda file: (folder / file).is_file(), min_entropy)
    return _take(transaction, chosen, purpose, withheld, ticket, min_entropy)


@changes()
def lease_exactly(
    transaction: Transaction, buffer: BufferRecord, first: int, bits: int, purpose: str
) -> TakenBits:
    """Take one stretch of a buffer, all of it free; raises StoreError where some of it is not."""
    forget_dead(transaction)
    _refuse_spent(transaction.db, buffer, first, bits)
    return _take(transaction, [(buffer.id, Range(buffer.uuid, first, bits))], purpose)


@reads
def refuse_spent(transaction: Transaction, buffer: BufferRecord, first: int, bits: int) -> None:
    """Raise StoreError where not all of a stretch of a buffer is free."""
    _refuse_spent(transaction.db, buffer, first, bits)


def _refuse_spent(db: sqlite3.Connection, buffer: BufferRecord, first: int, bits: int) -> None:
    free = sum(high - low for low, high in inside(db, (buffer.id, first, bits), FREE))
    if free < bits:
        raise StoreError(
            f"{free:,} of the {bits:,} bits from bit {first:,} of {buffer.file} are free and all of them were "
            "wanted: choose other blocks, or ask for a number of bits"
        )


def _take(
    transaction: Transaction,
    chosen: list[tuple[int, Range]],
    purpose: str,
    withheld: bool = False,
    ticket: Ticket | None = None,
    min_entropy: float | None = None,
) -> TakenBits:
    db, name = transaction.db, str(uuid.uuid4())
    bits = sum(item.bits for _, item in chosen)
    mark = transaction.liveness.hold("lease", name)
    request = None if ticket is None else ticket.id
    number = db.execute(
        "INSERT INTO leases (uuid, purpose, bits, withheld, taken, request, min_entropy) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (name, purpose, bits, withheld, now(), request, min_entropy),
    ).lastrowid
    assert number is not None
    for buffer, item in chosen:
        was = WITHHELD if withheld else FREE
        repaint(db, buffer, item.first, item.bits, LEASED, was=was, lease=number)
    if ticket is not None:
        db.execute("UPDATE requests SET taken = taken + ?, waiting = 0 WHERE id = ?", (bits, request))
    return TakenBits(number, name, [item for _, item in chosen], mark)


@changes(durable=False)
def settle(transaction: Transaction, lease: int, read: Sequence[Range], *, burn: bool) -> None:
    """End a lease: what was read is consumed and the rest goes back; with `burn` all of it is burned."""
    (outcome,) = transaction.db.execute("SELECT outcome FROM leases WHERE id = ?", (lease,)).fetchone()
    if outcome is not None:
        raise StoreError(
            f"{transaction.path}: this lease was taken for dead and burned (was its lock file in "
            f"{transaction.liveness} removed?); its bits stay burned"
        )
    end_lease(transaction.db, lease, read, burn, now())


@reads
def open_leases(transaction: Transaction) -> list[OpenLease]:
    """List the leases that were not left, those of dead owners included until they are burned."""
    query = "SELECT uuid, purpose, bits, taken FROM leases WHERE outcome IS NULL ORDER BY id"
    return [OpenLease(*row) for row in transaction.db.execute(query)]


@reads
def burned(transaction: Transaction, purpose: str) -> list[Range]:
    """Give the ranges of the last lease that was taken for `purpose`, in order, where it was burned; else none."""
    rows = transaction.db.execute(
        "SELECT b.uuid, r.first, r.bits FROM ranges AS r JOIN buffers AS b ON b.id = r.buffer "
        "WHERE r.state = 'burned' AND r.lease = (SELECT MAX(id) FROM leases WHERE purpose = ?) "
        "ORDER BY r.buffer, r.first",
        (purpose,),
    ).fetchall()
    return [Range(*row) for row in rows]


def reap(ledger: LedgerFile) -> None:
    """Burn the leases whose owners are dead."""
    with ledger.reading() as looking:
        dead = _dead(looking)
    if dead:
        with ledger.changing(seeing=True) as transaction:
            forget_dead(transaction)


def forget_dead(transaction: Transaction) -> None:
    """Burn the leases of the dead and forget their requests, inside a transaction that changes the ledger."""
    for lease, name in _dead(transaction):
        end_lease(transaction.db, lease, (), True, now())
        transaction.liveness.forget("lease", name)
    forget_dead_requests(transaction)


def _dead(transaction: Transaction) -> list[tuple[int, str]]:
    rows = transaction.db.execute("SELECT id, uuid FROM leases WHERE outcome IS NULL").fetchall()
    return [row for row in rows if transaction.liveness.is_dead("lease", row[1])]
