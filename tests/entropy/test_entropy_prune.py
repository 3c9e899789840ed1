"""Making room: what goes, what stays, what is still known of it, and interruptions."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import entropy
from entropy import NotEnoughBits, PrunePolicy, Store, StoreError, salvage

from .conftest import interrupt, spend, states

EVERYTHING = PrunePolicy(burn_unspent=True)


@pytest.fixture
def half_spent(store, made):
    """Three buffers of 1,024 bits: the first is spent, the second in part, the third not at all."""
    bits = np.concatenate([made.fill(store, [4], seed=seed) for seed in range(3)])
    return store, bits, spend(store, 1500)


def test_only_what_is_spent_goes_and_first_it_is_only_said(half_spent):
    store, _, _ = half_spent
    one, two, three = store.prune(PrunePolicy())
    assert one.keep == ""
    assert two.keep == "548 of its bits are not spent"
    assert three.keep == "1,024 of its bits are not spent"
    assert all(info.path.is_file() and info.place is None for info in store.buffers())
    done = store.prune(PrunePolicy(), dry_run=False)
    assert [step.done for step in done] == [True, False, False]
    first, *rest = store.buffers()
    assert not first.path.exists()
    assert first.place == "deleted"
    assert all(info.path.is_file() for info in rest)
    assert states(store) == (1572, 0, 1500, 0, 0)
    assert store.verify().ok
    assert [step.buffer for step in store.prune(PrunePolicy())] == [info.uuid for info in rest]


def test_deleted_bits_are_named_when_they_are_wanted_again(half_spent):
    store, _, ranges = half_spent
    with Store(store.path) as other:
        other.read(ranges)  # another process has read it before
        store.prune(PrunePolicy(), dry_run=False)
        with pytest.raises(StoreError, match=r"deleted by 'memtj store prune'.*cannot be read again"):
            store.read(ranges)
    with Store(store.path) as other, pytest.raises(StoreError, match="deleted by"):
        other.read(ranges)


def test_archived_bits_can_be_read_again(half_spent, tmp_path):
    store, bits, ranges = half_spent
    name = store.buffers()[0].path.name
    store.prune(PrunePolicy(), archive=tmp_path / "shelf", dry_run=False)
    assert not (store.path / name).exists()
    assert store.buffers()[0].place == str(tmp_path / "shelf" / name)
    np.testing.assert_array_equal(np.unpackbits(store.read(ranges), count=1500), bits[:1500])
    with Store(store.path) as other:
        np.testing.assert_array_equal(np.unpackbits(other.read(ranges), count=1500), bits[:1500])
        assert other.verify().ok


def test_unspent_bits_are_burned_only_when_told(half_spent):
    store, _, _ = half_spent
    store.withhold(store.buffers()[2].uuid, 0, 100, verdict="test")
    assert all(step.done for step in store.prune(EVERYTHING, dry_run=False))
    assert states(store) == (0, 0, 1500, 1572, 0)
    assert not list(store.path.glob("*.h5"))
    with pytest.raises(NotEnoughBits):
        store.lease(1, purpose="test")


def test_leased_and_running_buffers_stay_whatever_is_told(store, made):
    made.fill(store, [4])
    with store.lease(1, purpose="holds"), made.recording(store) as record:
        made.append(record, made.cells()["column"] % 2)
        one, two = store.prune(EVERYTHING, dry_run=False)
    assert one.keep == "1 of its bits are leased"
    assert two.keep == "it is still being written"


def test_spent_segments_of_a_running_recording_go(store, made):
    with made.recording(store, rotate_bytes=made.count // 8) as record:
        for _ in range(3):
            made.append(record, made.cells()["column"] % 2)
        spend(store, 2 * made.count)
        assert [step.done for step in store.prune(PrunePolicy(), dry_run=False)] == [True, True, False]
        made.append(record, made.cells()["column"] % 2)
        spend(store, made.count)
    assert states(store)[0] == made.count


def test_age_and_size_limit_what_goes(half_spent):
    store, _, _ = half_spent
    assert all(step.keep for step in store.prune(PrunePolicy(older_than=3600, burn_unspent=True)))
    sizes = [info.path.stat().st_size for info in store.buffers()]
    steps = store.prune(PrunePolicy(down_to=sizes[2], burn_unspent=True))
    assert [step.keep for step in steps] == ["", "", "the store is small enough"]
    steps = store.prune(PrunePolicy(down_to=sum(sizes), burn_unspent=True))
    assert all(step.keep for step in steps)


@pytest.mark.parametrize("archived", [False, True])
@pytest.mark.parametrize("where", ["before the ledger", "before the file goes"])
def test_an_interruption_is_finished_by_the_next_call(half_spent, tmp_path, monkeypatch, archived, where):
    store, bits, ranges = half_spent
    archive = tmp_path / "shelf" if archived else None

    if where == "before the ledger":
        monkeypatch.setattr("entropy.ledger._ledger.Ledger.retire", interrupt)
    else:
        monkeypatch.setattr(Path, "unlink", interrupt)
    with pytest.raises(KeyboardInterrupt):
        store.prune(PrunePolicy(), archive=archive, dry_run=False)
    monkeypatch.undo()
    first = store.buffers()[0]
    assert (store.path / first.path.name).is_file()
    assert (first.place is None) == (where == "before the ledger")
    assert sum(states(store)) == 3072
    assert store.verify().ok
    steps = store.prune(PrunePolicy(), archive=archive, dry_run=False)
    assert steps[0].done
    assert not (store.path / first.path.name).exists()
    if archived:
        np.testing.assert_array_equal(np.unpackbits(store.read(ranges), count=1500), bits[:1500])
    assert salvage(store.path).problems == []


def test_a_copy_that_reads_back_otherwise_removes_nothing(half_spent, tmp_path, monkeypatch):
    store, _, _ = half_spent
    monkeypatch.setattr("filecmp.cmp", lambda *paths, shallow: False)
    with pytest.raises(StoreError, match="do not trust this disk"):
        store.prune(PrunePolicy(), archive=tmp_path / "shelf", dry_run=False)
    assert store.buffers()[0].path.is_file()
    assert store.buffers()[0].place is None


def test_an_archive_with_another_file_of_that_name_is_refused(half_spent, tmp_path):
    store, _, _ = half_spent
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    (shelf / store.buffers()[0].path.name).write_text("something else")
    with pytest.raises(StoreError, match="exists already and is another file"):
        store.prune(PrunePolicy(), archive=shelf, dry_run=False)
    assert store.buffers()[0].path.is_file()


def test_a_pruned_store_can_be_moved(half_spent, tmp_path):
    store, _, _ = half_spent
    store.prune(PrunePolicy(), dry_run=False)
    store.close()
    shutil.move(store.path, tmp_path / "moved")
    entropy.adopt(tmp_path / "moved", moved=True)
    with Store(tmp_path / "moved") as again:
        assert again.accounts().free == 1572
        assert again.verify().ok
