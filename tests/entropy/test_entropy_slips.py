"""Values that no ledger can hold: refused by its columns, and mended where an earlier program wrote them."""

import contextlib
import os
import signal
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from entropy import DamagedLedger, Store, StoreError, adopt, salvage, verify
from entropy.ledger._rescue import proven
from entropy.ledger._site import machine_id, real_path
from entropy.testing import change_ledger
from tests.conftest import content

from .children import in_a_child
from .conftest import interrupt, states

DATA = Path(__file__).parent / "data"


def unpack(name: str, folder: Path) -> Path:
    """Make the store of a dump in `data`, at home in `folder`."""
    folder.mkdir()
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        db.executescript((DATA / name).read_text(encoding="utf-8"))
        for key, value in (("machine", machine_id()), ("path", real_path(folder))):
            db.execute("UPDATE meta SET value = ? WHERE key = ?", (value, key))
        db.commit()
        db.execute("PRAGMA journal_mode=WAL")
    return folder


@pytest.fixture(scope="module")
def full(tmp_path_factory, made) -> Path:
    """A ledger with a row in each of its tables."""
    folder = tmp_path_factory.mktemp("full") / "store"
    with Store(folder) as store:
        made.fill(store, [4])
        buffer = store.buffers()[0].uuid
        store.credit(buffer, 0.9, bits=8, basis="test")
        store.withhold(buffer, 0, 8, verdict="test")
        with store.reserve(8, purpose="test"), store.lease(8, purpose="test"):
            store._ledger._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            copy = folder.with_name("copy")
            copy.mkdir()
            (copy / "ledger.sqlite").write_bytes((folder / "ledger.sqlite").read_bytes())
    return copy


NO_NUMBERS = (b"\xe8\x03\0\0\0\0\0\0", b"\0", -1, 0.5, "many")


def test_no_column_takes_what_no_reader_can_read(full):
    """A number of numpy would become a blob, and a float or a text what no sum can be made of."""
    refused = {"INTEGER": NO_NUMBERS, "REAL": (b"\0", -1, 7.0, "many"), "TEXT": (b"\0",)}
    columns = 0
    with contextlib.closing(sqlite3.connect(full / "ledger.sqlite", isolation_level=None)) as db:
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall():
            if table == "sqlite_sequence":
                continue
            assert db.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0], table
            for _, name, kind, *_ in db.execute(f"PRAGMA table_info({table})").fetchall():
                columns += 1
                for value in refused[kind]:
                    with pytest.raises(sqlite3.IntegrityError, match=r"CHECK|mismatch"):
                        db.execute(f"UPDATE {table} SET {name} = ?", (value,))
    assert columns > 50


def test_a_program_that_hands_nonsense_to_the_ledger_is_told_so_and_changes_nothing(store, made):
    made.fill(store, [4])
    before = store.accounts()
    with pytest.raises(StoreError, match="takes no such value") as raised:
        store._ledger.lease(np.int64(1000), "past the door")
    assert not isinstance(raised.value, DamagedLedger)
    assert store.accounts() == before
    store._ledger.check()


@pytest.mark.parametrize("version", [1, 2, 3])
def test_earlier_ledgers_get_the_columns_of_today(tmp_path, version):
    folder = unpack(f"ledger-version-{version}.sql", tmp_path / "store")
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        sums = dict(db.execute("SELECT state, SUM(bits) FROM ranges GROUP BY state").fetchall())
    with Store(folder) as store:
        names = ("free", "leased", "consumed", "burned", "withheld")
        assert sums == {
            state: bits for state, bits in zip(names, states(store), strict=True) if state in sums
        }
    with contextlib.closing(sqlite3.connect(folder / "ledger.sqlite")) as db:
        with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
            db.execute("UPDATE ranges SET bits = x'00'")
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        if version > 1:  # so that a new request is not taken for the one that a lease of before names
            db.execute("INSERT INTO requests VALUES (NULL, 'u', 'waiting', 'p', 1, 0, 0, 1, 't')")
            assert db.execute("SELECT id FROM requests").fetchone() == (2,)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_bringing_a_ledger_up_to_date_is_killed_at_any_statement(tmp_path):
    class Mortal(sqlite3.Connection):
        left = 0

        def execute(self, *arguments):
            Mortal.left -= 1
            if Mortal.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return super().execute(*arguments)

    def bring_up_to_date():
        Mortal.left = at
        sqlite3.connect = lambda *given, **more: connect(*given, factory=Mortal, **more)
        Store(folder)._ledger._db.execute("SELECT 1")

    connect, killed, at = sqlite3.connect, True, 3
    while killed:
        folder = unpack("ledger-version-3.sql", tmp_path / str(at))
        killed = in_a_child(bring_up_to_date) == -signal.SIGKILL
        with Store(folder) as store:
            assert states(store) == (3328, 0, 572, 100, 96)
        at += 7
    assert at > 50


def test_an_old_ledger_that_holds_blobs_is_damaged_and_not_changed(tmp_path):
    folder = unpack("ledger-slip.sql", tmp_path / "store")
    (folder / "locks").mkdir()
    before = content(folder, but="")
    for open_it in (
        lambda: Store(folder),
        lambda: Store(folder, read_only=True),
        lambda: adopt(folder, moved=True),
        lambda: adopt(folder, moved=False),
    ):
        with pytest.raises(DamagedLedger, match="salvage"):
            open_it()
    assert not verify(folder).ok
    after = content(folder, but="")
    assert {name: after[name] for name in before} == before
    assert set(after) - set(before) <= {"locks/open.lock"}


def test_a_ledger_that_a_number_of_numpy_destroyed_is_mended(tmp_path):
    """4,096 bits recorded, 512 of them consumed, then `lease(np.int64(1000))` by the program before the CHECKs."""
    folder = unpack("ledger-slip.sql", tmp_path / "store")
    report = salvage(folder)
    assert (report.ledger, report.lost, report.problems) == ("replaced", [], [])
    assert report.kept == {"consumed": 512, "burned": 1000, "free": 2584}
    assert report.burned == 0, "so that the command does it without --yes"
    with Store(folder) as store:
        assert states(store) == (2584, 0, 512, 1000, 0)
        assert [item.bits for item in store.burned("slip")] == [1000]
        assert store.buffers()[0].blocks == 4
    assert salvage(folder).ledger == "kept"


@pytest.mark.parametrize(
    ("statements", "kept", "said"),
    [
        (["UPDATE ranges SET bits = 1.5 WHERE first = 512"], (3328, 0, 572, 100, 96), "where 99 bits"),
        (["DELETE FROM ranges WHERE state = 'withheld'"], (3328, 0, 572, 196, 0), "where 96 bits"),
        (["UPDATE ranges SET bits = bits + 8 WHERE first = 0"], (3328, 0, 572, 100, 96), ""),
        (["UPDATE ranges SET state = 'fre' WHERE state = 'free'"], (0, 0, 572, 3428, 96), "where 3,328 bits"),
        (["DROP TABLE leases"], (3328, 0, 572, 100, 96), "table leases is gone"),
        (["UPDATE ranges SET bits = 999 WHERE first = 0", "UPDATE meta SET value = 'x' WHERE key = 'path'"],
         (0, 0, 572, 3524, 0), "another place"),
        (["CREATE TRIGGER t AFTER UPDATE ON leases BEGIN UPDATE ranges SET state = 'free'; END"],
         (0, 0, 0, 0, 0), "nothing in it was believed"),
    ],
)  # fmt: skip
def test_salvage_keeps_what_rows_prove_and_says_what_they_do_not(tmp_path, statements, kept, said):
    folder = unpack("ledger-version-3.sql", tmp_path / "store")
    Store(folder).close()  # of today's version
    change_ledger(folder, "; ".join(statements))
    with pytest.raises(DamagedLedger):
        Store(folder)
    report = salvage(folder)
    assert report.ledger == "replaced"
    assert said in "\n".join(report.lost)
    with Store(folder) as store:
        assert states(store) == kept


def test_what_claims_prove():
    """One claim proves its bits; two prove what both say, of spent bits alone; none proves nothing."""

    def parts(claims):
        return [(first, end, state) for first, end, state, _ in proven(claims, 100)]

    assert parts([]) == [(0, 100, "")]
    assert parts([(0, 60, "free", None), (60, 100, "burned", 1)]) == [(0, 60, "free"), (60, 100, "burned")]
    assert parts([(0, 60, "free", None), (50, 100, "free", None)]) == [
        (0, 50, "free"), (50, 60, ""), (60, 100, "free"),
    ]  # fmt: skip
    assert parts([(0, 100, "consumed", 1), (50, 60, "consumed", 1)]) == [(0, 100, "consumed")]
    assert parts([(0, 100, "consumed", 1), (50, 60, "burned", 1)]) == [
        (0, 50, "consumed"), (50, 60, ""), (60, 100, "consumed"),
    ]  # fmt: skip
    assert list(proven([], 0)) == []


def test_a_copy_of_a_damaged_store_frees_no_bit(tmp_path):
    folder = unpack("ledger-slip.sql", tmp_path / "store")
    moved = folder.rename(tmp_path / "copy")
    report = salvage(moved)
    assert any("may be a copy" in sentence for sentence in report.lost)
    with Store(moved) as store:
        assert states(store) == (0, 0, 512, 3584, 0)
        assert report.burned == 2584
        assert store.uuid != "8f635853-91b3-4f4d-9934-60800299365a"


def test_salvage_that_is_interrupted_leaves_the_old_ledger_or_the_new_one(tmp_path, monkeypatch):
    folder = unpack("ledger-slip.sql", tmp_path / "store")
    old = (folder / "ledger.sqlite").read_bytes()
    for name in ("os.replace", "shutil.copy2", "entropy.ledger._ledger.Ledger.take_over"):
        with monkeypatch.context() as patched:
            patched.setattr(name, interrupt)
            with pytest.raises(KeyboardInterrupt):
                salvage(folder)
        assert (folder / "ledger.sqlite").read_bytes() == old
    assert salvage(folder).kept == {"consumed": 512, "burned": 1000, "free": 2584}
