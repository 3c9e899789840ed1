"""The ranges of a ledger: what changes them, always inside one transaction of the caller's."""

import itertools
import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence

from .._errors import DamagedLedger, NotAssessed, NotEnoughBits
from ._credits import SUPPORTED, describe
from ._ranges import Range, choose, join_adjacent, subtract

FREE, LEASED, CONSUMED, BURNED, WITHHELD = "free", "leased", "consumed", "burned", "withheld"
STATES = (FREE, LEASED, CONSUMED, BURNED, WITHHELD)


def total(db: sqlite3.Connection, state: str) -> int:
    """Sum the bits of a state."""
    return db.execute("SELECT COALESCE(SUM(bits), 0) FROM ranges WHERE state = ?", (state,)).fetchone()[0]


def supported(db: sqlite3.Connection, state: str, min_entropy: float) -> int:
    """Sum the bits of a state in buffers that were assessed at `min_entropy` or more."""
    return db.execute(
        f"SELECT COALESCE(SUM(bits), 0) FROM ranges WHERE state = ? AND buffer IN ({SUPPORTED})",
        (state, min_entropy),
    ).fetchone()[0]


def refuse_unsupported(db: sqlite3.Connection, wanted: int, state: str, min_entropy: float | None) -> None:
    """Raise NotAssessed where a claim of `min_entropy` is not supported for `wanted` bits of a state."""
    if min_entropy is not None:
        there = supported(db, state, min_entropy)
        if there < wanted:
            raise NotAssessed(wanted, there, min_entropy, describe(db, state))


def pick(
    db: sqlite3.Connection,
    wanted: int,
    state: str,
    there: Callable[[str], bool],
    min_entropy: float | None = None,
) -> list[tuple[int, Range]]:
    """Choose `wanted` bits of a state, in files that are `there` (asked by name); (buffer's id, range) each.

    One range that holds them all is preferred; raises NotEnoughBits where there are not so many, NotAssessed
    where they are not in buffers that were assessed at `min_entropy` or more.
    """
    refuse_unsupported(db, wanted, state, min_entropy)
    gone: set[str] = set()
    while True:
        chosen = _pick_outside(db, wanted, state, gone, min_entropy)
        missing = {file for _, file, _ in chosen if not there(file)}
        if not missing:
            return [(buffer, item) for buffer, _, item in chosen]
        gone |= missing


def _pick_outside(
    db: sqlite3.Connection, wanted: int, state: str, gone: Collection[str], min_entropy: float | None
) -> list[tuple[int, str, Range]]:
    known: dict[str, tuple[int, str]] = {}
    claim = "" if min_entropy is None else f"AND r.buffer IN ({SUPPORTED})"
    claimed = () if min_entropy is None else (min_entropy,)

    def ranges(condition: str, *values: int) -> Iterator[Range]:
        for buffer, name, file, first, bits in db.execute(
            "SELECT r.buffer, b.uuid, b.file, r.first, r.bits FROM ranges AS r "
            f"JOIN buffers AS b ON b.id = r.buffer WHERE r.state = ? {claim} {condition} ORDER BY r.buffer, r.first",
            (state, *claimed, *values),
        ):
            if file not in gone:
                known[name] = (buffer, file)
                yield Range(name, first, bits)

    def to_byte(item: Range) -> int:
        start = db.execute(
            "SELECT first_bit FROM blocks WHERE buffer = ? AND first_bit <= ? AND bits > 0 "
            "ORDER BY first_bit DESC LIMIT 1",
            (known[item.buffer][0], item.first),
        ).fetchone()
        return (start[0] - item.first) % 8 if start else 0

    large = list(itertools.islice(ranges("AND r.bits >= ?", wanted), 8))
    chosen = choose(large, wanted, to_byte) if large else None
    if chosen is None or len(chosen) > 1:
        chosen = choose(_enough(ranges(""), wanted), wanted, to_byte)
    if chosen is None:
        lost = f" (files of further bits are missing: {', '.join(sorted(gone)[:3])})" if gone else ""
        raise NotEnoughBits(wanted, sum(item.bits for item in ranges("")), f"{state} in the store{lost}")
    return [(*known[item.buffer], item) for item in chosen]


def _enough(ranges: Iterator[Range], wanted: int) -> list[Range]:
    """Take ranges until they hold `wanted` bits even where each loses its ends to byte boundaries."""
    found: list[Range] = []
    for item in ranges:
        found.append(item)
        wanted -= max(item.bits - 15, 0)
        if wanted <= 0:
            break
    return found


def end_lease(db: sqlite3.Connection, lease: int, read: Sequence[Range], burn: bool, when: str) -> None:
    """End a lease: what was read is consumed and the rest goes back; with `burn` all of it is burned."""
    returned = 0
    if burn:
        db.execute("UPDATE ranges SET state = ? WHERE lease = ? AND state = ?", (BURNED, lease, LEASED))
    else:
        returned = _give_back(db, lease, read)
    db.execute(
        "UPDATE leases SET outcome = ?, settled = ? WHERE id = ?",
        ("burned" if burn else "left", when, lease),
    )
    if returned:  # a reservation covers what comes back to it
        db.execute(
            "UPDATE requests SET taken = MAX(taken - ?, 0) WHERE id = (SELECT request FROM leases WHERE id = ?)",
            (returned, lease),
        )


def _give_back(db: sqlite3.Connection, lease: int, read: Sequence[Range]) -> int:
    withheld = db.execute("SELECT withheld FROM leases WHERE id = ?", (lease,)).fetchone()[0]
    back = WITHHELD if withheld else FREE
    taken = db.execute(
        "SELECT r.buffer, b.uuid, r.first, r.bits FROM ranges AS r JOIN buffers AS b ON b.id = r.buffer "
        "WHERE r.lease = ? AND r.state = ?",
        (lease, LEASED),
    ).fetchall()
    spent = join_adjacent(sorted(read))
    returned = 0
    for buffer, name, first, bits in taken:
        whole = Range(name, first, bits)
        inside = [item for item in spent if item.buffer == name and first <= item.first < first + bits]
        db.execute("DELETE FROM ranges WHERE buffer = ? AND first = ?", (buffer, first))
        for item in inside:
            db.execute(
                "INSERT INTO ranges VALUES (?, ?, ?, ?, ?)", (buffer, item.first, item.bits, CONSUMED, lease)
            )
        for item in subtract(whole, inside):
            put(db, buffer, item.first, item.bits, back)
            returned += item.bits
    return returned


def put(db: sqlite3.Connection, buffer: int, first: int, bits: int, state: str) -> None:
    """Insert a range that no lease owns, joined with neighbours of the same state that none owns either."""
    if bits == 0:
        return
    before = db.execute(
        "SELECT first, bits, state, lease FROM ranges WHERE buffer = ? AND first < ? ORDER BY first DESC LIMIT 1",
        (buffer, first),
    ).fetchone()
    if before and before[2:] == (state, None) and before[0] + before[1] == first:
        db.execute("DELETE FROM ranges WHERE buffer = ? AND first = ?", (buffer, before[0]))
        first, bits = before[0], before[1] + bits
    after = db.execute(
        "SELECT bits, state, lease FROM ranges WHERE buffer = ? AND first = ?", (buffer, first + bits)
    ).fetchone()
    if after and after[1:] == (state, None):
        db.execute("DELETE FROM ranges WHERE buffer = ? AND first = ?", (buffer, first + bits))
        bits += after[0]
    db.execute("INSERT INTO ranges VALUES (?, ?, ?, ?, NULL)", (buffer, first, bits, state))


def repaint(
    db: sqlite3.Connection,
    buffer: int,
    first: int,
    bits: int,
    state: str,
    *,
    was: str,
    lease: int | None = None,
) -> None:
    """Give a stretch that lies inside one range of the state `was` another state, leaving the rest as it is.

    Raises DamagedLedger where it does not lie so.
    """
    low, size, old = db.execute(
        "SELECT first, bits, state FROM ranges WHERE buffer = ? AND first <= ? ORDER BY first DESC LIMIT 1",
        (buffer, first),
    ).fetchone() or (first, 0, None)
    if first + bits > low + size or old != was:
        raise DamagedLedger(
            f"the ledger says of bits {first:,} to {first + bits - 1:,} of buffer {buffer} that they are {was} and "
            f"that they are {old or 'not there'}: it is damaged; restore it, or run 'memtj store salvage'"
        )
    db.execute("DELETE FROM ranges WHERE buffer = ? AND first = ?", (buffer, low))
    if low < first:
        db.execute("INSERT INTO ranges VALUES (?, ?, ?, ?, NULL)", (buffer, low, first - low, old))
    if lease is None:
        put(db, buffer, first, bits, state)
    else:
        db.execute("INSERT INTO ranges VALUES (?, ?, ?, ?, ?)", (buffer, first, bits, state, lease))
    end = first + bits
    if end < low + size:
        db.execute("INSERT INTO ranges VALUES (?, ?, ?, ?, NULL)", (buffer, end, low + size - end, old))


def repaint_inside(db: sqlite3.Connection, stretch: tuple[int, int, int], was: str, state: str) -> int:
    """Give all of a stretch (buffer, first, bits) that is in state `was` another state; returns how many bits."""
    parts = inside(db, stretch, was)
    for low, high in parts:
        repaint(db, stretch[0], low, high - low, state, was=was)
    return sum(high - low for low, high in parts)


def inside(db: sqlite3.Connection, stretch: tuple[int, int, int], state: str) -> list[tuple[int, int]]:
    """Find the parts (first bit, end) of a stretch (buffer, first, bits) that are in a state."""
    buffer, first, bits = stretch
    return db.execute(
        "SELECT MAX(first, ?), MIN(first + bits, ?) FROM ranges WHERE buffer = ? AND state = ? "
        "AND first < ? AND first + bits > ?",
        (first, first + bits, buffer, state, first + bits, first),
    ).fetchall()


# Ranges tile a buffer where they have as many bits as it has, the last one ends where it ends, and their ends are
# their beginnings, but for 0 and the end. The two sets are compared by the sums of the squares of remainders, in one
# pass without sorting: a window function over 100,000 ranges took five times as long.
_TILES = """
SELECT buffer, SUM(bits), MAX(first + bits), SUM((first + bits) % 1000003 * ((first + bits) % 1000003)
    - first % 1000003 * (first % 1000003)), SUM(typeof(first) != 'integer' OR typeof(bits) != 'integer' OR bits < 1)
FROM ranges GROUP BY buffer
"""


def unsound(db: sqlite3.Connection) -> str | None:
    """Say in what the sums of a ledger contradict one another, None where they do not.

    Each bit of each buffer has exactly one owner, and the bits of a buffer are those of its blocks. It is looked at
    once an opening: 45 ms for 100,000 ranges and as many blocks.
    """
    odd = {state for (state,) in db.execute("SELECT DISTINCT state FROM ranges").fetchall()}.difference(
        STATES
    )
    if odd:
        return f"its ranges are of a state that is none, {min(map(repr, odd))}"
    tiles = {row[0]: row[1:] for row in db.execute(_TILES).fetchall()}
    blocks = {
        row[0]: row[1:]
        for row in db.execute("SELECT buffer, COUNT(*), SUM(bits) FROM blocks GROUP BY buffer").fetchall()
    }
    for number, file, count, bits in db.execute(
        "SELECT id, file, blocks, bits FROM buffers ORDER BY id"
    ).fetchall():
        if blocks.pop(number, (0, 0)) != (count, bits):
            return f"the blocks of {file} do not add up"
        if tiles.pop(number, (0, 0, 0, 0)) != (bits, bits, (bits % 1000003) ** 2, 0):
            return f"its ranges of {file} overlap or have gaps"
    strange = min(map(repr, tiles.keys() | blocks.keys()), default=None)
    return None if strange is None else f"it has bits of a buffer {strange} that is unknown"
