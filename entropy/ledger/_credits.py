"""Assessments of raw bits, and which buffers they let somebody claim a min-entropy for.

Every assessment is kept. The lowest of a buffer counts, so that nobody assesses until the answer pleases.
"""

import sqlite3
from dataclasses import dataclass

from .._errors import StoreError
from ._transaction import Transaction, changes, now, reads

# In a block's `health`: each of its bits was a draw of the run that recorded it, used as it was made.
DRAWN = 1 << 31

_LOWEST = (
    "SELECT buffer, MIN(min_entropy) AS lowest FROM assessments GROUP BY buffer "
    "HAVING SUM(typeof(min_entropy) != 'real' OR min_entropy < 0 OR min_entropy > 1) = 0"
)
SUPPORTED = f"SELECT buffer FROM ({_LOWEST}) WHERE lowest >= ?"


@dataclass(frozen=True)
class Credit:
    """What an assessment said of a buffer: uuid, min-entropy of a raw bit, over how many bits, by what, when (UTC)."""

    buffer: str
    min_entropy: float
    bits: int
    basis: str
    time: str


@changes()
def assess(transaction: Transaction, buffer: int, min_entropy: float, bits: int, basis: str) -> None:
    """Append an assessment of a buffer's raw bits; raises StoreError where they are draws."""
    if buffer in _drawn(transaction.db):
        raise StoreError("the buffer holds draws, which are used up and biased on purpose: assess others")
    transaction.db.execute(
        "INSERT INTO assessments (time, buffer, min_entropy, bits, basis) VALUES (?, ?, ?, ?, ?)",
        (now(), buffer, float(min_entropy), bits, basis),
    )


@reads
def credits(transaction: Transaction) -> list[Credit]:
    """List all assessments in the order of their making."""
    rows = transaction.db.execute(
        "SELECT b.uuid, a.min_entropy, a.bits, a.basis, a.time FROM assessments AS a "
        "JOIN buffers AS b ON b.id = a.buffer ORDER BY a.id"
    ).fetchall()
    return [Credit(*row) for row in rows]


@reads
def drawn(transaction: Transaction) -> set[int]:
    """Give the numbers of the buffers that hold draws, which are never assessed."""
    return _drawn(transaction.db)


def _drawn(db: sqlite3.Connection) -> set[int]:
    rows = db.execute(
        "SELECT b.id FROM buffers AS b JOIN blocks AS k ON k.buffer = b.id AND k.idx = 0 WHERE k.health & ?",
        (DRAWN,),
    ).fetchall()
    return {number for (number,) in rows}


@reads
def assessed(transaction: Transaction) -> dict[int, float]:
    """Give what counts: the lowest min-entropy of each buffer that was assessed, by the buffer's number."""
    return dict(transaction.db.execute(_LOWEST).fetchall())


def describe(db: sqlite3.Connection, state: str) -> str:
    """Say in a few words what the buffers that hold bits of a state were assessed at."""
    rows = db.execute(
        f"SELECT a.lowest FROM (SELECT DISTINCT buffer FROM ranges WHERE state = ?) AS r "
        f"LEFT JOIN ({_LOWEST}) AS a ON a.buffer = r.buffer",
        (state,),
    ).fetchall()
    known = sorted(value for (value,) in rows if value is not None)
    parts = []
    if known:
        span = f"{known[0]:.4g}" if known[0] == known[-1] else f"{known[0]:.4g} to {known[-1]:.4g}"
        parts.append(f"{len(known)} assessed at {span}")
    if len(rows) > len(known):
        parts.append(f"{len(rows) - len(known)} not assessed")
    return ", ".join(parts) or "no buffer has any"
