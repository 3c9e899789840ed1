"""What a ledger knows of recordings, their buffers and the blocks in them: a copy of what says where each bit is."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from ._credits import DRAWN
from ._range_table import BURNED, CONSUMED, FREE, LEASED, WITHHELD, put
from ._transaction import LedgerFile, Transaction, changes, now, reads

if TYPE_CHECKING:
    import numpy as np

DELETED = "deleted"


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
class BufferUpdate:
    """What a buffer has by now: its block rows (BLOCK_DTYPE, all of them), and whether it may still grow.

    `seen`: of the rows, how many the ledger had when it was asked.
    """

    buffer: int
    rows: np.ndarray
    ended: bool
    complete: bool
    seen: int = 0

    @property
    def fresh_bits(self) -> int:
        """Healthy bits of the rows that the ledger had not seen."""
        fresh = self.rows[self.seen :]
        return int(fresh["bits"][fresh["health"] == 0].sum())


_COLUMNS = ", ".join(column.name for column in fields(BufferRecord))


@changes()
def begin_recording(transaction: Transaction, recording: str, expected: int | None) -> None:
    """Enter a recording that will bring `expected` bits in all (None: it has no end)."""
    transaction.db.execute(
        "INSERT INTO recordings (uuid, started, expected) VALUES (?, ?, ?)", (recording, now(), expected)
    )


@changes(durable=False)
def end_recording(transaction: Transaction, recording: str) -> None:
    """Expect nothing more of a recording."""
    transaction.db.execute("UPDATE recordings SET ended = 1 WHERE uuid = ?", (recording,))


@reads
def expected(transaction: Transaction) -> float:
    """Count the bits that recordings whose writers live will still bring; infinite where one has no end."""
    rows = transaction.db.execute(
        "SELECT r.uuid, r.expected, (SELECT COALESCE(SUM(bits), 0) FROM buffers WHERE recording = r.uuid) "
        "FROM recordings AS r WHERE NOT r.ended"
    ).fetchall()
    return sum(
        float("inf") if wanted is None else max(wanted - there, 0)
        for name, wanted, there in rows
        if not transaction.liveness.is_dead("writer", name)
    )


@changes()
def register(transaction: Transaction, values: Mapping[str, str | int]) -> None:
    """Enter a new buffer that followers can open by now; `values` by the names of the table's columns."""
    _insert(transaction.db, values)


@changes()
def add_stray(
    transaction: Transaction, values: Mapping[str, str | int], rows: np.ndarray, state: str
) -> None:
    """Enter a buffer that no ledger knows, all of its bits in one state."""
    number = _insert(transaction.db, values)
    add_blocks(transaction.db, [BufferUpdate(number, rows, True, bool(values.get("complete")))], state)


def _insert(db: sqlite3.Connection, values: Mapping[str, str | int]) -> int:
    marks = ", ".join("?" * len(values))
    cursor = db.execute(f"INSERT INTO buffers ({', '.join(values)}) VALUES ({marks})", list(values.values()))
    assert cursor.lastrowid is not None
    return cursor.lastrowid


@changes(durable=False, seeing=True)
def _update(transaction: Transaction, updates: Sequence[BufferUpdate]) -> None:
    add_blocks(transaction.db, updates)


def update(ledger: LedgerFile, updates: Sequence[BufferUpdate]) -> None:
    """Enter all rows that the ledger has not seen: free, withheld by their health, or, draws, consumed."""
    if updates:
        _update(ledger, updates)


def add_blocks(db: sqlite3.Connection, updates: Sequence[BufferUpdate], state: str | None = None) -> None:
    """Enter the rows that the ledger has not seen as `update` does, or all but draws as `state`."""
    for item in updates:
        _add_blocks(db, item, state)


def _add_blocks(db: sqlite3.Connection, update: BufferUpdate, state: str | None) -> None:
    import numpy as np

    seen, first, ones, size = db.execute(
        "SELECT blocks, bits, ones, bytes FROM buffers WHERE id = ?", (update.buffer,)
    ).fetchone()
    fresh = update.rows[seen:]
    bits = fresh["bits"].astype(np.int64)
    starts = (first + np.concatenate([[0], np.cumsum(bits)])).tolist()
    columns = [fresh[name].tolist() for name in ("bits", "first_byte", "ones", "crc", "health")]
    db.executemany(
        "INSERT INTO blocks (buffer, idx, first_bit, bits, first_byte, ones, crc, health) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        zip(itertools.repeat(update.buffer), itertools.count(seen), starts, *columns, strict=False),
    )
    at = 0
    for painted, group in itertools.groupby(columns[4], lambda health: _state_of(health, state)):
        until = at + len(list(group))
        put(db, update.buffer, starts[at], starts[until] - starts[at], painted)
        at = until
    db.execute(
        "UPDATE buffers SET blocks = MAX(blocks, ?), bits = ?, ones = ?, bytes = ?, "
        "ended = MAX(ended, ?), complete = MAX(complete, ?) WHERE id = ?",
        (
            len(update.rows),
            starts[-1],
            ones + sum(columns[2]),
            size + int(((bits + 7) // 8).sum()),
            update.ended,
            update.complete,
            update.buffer,
        ),
    )


def _state_of(health: int, state: str | None) -> str:
    if health & DRAWN:
        return CONSUMED
    return state or (WITHHELD if health else FREE)


@reads
def buffers(transaction: Transaction, *, following: bool = False) -> list[BufferRecord]:
    """List the buffers in the order of their making; `following` lists those that may still grow."""
    condition = "WHERE NOT ended" if following else ""
    rows = transaction.db.execute(f"SELECT {_COLUMNS} FROM buffers {condition} ORDER BY id").fetchall()
    return [_checked(BufferRecord(*row)) for row in rows]


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


def block_copies(
    ledger: LedgerFile, buffer: int, index: int = 0, count: int = -1
) -> list[tuple[int, int, int, int]]:
    """Give the ledger's copies of `count` block rows (-1: of all) from `index` on: (first_byte, bits, ones, crc)."""
    with ledger.statement() as db:
        return db.execute(
            "SELECT first_byte, bits, ones, crc FROM blocks WHERE buffer = ? AND idx >= ? ORDER BY idx LIMIT ?",
            (buffer, index, count),
        ).fetchall()


@reads
def stretch(transaction: Transaction, buffer: int, first: int, last: int) -> tuple[int, int] | None:
    """Give the first bit of the blocks `first` to `last` of a buffer and their bits; None without such blocks."""
    ends = transaction.db.execute(
        "SELECT first_bit, first_bit + bits FROM blocks WHERE buffer = ? AND idx IN (?, ?) ORDER BY idx",
        (buffer, first, last),
    ).fetchall()
    there = 0 <= first <= last and len(ends) == len({first, last})
    return (ends[0][0], ends[-1][1] - ends[0][0]) if there else None


@changes()
def closed_properly(transaction: Transaction, buffer: int) -> None:
    """Note that a buffer's file has been closed properly after all."""
    transaction.db.execute("UPDATE buffers SET complete = 1 WHERE id = ?", (buffer,))


@changes()
def retire(transaction: Transaction, buffer: int, place: str, *, burn: bool) -> bool:
    """Note that a buffer's file goes to `place`; False, and nothing changes, where bits are still to be had.

    With `burn` its free and withheld bits are burned; leased bits always keep a buffer.
    """
    db = transaction.db
    rows = db.execute("SELECT DISTINCT state FROM ranges WHERE buffer = ?", (buffer,)).fetchall()
    states = {state for (state,) in rows}
    ended = db.execute("SELECT ended FROM buffers WHERE id = ?", (buffer,)).fetchone()[0]
    if LEASED in states or not ended or (not burn and states & {FREE, WITHHELD}):
        return False
    db.execute(
        "UPDATE ranges SET state = ? WHERE buffer = ? AND state IN (?, ?)", (BURNED, buffer, FREE, WITHHELD)
    )
    db.execute("UPDATE buffers SET place = ? WHERE id = ?", (place, buffer))
    return True
