"""The tables of a ledger, and how one of an earlier version is brought up to date."""

import functools
import sqlite3
import uuid

LEDGER_VERSION = 2

_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE buffers (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, file TEXT NOT NULL UNIQUE, recording TEXT NOT NULL,
    segment INTEGER NOT NULL, created TEXT NOT NULL, simulated INTEGER NOT NULL, conditioning TEXT NOT NULL,
    blocks INTEGER NOT NULL DEFAULT 0, bits INTEGER NOT NULL DEFAULT 0, ones INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    ended INTEGER NOT NULL DEFAULT 0, complete INTEGER NOT NULL DEFAULT 0);
CREATE TABLE blocks (
    buffer INTEGER NOT NULL, idx INTEGER NOT NULL, first_bit INTEGER NOT NULL, bits INTEGER NOT NULL,
    first_byte INTEGER NOT NULL, ones INTEGER NOT NULL, crc INTEGER NOT NULL, health INTEGER NOT NULL,
    PRIMARY KEY (buffer, idx)) WITHOUT ROWID;
CREATE INDEX blocks_by_bit ON blocks (buffer, first_bit);
CREATE TABLE ranges (
    buffer INTEGER NOT NULL, first INTEGER NOT NULL, bits INTEGER NOT NULL CHECK (bits > 0),
    state TEXT NOT NULL, lease INTEGER, PRIMARY KEY (buffer, first)) WITHOUT ROWID;
CREATE INDEX ranges_by_state ON ranges (state, buffer, first);
CREATE INDEX ranges_by_lease ON ranges (lease) WHERE lease IS NOT NULL;
CREATE TABLE leases (
    id INTEGER PRIMARY KEY, uuid TEXT NOT NULL UNIQUE, purpose TEXT NOT NULL, bits INTEGER NOT NULL,
    withheld INTEGER NOT NULL, taken TEXT NOT NULL, settled TEXT, outcome TEXT);
CREATE INDEX open_leases ON leases (outcome) WHERE outcome IS NULL;
CREATE TABLE verdicts (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, buffer INTEGER NOT NULL, first INTEGER NOT NULL,
    bits INTEGER NOT NULL, verdict TEXT NOT NULL);
"""

# `place`: NULL in the store's folder, 'deleted', or the path of the archived file. `recordings.expected`: bits
# that the recording will bring in all, NULL where it has no end. A request is a promise: `bits` of which
# `taken` were leased under it and `waiting` are being waited for just now; it is served in the order of ids.
_VERSION_2 = """
ALTER TABLE buffers ADD COLUMN place TEXT;
ALTER TABLE leases ADD COLUMN request INTEGER;
CREATE TABLE recordings (
    uuid TEXT PRIMARY KEY, started TEXT NOT NULL, expected INTEGER, ended INTEGER NOT NULL DEFAULT 0)
    WITHOUT ROWID;
CREATE TABLE requests (
    id INTEGER PRIMARY KEY AUTOINCREMENT, uuid TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, purpose TEXT NOT NULL,
    bits INTEGER NOT NULL, taken INTEGER NOT NULL DEFAULT 0, waiting INTEGER NOT NULL DEFAULT 0,
    pid INTEGER NOT NULL, made TEXT NOT NULL);
DROP INDEX ranges_by_state;
CREATE INDEX ranges_by_state ON ranges (state, buffer, first, bits);
"""


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables of a new ledger; inside a transaction."""
    _run(db, _VERSION_1)
    _run(db, _VERSION_2)
    db.execute("INSERT INTO meta VALUES ('version', ?)", (str(LEDGER_VERSION),))
    db.execute("INSERT INTO meta VALUES ('uuid', ?)", (str(uuid.uuid4()),))


def bring_up_to_date(db: sqlite3.Connection) -> None:
    """Turn a ledger of version 1 into one of this version; inside a transaction."""
    _run(db, _VERSION_2)
    db.execute("UPDATE meta SET value = ? WHERE key = 'version'", (str(LEDGER_VERSION),))


def definitions(db: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Give (type, name, statement) of all that a database holds but what SQLite makes by itself."""
    found = db.execute("SELECT type, name, COALESCE(sql, '') FROM sqlite_master").fetchall()
    return {
        (str(kind), str(name), " ".join(str(statement).split()))
        for kind, name, statement in found
        if not str(name).startswith("sqlite_")
    }


@functools.cache
def expected_definitions() -> frozenset[tuple[str, str, str]]:
    """Give what `definitions` finds in a ledger of this version."""
    db = sqlite3.connect(":memory:")
    try:
        make_tables(db)
        return frozenset(definitions(db))
    finally:
        db.close()


def _run(db: sqlite3.Connection, statements: str) -> None:
    # not executescript, which commits first
    for statement in statements.split(";"):
        if statement.strip():
            db.execute(statement)
