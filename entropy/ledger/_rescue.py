"""What the rows of a damaged ledger prove, taken over into a new one.

A bit keeps its state where exactly one row speaks of it (or several of one spent state). All other bits, and those
of leases that were open, are burned.
"""

import contextlib
import itertools
import math
import sqlite3
import struct
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ._range_table import BURNED, CONSUMED, FREE, LEASED, STATES, WITHHELD
from ._schema import LEDGER_VERSION, OLDER_VERSIONS, column_names, definitions, expected_definitions

_KEPT = ("recordings", "leases", "verdicts", "assessments")
_ERRORS = (sqlite3.Error, OverflowError, UnicodeError)

Claim = tuple[int, int, str, int | None]  # first bit, end, state, lease


@dataclass
class Rescue:
    """What was taken over: `kept`, bits by state; `lost`, in sentences, what was not; `burned`: bits that it burned.

    Those of leases are not among them: their owners are dead, and whoever opens a store burns them.
    """

    kept: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    lost: list[str] = field(default_factory=list)
    burned: int = 0


def rescue(db: sqlite3.Connection, path: Path, stamp: Mapping[str, str], when: str) -> Rescue:
    """Take over what the ledger in the file `path` proves; inside a writing transaction of a new one, `db`.

    Free and withheld bits stay so only where SQLite finds the file well-formed and it stood at the place of `stamp`:
    an old page, or a copy, would hand bits out again. Buffers that are not taken over are left to who enters strays.
    """
    found = Rescue()
    with contextlib.closing(sqlite3.connect(path)) as old:
        try:
            old.execute("PRAGMA trusted_schema=OFF")
            if _is_foreign(old):
                found.lost.append("it holds what no ledger has, so nothing in it was believed")
                return found
            meta = {str(row["key"]): row["value"] for row in _rows(old, "meta", found)}
            usable = _is_whole(old, found) and _is_here(meta, stamp, found)
            _take_meta(db, meta, usable)
            for table in _KEPT:
                refused = sum(not _insert(db, table, row) for row in _rows(old, table, found))
                if refused:
                    found.lost.append(f"{refused:,} rows of the table {table} hold what none can hold")
            db.execute("UPDATE leases SET outcome = 'burned', settled = ? WHERE outcome IS NULL", (when,))
            _take_buffers(db, old, usable, found)
        except _ERRORS as error:
            found.lost.append(f"it could not be read to its end ({error})")
    return found


def _is_foreign(old: sqlite3.Connection) -> bool:
    versions = (*OLDER_VERSIONS, str(LEDGER_VERSION))
    return bool(definitions(old) - frozenset().union(*map(expected_definitions, versions)))


def _is_whole(old: sqlite3.Connection, found: Rescue) -> bool:
    said = [str(row[0]) for row in old.execute("PRAGMA integrity_check").fetchall()]
    faults = [text for text in said if text != "ok" and "CHECK" not in text]
    if faults:
        found.lost.append(f"its file is not whole ({faults[0]}), so no bit is believed to be free")
    return not faults


def _is_here(meta: Mapping[str, Any], stamp: Mapping[str, str], found: Rescue) -> bool:
    here = all(meta.get(key) == value for key, value in stamp.items())
    if not here:
        found.lost.append("it was made for another place and may be a copy, so no bit stays free")
    return here


def _take_meta(db: sqlite3.Connection, meta: Mapping[str, Any], usable: bool) -> None:
    words = ("uuid", "conditioning") if usable else ("conditioning",)
    kept = [(word, meta[word]) for word in words if isinstance(meta.get(word), str)]
    db.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", kept)


def _rows(old: sqlite3.Connection, table: str, found: Rescue) -> Iterator[dict[str, Any]]:
    """Give the rows of a table, those before what cannot be read, by the names of their columns."""
    names = column_names(old, table)
    if not names:
        if table not in ("recordings", "assessments"):  # which ledgers of earlier versions have not
            found.lost.append(f"its table {table} is gone")
        return
    try:
        for row in old.execute(f"SELECT {', '.join(names)} FROM {table}"):
            yield dict(zip(names, row, strict=True))
    except _ERRORS as error:
        found.lost.append(f"its table {table} could not be read to its end ({error})")


def _insert(db: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> bool:
    """Insert a row, blobs as the numbers that they stand for; False where the table takes no such row."""
    values = {
        name: next(iter(_numbers(value)), value) if isinstance(value, bytes) else value
        for name, value in row.items()
    }
    marks = ", ".join("?" * len(values))
    try:
        db.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({marks})", list(values.values()))
    except _ERRORS:
        return False
    return True


def _numbers(value: Any) -> list[float]:
    """Give what a value that was meant to be a number can stand for, the likeliest first.

    A number of numpy that was given to SQLite is there as a blob of its bytes.
    """
    if isinstance(value, int | float):
        return [value] if math.isfinite(value) else []
    if isinstance(value, bytes) and len(value) in (1, 2, 4, 8):
        whole = int.from_bytes(value, "little", signed=True)
        broken = struct.unpack("<e" if len(value) == 2 else "<f", value) if len(value) in (2, 4) else ()
        return [whole, *(each for each in broken if math.isfinite(each))]
    return []


# --- buffers, their blocks and ranges


def _take_buffers(db: sqlite3.Connection, old: sqlite3.Connection, usable: bool, found: Rescue) -> None:
    blocks, claims = defaultdict(list), defaultdict(list)
    for row in _rows(old, "blocks", found):
        blocks[row["buffer"]].append(row)
    for row in _rows(old, "ranges", found):
        claims[row["buffer"]].append(row)
    for row in _rows(old, "buffers", found):
        copies = sorted(blocks[row["id"]], key=lambda copy: str(copy["idx"]).zfill(20))
        bits = _bits_of(copies)
        if bits is None or row["bits"] != bits or row["blocks"] != len(copies):
            found.lost.append(f"its rows of the blocks of {row['file']} contradict each other")
            continue
        if not (_insert(db, "buffers", row) and all(_insert(db, "blocks", copy) for copy in copies)):
            found.lost.append(f"its rows of {row['file']} hold what none can hold")
            db.execute("DELETE FROM blocks WHERE buffer = ?", (row["id"],))
            db.execute("DELETE FROM buffers WHERE id = ?", (row["id"],))
            continue
        unproven = 0
        for first, end, state, lease in proven(_claims(claims[row["id"]], bits), bits):
            kept = state if state in STATES and (usable or state not in (FREE, WITHHELD)) else BURNED
            unproven += (end - first) * (not state)
            found.burned += (end - first) * (kept != state)
            found.kept[kept] += end - first
            spent = lease if kept in (CONSUMED, BURNED) else None
            db.execute(
                "INSERT INTO ranges VALUES (?, ?, ?, ?, ?)", (row["id"], first, end - first, kept, spent)
            )
        if unproven:
            found.lost.append(
                f"no row proves where {unproven:,} bits of {row['file']} are, so they are burned"
            )


def _bits_of(copies: Iterable[Mapping[str, Any]]) -> int | None:
    """Sum the bits of a buffer's copies of rows; None where they are not one after the other."""
    bits = 0
    for index, copy in enumerate(copies):
        if copy["idx"] != index or copy["first_bit"] != bits or not isinstance(copy["bits"], int):
            return None
        bits += copy["bits"]
    return bits


def _claims(rows: Iterable[Mapping[str, Any]], bits: int) -> Iterator[Claim]:
    """Give what each row says of whole bits of a buffer that has `bits`."""
    for row in rows:
        pairs = itertools.product(_numbers(row["first"]), _numbers(row["bits"]))
        for first, size in pairs:
            if 0 <= first < first + size <= bits:
                low, high = math.ceil(first), math.floor(first + size)
                state = BURNED if row["state"] == LEASED else row["state"]
                if low < high and state in STATES:
                    yield low, high, state, row["lease"] if isinstance(row["lease"], int) else None
                break


def proven(claims: Iterable[Claim], bits: int) -> Iterator[Claim]:
    """Give stretches that tile [0, bits) with the state that claims prove; "" where they prove none.

    What two claims speak of is proven where both say the same of spent bits.
    """
    begun, ended = defaultdict(list), defaultdict(list)
    for claim in claims:
        begun[claim[0]].append(claim)
        ended[claim[1]].append(claim)
    places = sorted({0, bits, *begun, *ended})
    live: list[Claim] = []
    last: Claim | None = None
    for first, end in itertools.pairwise(places):
        live = [claim for claim in live if claim[1] > first] + begun[first]
        said = {(claim[2], claim[3]) for claim in live}
        states = {state for state, _ in said}
        if len(live) == 1 or (len(states) == 1 and states <= {CONSUMED, BURNED}):
            state, lease = min(said, key=str)
        else:
            state, lease = "", None
        if last is not None and last[2:] == (state, lease):
            last = (last[0], end, state, lease)
            continue
        if last is not None:
            yield last
        last = (first, end, state, lease)
    if last is not None:
        yield last
