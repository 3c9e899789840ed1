"""The tables of a ledger, and how one of an earlier version is brought up to date."""

import contextlib
import functools
import sqlite3
import uuid

LEDGER_VERSION = 4

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

# What was found of a buffer's raw bits. `leases.min_entropy`: what the lease claims, NULL where it claims nothing.
_VERSION_3 = """
ALTER TABLE leases ADD COLUMN min_entropy REAL;
CREATE TABLE assessments (
    id INTEGER PRIMARY KEY, time TEXT NOT NULL, buffer INTEGER NOT NULL, min_entropy REAL NOT NULL,
    bits INTEGER NOT NULL, basis TEXT NOT NULL);
CREATE INDEX assessments_by_buffer ON assessments (buffer);
"""
# Version 4: what no reader can read no caller can write. (STRICT tables would do it too, but SQLite before 3.37 would
# refuse the file.) Columns are in the order of version 3, and a table is made anew from its forerunner's rows.
_VERSION_4 = {
    "meta": """
        key TEXT PRIMARY KEY CHECK (typeof(key) = 'text'),
        value TEXT NOT NULL CHECK (typeof(value) = 'text')) WITHOUT ROWID""",
    "buffers": """
        id INTEGER PRIMARY KEY CHECK (id > 0),
        uuid TEXT NOT NULL UNIQUE CHECK (typeof(uuid) = 'text'),
        file TEXT NOT NULL UNIQUE CHECK (typeof(file) = 'text'),
        recording TEXT NOT NULL CHECK (typeof(recording) = 'text'),
        segment INTEGER NOT NULL CHECK (typeof(segment) = 'integer' AND segment >= 0),
        created TEXT NOT NULL CHECK (typeof(created) = 'text'),
        simulated INTEGER NOT NULL CHECK (typeof(simulated) = 'integer' AND simulated IN (0, 1)),
        conditioning TEXT NOT NULL CHECK (typeof(conditioning) = 'text'),
        blocks INTEGER NOT NULL DEFAULT 0 CHECK (typeof(blocks) = 'integer' AND blocks >= 0),
        bits INTEGER NOT NULL DEFAULT 0 CHECK (typeof(bits) = 'integer' AND bits >= 0),
        ones INTEGER NOT NULL DEFAULT 0 CHECK (typeof(ones) = 'integer' AND ones BETWEEN 0 AND bits),
        bytes INTEGER NOT NULL DEFAULT 0 CHECK (typeof(bytes) = 'integer' AND bytes >= 0),
        ended INTEGER NOT NULL DEFAULT 0 CHECK (typeof(ended) = 'integer' AND ended IN (0, 1)),
        complete INTEGER NOT NULL DEFAULT 0 CHECK (typeof(complete) = 'integer' AND complete IN (0, 1)),
        place TEXT CHECK (typeof(place) IN ('null', 'text')))""",
    "blocks": """
        buffer INTEGER NOT NULL CHECK (typeof(buffer) = 'integer' AND buffer > 0),
        idx INTEGER NOT NULL CHECK (typeof(idx) = 'integer' AND idx >= 0),
        first_bit INTEGER NOT NULL CHECK (typeof(first_bit) = 'integer' AND first_bit >= 0),
        bits INTEGER NOT NULL CHECK (typeof(bits) = 'integer' AND bits >= 0),
        first_byte INTEGER NOT NULL CHECK (typeof(first_byte) = 'integer' AND first_byte >= 0),
        ones INTEGER NOT NULL CHECK (typeof(ones) = 'integer' AND ones BETWEEN 0 AND bits),
        crc INTEGER NOT NULL CHECK (typeof(crc) = 'integer' AND crc BETWEEN 0 AND 4294967295),
        health INTEGER NOT NULL CHECK (typeof(health) = 'integer' AND health >= 0),
        PRIMARY KEY (buffer, idx)) WITHOUT ROWID""",
    "ranges": """
        buffer INTEGER NOT NULL CHECK (typeof(buffer) = 'integer' AND buffer > 0),
        first INTEGER NOT NULL CHECK (typeof(first) = 'integer' AND first >= 0),
        bits INTEGER NOT NULL CHECK (typeof(bits) = 'integer' AND bits > 0),
        state TEXT NOT NULL CHECK (state IN ('free', 'leased', 'consumed', 'burned', 'withheld')),
        lease INTEGER CHECK (typeof(lease) = 'null' OR typeof(lease) = 'integer' AND lease > 0),
        PRIMARY KEY (buffer, first)) WITHOUT ROWID""",
    "leases": """
        id INTEGER PRIMARY KEY CHECK (id > 0),
        uuid TEXT NOT NULL UNIQUE CHECK (typeof(uuid) = 'text'),
        purpose TEXT NOT NULL CHECK (typeof(purpose) = 'text'),
        bits INTEGER NOT NULL CHECK (typeof(bits) = 'integer' AND bits > 0),
        withheld INTEGER NOT NULL CHECK (typeof(withheld) = 'integer' AND withheld IN (0, 1)),
        taken TEXT NOT NULL CHECK (typeof(taken) = 'text'),
        settled TEXT CHECK (typeof(settled) IN ('null', 'text')),
        outcome TEXT CHECK (outcome IS NULL OR outcome IN ('left', 'burned')),
        request INTEGER CHECK (typeof(request) = 'null' OR typeof(request) = 'integer' AND request > 0),
        min_entropy REAL CHECK (
            typeof(min_entropy) = 'null' OR typeof(min_entropy) = 'real' AND min_entropy BETWEEN 0 AND 1))""",
    "verdicts": """
        id INTEGER PRIMARY KEY CHECK (id > 0),
        time TEXT NOT NULL CHECK (typeof(time) = 'text'),
        buffer INTEGER NOT NULL CHECK (typeof(buffer) = 'integer' AND buffer > 0),
        first INTEGER NOT NULL CHECK (typeof(first) = 'integer' AND first >= 0),
        bits INTEGER NOT NULL CHECK (typeof(bits) = 'integer' AND bits >= 0),
        verdict TEXT NOT NULL CHECK (typeof(verdict) = 'text'))""",
    "recordings": """
        uuid TEXT PRIMARY KEY CHECK (typeof(uuid) = 'text'),
        started TEXT NOT NULL CHECK (typeof(started) = 'text'),
        expected INTEGER CHECK (typeof(expected) = 'null' OR typeof(expected) = 'integer' AND expected >= 0),
        ended INTEGER NOT NULL DEFAULT 0 CHECK (typeof(ended) = 'integer' AND ended IN (0, 1))) WITHOUT ROWID""",
    "requests": """
        id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0),
        uuid TEXT NOT NULL UNIQUE CHECK (typeof(uuid) = 'text'),
        kind TEXT NOT NULL CHECK (kind IN ('waiting', 'reserved')),
        purpose TEXT NOT NULL CHECK (typeof(purpose) = 'text'),
        bits INTEGER NOT NULL CHECK (typeof(bits) = 'integer' AND bits > 0),
        taken INTEGER NOT NULL DEFAULT 0 CHECK (typeof(taken) = 'integer' AND taken >= 0),
        waiting INTEGER NOT NULL DEFAULT 0 CHECK (typeof(waiting) = 'integer' AND waiting >= 0),
        pid INTEGER NOT NULL CHECK (typeof(pid) = 'integer' AND pid >= 0),
        made TEXT NOT NULL CHECK (typeof(made) = 'text'))""",
    "assessments": """
        id INTEGER PRIMARY KEY CHECK (id > 0),
        time TEXT NOT NULL CHECK (typeof(time) = 'text'),
        buffer INTEGER NOT NULL CHECK (typeof(buffer) = 'integer' AND buffer > 0),
        min_entropy REAL NOT NULL CHECK (typeof(min_entropy) = 'real' AND min_entropy BETWEEN 0 AND 1),
        bits INTEGER NOT NULL CHECK (typeof(bits) = 'integer' AND bits > 0),
        basis TEXT NOT NULL CHECK (typeof(basis) = 'text'))""",
}
_INDEXES = """
CREATE INDEX blocks_by_bit ON blocks (buffer, first_bit);
CREATE INDEX ranges_by_state ON ranges (state, buffer, first, bits);
CREATE INDEX ranges_by_lease ON ranges (lease) WHERE lease IS NOT NULL;
CREATE INDEX open_leases ON leases (outcome) WHERE outcome IS NULL;
CREATE INDEX assessments_by_buffer ON assessments (buffer);
"""
_UPGRADES = {"1": (_VERSION_2, _VERSION_3), "2": (_VERSION_3,), "3": ()}
OLDER_VERSIONS = tuple(_UPGRADES)


def make_tables(db: sqlite3.Connection) -> None:
    """Make the tables of a new ledger; inside a transaction."""
    for name, columns in _VERSION_4.items():
        _create(db, name, columns)
    _run(db, _INDEXES)
    db.execute("INSERT INTO meta VALUES ('version', ?)", (str(LEDGER_VERSION),))
    db.execute("INSERT INTO meta VALUES ('uuid', ?)", (str(uuid.uuid4()),))


def bring_up_to_date(db: sqlite3.Connection, version: str) -> None:
    """Turn a ledger of an earlier version into one of this version; inside a transaction.

    Raises sqlite3.IntegrityError where it holds what no ledger can hold.
    """
    for statements in _UPGRADES[version]:
        _run(db, statements)
    for name in _VERSION_4:
        db.execute(f"ALTER TABLE {name} RENAME TO old_{name}")
    for name, columns in _VERSION_4.items():
        _create(db, name, columns)
        names = ", ".join(column_names(db, name))
        db.execute(f"INSERT INTO {name} ({names}) SELECT {names} FROM old_{name}")
    # the numbers of requests go on: leases that are open name those of before
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'requests'")
    db.execute("UPDATE sqlite_sequence SET name = 'requests' WHERE name = 'old_requests'")
    for name in _VERSION_4:
        db.execute(f"DROP TABLE old_{name}")
    _run(db, _INDEXES)
    db.execute("UPDATE meta SET value = ? WHERE key = 'version'", (str(LEDGER_VERSION),))


def version_of(db: sqlite3.Connection) -> str | None:
    """Give the version of a ledger, None of a file without a table."""
    if not db.execute("SELECT 1 FROM sqlite_master").fetchone():
        return None
    return db.execute("SELECT value FROM meta WHERE key = 'version'").fetchone()[0]


def column_names(db: sqlite3.Connection, table: str) -> list[str]:
    """Name the columns of a table that is there."""
    return [str(row[1]) for row in db.execute(f"PRAGMA table_info({table})").fetchall()]


def definitions(db: sqlite3.Connection) -> set[tuple[str, str, str]]:
    """Give (type, name, statement) of all that a database holds but what SQLite makes by itself."""
    found = db.execute("SELECT type, name, COALESCE(sql, '') FROM sqlite_master").fetchall()
    return {
        (str(kind), str(name), " ".join(str(statement).split()))
        for kind, name, statement in found
        if not str(name).startswith("sqlite_")
    }


@functools.cache
def expected_definitions(version: str = str(LEDGER_VERSION)) -> frozenset[tuple[str, str, str]]:
    """Give what `definitions` finds in a ledger of a version."""
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        if version == str(LEDGER_VERSION):
            make_tables(db)
        else:
            for statements in (_VERSION_1, _VERSION_2, _VERSION_3)[: int(version)]:
                _run(db, statements)
        return frozenset(definitions(db))


def _create(db: sqlite3.Connection, name: str, columns: str) -> None:
    db.execute(f"CREATE TABLE {name} ({columns}")


def _run(db: sqlite3.Connection, statements: str) -> None:
    # not executescript, which commits first
    for statement in statements.split(";"):
        if statement.strip():
            db.execute(statement)
