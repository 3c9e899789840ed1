"""Looking at a store changes nothing, and goes where nothing can be written: a read-only medium, a full disk."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import entropy.ledger._snapshot
from entropy import PrunePolicy, Store, StoreError, adopt, export_bits
from entropy.testing import start_recording
from tests.conftest import content

from .conftest import states


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory, made) -> Path:
    """A store as a killed process leaves it: part of its ledger is in the log alone, a lease is of a dead owner."""
    folder = tmp_path_factory.mktemp("left")
    with Store(folder / "live") as store:
        made.fill(store, [4, 4])
        store._ledger._db.execute("PRAGMA wal_autocheckpoint=0")
        with store.lease(1000, purpose="done") as lease:
            lease.read(1000)
        lease = store.lease(24, purpose="killed")
        shutil.copytree(folder / "live", folder / "left")
        lease.close()
    _stamp(folder / "left")
    assert (folder / "left" / "ledger.sqlite-wal").stat().st_size > 4096
    return folder / "left"


def _stamp(folder: Path) -> None:
    """Make it one that belongs there, without writing the log into the ledger."""
    db = sqlite3.connect(folder / "ledger.sqlite", isolation_level=None)
    db.execute("PRAGMA wal_autocheckpoint=0")
    db.execute("UPDATE meta SET value = ? WHERE key = 'path'", (os.path.realpath(folder),))
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        shutil.copy(folder / name, folder.parent / name)
    db.close()
    for name in ("ledger.sqlite", "ledger.sqlite-wal"):
        os.replace(folder.parent / name, folder / name)


@pytest.fixture
def store(left: Path) -> Iterator[Path]:
    before = content(left)
    yield left
    assert content(left) == before


def look(folder: Path) -> None:
    """See what a killed process left, and that nothing can be done to it."""
    with Store(folder, read_only=True) as store:
        (buffer,) = store.buffers()
        assert states(store) == (1024, 0, 1000, 24, 0)
        assert store.verify().ok
        assert store.leases() == store.requests() == []
        assert store.read([(buffer.uuid, 0, 16)]).shape == (2,)
        refused = (
            lambda: store.lease(8, purpose="no"),
            lambda: store.lease_blocks(buffer.uuid, 0, 0, purpose="no"),
            lambda: store.reserve(8, purpose="no"),
            lambda: store.withhold(buffer.uuid, 0, 8, verdict="no"),
            lambda: store.release(buffer.uuid, 0, 8, verdict="no"),
            lambda: store.credit(buffer.uuid, 0.5, bits=8, basis="no"),
            lambda: store.set_conditioning("none"),
            lambda: store.prune(PrunePolicy(burn_unspent=True), dry_run=False),
            lambda: start_recording(store),
            lambda: export_bits(store, Path(tempfile.gettempdir()) / "no-bits-of-a-test", bits=8),
        )
        for change in refused:
            with pytest.raises(StoreError, match="was opened read-only"):
                change()


def test_looking_changes_nothing(store: Path) -> None:
    look(store)


def test_where_sqlite_cannot_work_the_log_counts_too(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, tried = entropy.ledger._snapshot._read, []

    def once(path: Path, into: sqlite3.Connection) -> None:
        tried.append(path)
        if path.parent == store:
            raise sqlite3.OperationalError("unable to open database file")
        read(path, into)

    monkeypatch.setattr(entropy.ledger._snapshot, "_read", once)
    look(store)
    assert len(tried) == 2


def test_a_copy_during_which_the_log_begins_anew_is_made_again(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states = iter([(1, 1, b"a"), (1, 1, b"b"), (1, 1, b"b"), (1, 1, b"b")])
    monkeypatch.setattr(entropy.ledger._snapshot, "_state", lambda path: next(states))
    entropy.ledger._snapshot.copy_ledger(store / "ledger.sqlite", tmp_path)
    assert next(states, None) is None
    endless = iter(range(1000))
    monkeypatch.setattr(entropy.ledger._snapshot, "_state", lambda path: (next(endless), 0, b""))
    with pytest.raises(StoreError, match=r"ledger\.sqlite changes faster than it can be copied"):
        entropy.ledger._snapshot.copy_ledger(store / "ledger.sqlite", tmp_path)


def test_a_name_of_no_store_makes_nothing(tmp_path: Path) -> None:
    for folder in (tmp_path / "typo", tmp_path):
        for options in ({"read_only": True}, {"create": False}):
            with pytest.raises(StoreError, match="is no store"):
                Store(folder, **options)
        with pytest.raises(StoreError, match="is no store"):
            adopt(folder, moved=True, dry_run=True)
    assert list(tmp_path.iterdir()) == []


def test_a_copy_that_could_be_adopted_is_not_looked_at_before(store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "copy")
    with pytest.raises(StoreError, match="store adopt PATH --moved"):
        Store(tmp_path / "copy", read_only=True)


# --- on real file systems


def mount(*arguments: object) -> None:
    try:
        done = subprocess.run(["mount", *map(str, arguments)], capture_output=True, text=True)
    except OSError as error:
        pytest.skip(f"there is no mount here: {error}")
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "place").mkdir()
    yield tmp_path / "place"
    subprocess.run(["umount", tmp_path / "place"], check=True)


@pytest.mark.parametrize("index", ["with its index", "without"])
def test_on_a_read_only_medium(left: Path, place: Path, tmp_path: Path, index: str) -> None:
    shutil.copytree(left, tmp_path / "source")
    if index == "without":
        (tmp_path / "source" / "ledger.sqlite-shm").unlink(missing_ok=True)
    mount("--bind", tmp_path / "source", place)
    mount("-o", "remount,bind,ro", place)
    with pytest.raises(OSError, match="Read-only"):
        (place / "new").touch()
    look(place)
    with pytest.raises(
        StoreError, match=r"Read-only file system.*'memtj store ls' and 'verify' only read it"
    ):
        Store(place, create=False)


def test_a_sound_store_on_a_read_only_medium(made, place: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "source") as store:
        made.fill(store, [4])
    mount("--bind", tmp_path / "source", place)
    mount("-o", "remount,bind,ro", place)
    with Store(place, read_only=True) as store:
        assert (store.accounts().free, store.verify().ok) == (1024, True)


def test_on_a_full_disk(left: Path, place: Path) -> None:
    mount("-t", "tmpfs", "-o", "size=8m", "tmpfs", place)
    store = place / "store"
    shutil.copytree(left, store)
    _stamp(store)
    (store / "ledger.sqlite-shm").unlink(missing_ok=True)
    with open(place / "filling", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert shutil.disk_usage(place).free == 0
    look(store)
    before = content(store)
    with pytest.raises(StoreError, match=r"ledger\.sqlite: .*(full|disk I/O|unable to open)"):
        Store(store, create=False)
    assert content(store) == before
