"""Who waits for bits and who was promised some: requests, served in the order in which they were made."""

import os
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from .._errors import NotEnoughBits
from ._liveness import Mark
from ._range_table import FREE, refuse_unsupported, supported, total
from ._transaction import Transaction, changes, now, reads

WAITING, RESERVED = "waiting", "reserved"


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
    """One's own request, and what shows that one lives."""

    id: int
    mark: Mark


@changes(durable=False)
def wait_in_line(transaction: Transaction, bits: int, purpose: str) -> Ticket:
    """Enter a lease that waits at the end of the queue."""
    return _ask(transaction, WAITING, bits, purpose)


def _ask(transaction: Transaction, kind: str, bits: int, purpose: str) -> Ticket:
    """Enter a request at the end of the queue."""
    name = str(uuid.uuid4())
    mark = transaction.liveness.hold("request", name)
    number = transaction.db.execute(
        "INSERT INTO requests (uuid, kind, purpose, bits, waiting, pid, made) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (name, kind, purpose, bits, bits if kind == WAITING else 0, os.getpid(), now()),
    ).lastrowid
    assert number is not None
    return Ticket(number, mark)


@changes(durable=False)
def set_waiting(transaction: Transaction, ticket: Ticket, bits: int) -> None:
    """Note that the holder of a reservation waits for so many bits just now (0: for none)."""
    transaction.db.execute("UPDATE requests SET waiting = ? WHERE id = ?", (bits, ticket.id))


@changes(durable=False)
def withdraw(transaction: Transaction, ticket: Ticket) -> None:
    """Forget a request."""
    transaction.db.execute("DELETE FROM requests WHERE id = ?", (ticket.id,))


@reads
def requests(transaction: Transaction) -> list[Request]:
    """List the requests whose makers live, in the order in which they are served."""
    return standing(transaction)


def standing(transaction: Transaction, before: Ticket | None = None) -> list[Request]:
    """List the requests whose makers live, first come first: those before a ticket, where one is given."""
    rows = transaction.db.execute(
        "SELECT id, uuid, kind, purpose, bits, taken, waiting, pid, made FROM requests WHERE id < ? ORDER BY id",
        (before.id if before else 1 << 62,),
    ).fetchall()
    return [Request(*row) for row in rows if not transaction.liveness.is_dead("request", row[1])]


def forget_dead_requests(transaction: Transaction) -> None:
    """Delete the requests whose makers are dead; inside a transaction that changes the ledger."""
    for number, name in transaction.db.execute("SELECT id, uuid FROM requests").fetchall():
        if transaction.liveness.is_dead("request", name):
            transaction.db.execute("DELETE FROM requests WHERE id = ?", (number,))
            transaction.liveness.forget("request", name)


@reads
def might_serve(
    transaction: Transaction, bits: int, ticket: Ticket, min_entropy: float | None = None
) -> bool:
    """Whether it is worth trying to lease `bits`; looks without stopping others."""
    if min_entropy is not None and supported(transaction.db, FREE, min_entropy) < bits:
        return False
    return total(transaction.db, FREE) - _promised(standing(transaction, ticket)) >= bits


def leave_promised(transaction: Transaction, bits: int, ticket: Ticket | None) -> None:
    """Raise NotEnoughBits where taking `bits` would break a promise to those who came before."""
    before = standing(transaction, ticket)
    promised = _promised(before)
    free = total(transaction.db, FREE) if promised else 0
    if promised and free - promised < bits:
        raise NotEnoughBits(
            bits,
            max(free - promised, 0),
            f"free in the store beside {promised:,} promised to earlier requests ({_describe(before)})",
        )


@changes()
def reserve(
    transaction: Transaction, bits: int, purpose: str, coming: float, min_entropy: float | None = None
) -> Ticket:
    """Promise `bits` out of what is free and what is `coming`; raises NotEnoughBits where that is too little.

    With `min_entropy` so many must be free in buffers that were assessed so high.
    """
    forget_dead_requests(transaction)
    refuse_unsupported(transaction.db, bits, FREE, min_entropy)
    before = standing(transaction)
    there = total(transaction.db, FREE) - _promised(before)
    if there + coming < bits:
        running = " or coming from running recordings" if coming else ""
        promised = f", beside what was promised to {_describe(before)}" if before else ""
        raise NotEnoughBits(bits, max(int(there + coming), 0), f"free in the store{running}{promised}")
    return _ask(transaction, RESERVED, bits, purpose)


def needed(requests: Sequence[Request]) -> int:
    """Count the free bits that a store must hold for everybody who waits to be served."""
    most = before = 0
    for item in requests:
        if item.waiting:
            most = max(most, before + item.waiting)
        before += item.outstanding
    return most


def _promised(requests: Sequence[Request]) -> int:
    return sum(item.outstanding for item in requests)


def _describe(requests: Sequence[Request]) -> str:
    """Say in a few words who was promised how much."""
    named = [f"'{item.purpose}' {item.outstanding:,}" for item in requests if item.outstanding]
    more = f" and {len(named) - 3} more" if len(named) > 3 else ""
    return ", ".join(named[:3]) + more
