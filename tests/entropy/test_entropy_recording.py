"""Recordings: what is in the files, and what is refused."""

import json
import os
import threading
import time

import h5py
import numpy as np
import pytest

from entropy import BLOCK_DTYPE, CELL_DTYPE, Recording, RecordingPlan, Store, StoreError
from entropy.testing import facts_of

from .conftest import interrupt, states


def test_a_buffer_holds_what_was_recorded_for_any_hdf5_reader(store, made):
    rng = np.random.default_rng(1)
    outcomes = rng.integers(0, 2, 5 * made.count, dtype=np.uint8)
    usable = np.ones(len(outcomes), np.uint8)
    usable[[3, 700]] = 0
    with made.recording(store, resistances=10, device="wafer 7", bench={"name": "b", "ü": [1, 2]}) as record:
        first = made.append(record, outcomes, sequence=7)
        second = made.append(record, outcomes, usable=usable, sequence=8, stalled=True)
        record.append_resistances(np.array([78e3, 156e3, np.nan, 1e9]))
    assert first.ones == outcomes.sum()
    assert (second.index, second.first_bit, second.bits) == (1, len(outcomes), len(outcomes) - 2)
    info = store.buffers()[0]
    with h5py.File(info.path, "r") as file:
        rows = file["blocks"][:]
        assert rows.dtype == BLOCK_DTYPE
        written = rows[["sequence", "stalled", "failed_resets"]]
        assert written.tolist() == [(7, 0, 0), (8, 1, 2)]
        data = file["bits"][int(rows["first_byte"][1]) :]
        np.testing.assert_array_equal(
            np.unpackbits(data, count=len(outcomes) - 2), outcomes[usable.astype(bool)]
        )
        np.testing.assert_array_equal(np.unpackbits(file["valid"][:], count=len(usable)), usable)
        assert file["cells"].dtype == CELL_DTYPE
        assert file.attrs["complete"] == file.attrs["simulated"] == 1
        assert file.attrs["recording"].decode() == record.uuid
        assert json.loads(file.attrs["device"]) == "wafer 7"
        assert json.loads(file.attrs["software"])["h5py"] == h5py.__version__
    assert store.bench(info.uuid) == {"name": "b", "ü": [1, 2]}
    assert store.procedure(info.uuid) == {"mode": "toggle"}
    assert store.cells(info.uuid)["r_p"][0] == 78e3
    np.testing.assert_allclose(store.resistances(info.uuid), [78e3, 156e3, np.inf, np.inf], rtol=1e-4)
    packed, mask = store.read_block(info.uuid, 1)
    np.testing.assert_array_equal(packed, data)
    np.testing.assert_array_equal(mask, np.packbits(usable))
    assert store.read_block(info.uuid, 0)[1] is None
    assert store.rows(info.uuid)["ones"][0] == first.ones


def test_a_snapshot_larger_than_an_object_header_is_kept(store, made):
    bench = {"calibration": ["0.123456789"] * 20_000}
    with made.recording(store, bench=bench):
        assert store.bench(store.buffers()[0].uuid) == bench


def test_segments_rotate_by_size_and_each_is_a_buffer_of_its_own(store, made):
    made.fill(store, [40] * 7, rotate_bytes=3 * 40 * made.count // 8)
    buffers = store.buffers()
    assert [(info.segment, info.blocks) for info in buffers] == [(0, 3), (1, 3), (2, 1)]
    assert len({info.recording for info in buffers}) == 1
    assert len({info.uuid for info in buffers}) == 3
    assert all(info.complete and not info.live for info in buffers)
    assert sum(info.bits for info in buffers) == store.accounts().free == 7 * 40 * made.count


def test_a_closed_buffer_keeps_no_reserved_room(store, made):
    made.fill(store, [40])
    assert store.buffers()[0].path.stat().st_size < 40 * made.count / 8 + 300_000


def test_blocks_are_seen_as_soon_as_they_are_committed(store, made):
    with made.recording(store) as record, Store(store.path) as other:
        for blocks in (1, 2, 3):
            made.append(record, np.ones(made.count, np.uint8))
            assert other.accounts().free == blocks * made.count
            (info,) = other.buffers()
            assert (info.blocks, info.live, info.complete) == (blocks, True, False)
            assert len(other.rows(info.uuid)) == blocks


def test_a_block_with_health_flags_is_withheld(store, made):
    with made.recording(store) as record:
        made.append(record, np.ones(made.count, np.uint8), health=2)
        made.append(record, np.ones(made.count, np.uint8))
    assert states(store) == (made.count, 0, 0, 0, made.count)


def test_a_block_without_a_usable_bit_is_kept_as_a_fact(store, made):
    with made.recording(store) as record:
        made.append(record, np.ones(made.count, np.uint8), usable=np.zeros(made.count, np.uint8))
        made.append(record, np.ones(made.count, np.uint8))
    assert store.buffers()[0].blocks == 2
    with store.lease(made.count, purpose="test") as lease:
        assert (lease.read(made.count) == 255).all()
    assert store.verify().ok


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"count": 9}, "packed uint8"),
        ({"bits": np.zeros(32, np.int16)}, "packed uint8"),
        ({"positions": 255, "count": 255, "bits": np.full(32, 1, np.uint8)}, "padding"),
        ({"positions": 250, "count": 250}, "whole pulses"),
        ({"positions": 512}, "usable"),
        ({"ones": 257}, "256 bits cannot hold 257 ones"),
        ({"positions": 512, "valid": np.zeros(10, np.uint8)}, "mask of 512"),
        ({"positions": 512, "valid": np.full(64, 255, np.uint8)}, "marks 512"),
    ],
)
def test_contradictions_are_refused_and_commit_nothing(store, made, change, message):
    arguments = {"bits": np.zeros(32, np.uint8), "count": 256}
    positions = change.pop("positions", 256)
    with made.recording(store) as record:
        with pytest.raises(ValueError, match=message):
            record.append(**(arguments | change), facts=facts_of(record, positions))
        record.append(**arguments, facts=facts_of(record, 256))
    assert store.accounts().recorded == 256


def test_bad_settings_are_refused_before_a_file_is_made(store, made):
    with pytest.raises(ValueError, match=r"cells must be elements of entropy\.CELL_DTYPE, one for every"):
        made.recording(store, made.cells(6).reshape(2, 3))
    with pytest.raises(StoreError, match="bench snapshot"):
        made.recording(store, bench={"x": object()})
    assert not list(store.path.glob("*.h5"))


def test_after_an_interrupted_append_nothing_is_written_over_it(store, made, monkeypatch):
    """Ctrl-C between the writes of one commit: what was committed stays, the recording goes no further."""
    with made.recording(store) as record:
        made.append(record, np.ones(made.count, np.uint8))
        monkeypatch.setattr("entropy.buffer._writer._Column.write", interrupt)
        with pytest.raises(KeyboardInterrupt):
            made.append(record, np.ones(made.count, np.uint8))
        monkeypatch.undo()
        with pytest.raises(StoreError, match="interrupted"):
            made.append(record, np.ones(made.count, np.uint8))
    assert store.accounts().recorded == made.count
    assert store.buffers()[0].complete
    assert store.verify().ok


def test_a_closed_recording_refuses_more(store, made):
    record = made.recording(store)
    record.close()
    with pytest.raises(StoreError, match="closed"):
        made.append(record, np.ones(made.count, np.uint8))


def test_closing_while_another_thread_appends_commits_whole_blocks_and_says_so(store, made, patience):
    """Every append either returns, and its block is there, or raises StoreError."""
    record = made.recording(store, rotate_bytes=3 * made.count // 8)
    committed, refused = [], []

    def work(seed: int) -> None:
        outcomes = np.random.default_rng(seed).integers(0, 2, made.count, dtype=np.uint8)
        try:
            while True:
                committed.append((made.append(record, outcomes), np.packbits(outcomes)))
        except StoreError as error:
            refused.append(str(error))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    while len(committed) < 20:
        time.sleep(0.001)
    record.close()
    for thread in threads:
        thread.join(patience(30))
    assert len(refused) == 3
    assert all("is closed: start a new one" in message for message in refused)
    with pytest.raises(StoreError, match="closed"):
        record.append_resistances(np.ones(3))
    assert record.blocks == len(committed)
    assert sum(info.blocks for info in store.buffers()) == len(committed)
    assert all(info.complete for info in store.buffers())
    for commit, packed in committed:
        np.testing.assert_array_equal(store.read_block(commit.buffer, commit.index)[0], packed)
    assert store.verify().ok


def test_a_recording_may_be_closed_in_the_middle_of_an_append_by_its_own_thread(store, made, monkeypatch):
    """As a signal handler does: it neither hangs nor commits half a block."""
    record = made.recording(store)
    made.append(record, np.ones(made.count, np.uint8))
    monkeypatch.setattr("entropy.buffer._writer._Rows.write", lambda *_: record.close())
    with pytest.raises(StoreError):
        made.append(record, np.ones(made.count, np.uint8))
    monkeypatch.undo()
    assert store.accounts().recorded == made.count
    assert store.verify().ok


def test_small_blocks_are_with_the_operating_system_when_append_returns(store, made):
    """Blocks far smaller than a chunk, and across the ends of chunks: nothing of them waits in HDF5."""
    rng = np.random.default_rng(5)
    with made.recording(store, cells=8) as record:
        for size in (1, 3, 1000, 70_000, 262_144 - 71_003, 262_145, 2):
            outcomes = rng.integers(0, 2, 8 * size, dtype=np.uint8)
            usable = rng.integers(0, 2, 8 * size, dtype=np.uint8)
            commit = made.append(record, outcomes, usable=usable)
            with h5py.File(store.buffers()[0].path, "r", swmr=True) as file:
                row = file["blocks"][commit.index]
                data = file["bits"][int(row["first_byte"]) :]
                mask = file["valid"][int(row["valid_offset"]) :]
            np.testing.assert_array_equal(data, np.packbits(outcomes[usable.astype(bool)]))
            np.testing.assert_array_equal(mask, np.packbits(usable))


def _syncing() -> bool:
    return any(thread.name == "buffer to disk" for thread in threading.enumerate())


def _open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.fixture
def syncs(monkeypatch) -> list[int]:
    """The descriptors that were put on the disk, in the order of that."""
    found: list[int] = []
    monkeypatch.setattr(os, "fdatasync", found.append, raising=False)
    return found


def durable(store, made, seconds):
    """A recording as `Store.record` makes one, with the policy for the disk given."""
    plan = RecordingPlan(cells=made.cells(), bench={}, procedure={}, simulated=True, durable=seconds)
    return Recording(store.path, store._ledger, store._following.add_finished, plan)


def test_a_buffer_is_put_on_the_disk_now_and_then_while_it_grows(store, made, syncs, wait_until):
    with durable(store, made, 0.01) as record:
        made.append(record, np.ones(made.count, np.uint8))
        wait_until(lambda: len(syncs) >= 3, 20)
    assert not _syncing()
    with durable(store, made, None) as record:
        assert not _syncing()
    with pytest.raises(ValueError, match="durable"):
        durable(store, made, 0)


@pytest.mark.parametrize("told", ["append", "close"])
def test_a_disk_that_did_not_take_the_blocks_is_told_of(store, made, monkeypatch, told, wait_until):
    broken = threading.Event()

    def refuse(_: int) -> None:
        if broken.is_set():
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse, raising=False)
    record = durable(store, made, 0.001)
    made.append(record, np.ones(made.count, np.uint8))
    broken.set()
    wait_until(lambda: not _syncing())
    more = {"append": lambda: made.append(record, np.ones(made.count, np.uint8)), "close": record.close}
    with pytest.raises(StoreError, match="did not take what was written"):
        more[told]()
    record.close()
    assert not store.buffers()[0].complete


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts open files by /proc")
def test_recordings_leave_no_file_and_no_thread_behind(store, made, wait_until):
    made.fill(store, [3], rotate_bytes=64)
    store.accounts()
    files, threads = _open_files(), threading.active_count()
    for turn in range(5):
        record = durable(store, made, 30.0)
        for _ in range(4):
            made.append(record, np.ones(made.count, np.uint8))
        if turn % 2:
            record.close()
        del record  # never closed: as if killed, but nothing stays open
        store.accounts()  # and its reader of this buffer is closed as the next ones come
    wait_until(lambda: threading.active_count() <= threads)
    assert threading.active_count() == threads
    for info in store.buffers():
        store._files.forget(info.uuid)
    assert _open_files() <= files


def test_what_is_expected_of_a_recording_is_kept(store, made):
    for expected in (None, 0, 4096):
        with made.recording(store, expected_bits=expected) as record:
            assert record.plan.expected_bits == expected
    with pytest.raises(ValueError, match="expected_bits"):
        made.recording(store, expected_bits=-1)
