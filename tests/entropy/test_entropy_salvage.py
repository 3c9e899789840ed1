"""After a crash, and after the loss of one half of a store."""

import shutil

import h5py
import numpy as np
import pytest

from entropy import Store, StoreError, salvage
from entropy.testing import change_ledger

from .conftest import damage, spend, states


@pytest.fixture
def crashed(store, start):
    """A store whose recorder was killed after six committed blocks, in its second segment."""
    recorder = start("recorder.py", store.path, 64, 0, 0.001, 4 * 64 * 256 // 8)
    for _ in range(7):
        recorder.stdout.readline()
    recorder.kill()
    recorder.communicate()
    return store


def contents(store: Store) -> list:
    return [store.read_block(info.uuid, index)[0] for info in store.buffers() for index in range(info.blocks)]


def test_files_of_a_killed_recorder_are_closed_properly_with_every_block(crashed):
    before, accounts = contents(crashed), crashed.accounts()
    interrupted = [info for info in crashed.buffers() if not info.complete]
    assert interrupted
    crashed.close()
    with pytest.raises(OSError, match="h5clear"):
        h5py.File(interrupted[0].path, "r")
    report = salvage(crashed.path)
    assert report.closed == [info.path.name for info in interrupted]
    assert (report.ledger, report.entered, report.problems) == ("kept", {}, [])
    with h5py.File(interrupted[0].path, "r") as plain:
        assert plain.attrs["complete"] == 1
        assert plain.attrs["salvaged"].decode().startswith("20")
        assert plain.attrs["buffer"].decode() == interrupted[0].uuid
        assert plain["blocks"].shape == (interrupted[0].blocks,)
    with Store(crashed.path) as again:
        assert all(info.complete for info in again.buffers())
        assert again.accounts() == accounts
        for one, two in zip(before, contents(again), strict=True):
            np.testing.assert_array_equal(one, two)
        assert again.verify().ok
    again = salvage(crashed.path)
    assert (again.closed, again.problems) == ([], [])


def test_masks_resistances_and_cells_survive_the_copying(store, made, monkeypatch):
    record = made.recording(store, resistances=100)
    usable = np.ones(made.count, np.uint8)
    usable[3] = 0
    made.append(record, made.cells()["column"] % 2, usable=usable)
    record.append_resistances(np.linspace(70e3, 160e3, 60))
    made.append(record, made.cells()["column"] % 3 % 2)
    monkeypatch.setattr("entropy.buffer._writer.BufferWriter.close", lambda self: self._abandon())
    record.close()
    monkeypatch.undo()
    (info,) = store.buffers()
    assert not info.complete
    before = [store.read_block(info.uuid, 0), store.resistances(info.uuid), store.cells(info.uuid)]
    store.close()
    assert salvage(store.path).closed == [info.path.name]
    with Store(store.path) as again:
        after = [again.read_block(info.uuid, 0), again.resistances(info.uuid), again.cells(info.uuid)]
        for one, two in zip(before[0] + tuple(before[1:]), after[0] + tuple(after[1:]), strict=True):
            np.testing.assert_array_equal(one, two)
        assert again.verify().ok


def test_a_live_recording_is_left_alone(store, made):
    with made.recording(store) as record:
        made.append(record, made.cells()["column"] % 2)
        report = salvage(store.path)
        assert (report.closed, report.entered, report.problems) == ([], {}, [])
        made.append(record, made.cells()["column"] % 2)
    assert store.verify().ok


@pytest.mark.parametrize("unused", [False, True])
def test_buffers_without_a_ledger_are_burned_unless_one_vouches_for_them(store, made, tmp_path, unused):
    bits = made.fill(store, [4, 4])
    store.close()
    for path in store.path.glob("ledger*"):
        path.unlink()
    with pytest.raises(StoreError, match=r"no ledger\.sqlite.*memtj store salvage"):
        Store(store.path)
    report = salvage(store.path, unused=unused)
    assert report.ledger == "made"
    assert list(report.entered.values()) == [2048]
    with Store(store.path) as again:
        assert states(again) == ((2048, 0, 0, 0, 0) if unused else (0, 0, 0, 2048, 0))
        assert again.verify().ok
        (info,) = again.buffers()
        np.testing.assert_array_equal(
            np.unpackbits(np.concatenate([again.read_block(info.uuid, n)[0] for n in range(2)])), bits
        )
        made.fill(again, [1])
        assert again.lease(made.count, purpose="new bits").bits == made.count


def test_a_damaged_ledger_is_set_aside_and_made_anew(store, made):
    made.fill(store, [4])
    spend(store, 100)
    store.close()
    (store.path / "ledger.sqlite").write_bytes(b"x" * 5000)
    report = salvage(store.path)
    assert report.ledger == "replaced"
    assert (store.path / report.set_aside / "ledger.sqlite").read_bytes() == b"x" * 5000
    with Store(store.path) as again:
        assert states(again) == (0, 0, 0, 1024, 0)


def test_a_ledger_whose_ranges_overlap_hands_nothing_out_and_is_replaced(store, made):

    made.fill(store, [4])
    store.close()
    spans = "(1, 0, 1000, 'free', NULL), (1, 900, 124, 'free', NULL)"
    change_ledger(store.path, f"DELETE FROM ranges; INSERT INTO ranges VALUES {spans}")
    with pytest.raises(StoreError, match=r"overlap or have gaps.*salvage"):
        Store(store.path)
    report = salvage(store.path)
    assert report.ledger == "replaced"
    assert report.kept == {"free": 924, "burned": 100}, "what two ranges speak of is burned"


def test_a_stray_buffer_is_entered_as_burned_and_a_copy_is_left_alone(store, made, tmp_path):
    made.fill(store, [4])
    with Store(tmp_path / "other") as other:
        made.fill(other, [2], seed=1)
        stray = other.buffers()[0].path
    store.close()
    shutil.copy(stray, store.path / "stray.h5")
    shutil.copy(next(iter(store.path.glob("20*.h5"))), store.path / "copy.h5")
    report = salvage(store.path)
    assert report.entered == {"stray.h5": 512}
    (problem,) = report.problems
    assert "copy.h5 is a copy of" in problem
    with Store(store.path) as again:
        assert states(again) == (1024, 0, 0, 512, 0)


def test_a_ledger_in_use_is_not_replaced(store, made, start):
    made.fill(store, [4])
    holder = start("reserver.py", store.path, 8)
    assert holder.stdout.readline().strip() == "reserved"
    store.close()
    for path in store.path.glob("ledger*"):
        path.unlink()
    (store.path / "ledger.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="is in use"):
        salvage(store.path)


def test_a_moved_store_says_first_whether_it_was_moved(store, made, tmp_path):
    made.fill(store, [1])
    store.close()
    shutil.move(store.path, tmp_path / "moved")
    with pytest.raises(StoreError, match="memtj store adopt"):
        salvage(tmp_path / "moved")


def test_an_empty_folder_is_no_store(tmp_path):
    with pytest.raises(StoreError, match="neither buffers nor a ledger"):
        salvage(tmp_path)


def test_a_damaged_block_spoils_one_lease_and_is_withheld_then(store, made):
    made.fill(store, [4, 4, 4])
    (info,) = store.buffers()
    store.close()
    damage(info.path, "bits", at=4 * made.count // 8 + 3)
    with Store(store.path) as again:
        with pytest.raises(StoreError, match="CRC of block 1"):
            spend(again, 1200)
        assert states(again) == (1024, 0, 0, 1200, 2048 - 1200)
        spend(again, 1024)
        assert again.release(info.uuid, 1024, 1024, verdict="restored") == 2048 - 1200
