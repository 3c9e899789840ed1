"""Assessments of raw bits, and which buffers they let somebody claim a min-entropy for; always inside a transaction.

Every assessment is kept. The lowest of a buffer counts, so that nobody assesses until the answer pleases.
"""

import sqlite3
from dataclasses import dataclass

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


def record(db: sqlite3.Connection, buffer: int, min_entropy: float, bits: int, basis: str, when: str) -> None:
    """Append an assessment of a buffer."""
    db.execute(
        "INSERT INTO assessments (time, buffer, min_entropy, bits, basis) VALUES (?, ?, ?, ?, ?)",
        (when, buffer, float(min_entropy), bits, basis),
    )


def every(db: sqlite3.Connection) -> list[Credit]:
    """List all assessments in the order of their making."""
    found = db.execute(
        "SELECT b.uuid, a.min_entropy, a.bits, a.basis, a.time FROM assessments AS a "
        "JOIN buffers AS b ON b.id = a.buffer ORDER BY a.id"
    ).fetchall()
    return [Credit(*row) for row in found]


def lowest(db: sqlite3.Connection) -> dict[int, float]:
    """Give what counts: the lowest min-entropy of each buffer that was assessed, by the buffer's number."""
    return dict(db.execute(_LOWEST).fetchall())


def describe(db: sqlite3.Connection, state: str) -> str:
    """Say in a few words what the buffers that hold bits of a state were assessed at."""
    found = [
        row[0]
        for row in db.execute(
            f"SELECT a.lowest FROM (SELECT DISTINCT buffer FROM ranges WHERE state = ?) AS r "
            f"LEFT JOIN ({_LOWEST}) AS a ON a.buffer = r.buffer",
            (state,),
        ).fetchall()
    ]
    known = sorted(value for value in found if value is not None)
    said = []
    if known:
        span = f"{known[0]:.4g}" if known[0] == known[-1] else f"{known[0]:.4g} to {known[-1]:.4g}"
        said.append(f"{len(known)} assessed at {span}")
    if len(found) > len(known):
        said.append(f"{len(found) - len(known)} not assessed")
    return ", ".join(said) or "no buffer has any"
