"""Leases: what is read, what leaving them does, and what they never do."""

import gc
import multiprocessing
import os
import sys
import threading
import time

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from entropy import NotEnoughBits, Store, StoreError
from entropy.buffer._chunks import _memory_for

from .conftest import spend, states


def unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    assert packed.dtype == np.uint8
    assert len(packed) == (bits + 7) // 8
    found = np.unpackbits(packed)
    assert not found[bits:].any(), "the padding is zeros"
    return found[:bits]


def test_left_normally_read_bits_are_consumed_and_unread_ones_free(store, made):
    bits = made.fill(store, [4])
    with store.lease(1000, purpose="test") as lease:
        assert lease.bits == lease.remaining == 1000
        np.testing.assert_array_equal(unpacked(lease.read(300), 300), bits[:300])
        assert lease.remaining == 700
        assert store.accounts().leased == 1000
        (where,) = lease.read_ranges
        assert where == (store.buffers()[0].uuid, 0, 300)
    assert states(store) == (724, 0, 300, 0, 0)
    with pytest.raises(StoreError, match="was left"):
        lease.read(1)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_left_by_an_exception_all_of_it_is_burned(store, made, error):
    made.fill(store, [4])

    def spoiled():
        with store.lease(1000, purpose="test") as lease:
            lease.read(10)
            raise error

    with pytest.raises(error):
        spoiled()
    assert states(store)[3] == 1000


def test_a_forgotten_lease_is_burned(store, made):
    made.fill(store, [4])
    lease = store.lease(1000, purpose="test")
    lease.read(8)
    assert store.accounts().leased == 1000
    del lease
    gc.collect()
    assert store.accounts().burned == 1000


def test_closing_the_store_burns_what_is_still_leased(tmp_path, made):
    with Store(tmp_path / "s") as store:
        made.fill(store, [4])
        lease = store.lease(8, purpose="test")
    with Store(tmp_path / "s") as store:
        assert store.accounts().burned == 8
    with pytest.raises(StoreError, match="burned"):
        lease.read(1)


def test_a_lease_whose_lock_file_was_removed_is_burned_once_and_says_so(store, made):
    made.fill(store, [4])
    lease = store.lease(8, purpose="test")
    for path in (store.path / "locks").glob("lease-*"):
        path.unlink()
    assert store.accounts().burned == 8
    with pytest.raises(StoreError, match="taken for dead"):
        lease.close()
    assert store.accounts().burned == 8


def _read_in_child(lease, store, results):
    for attempt in (lambda: lease.read(8), store.accounts, lambda: store.lease(1, purpose="child")):
        try:
            attempt()
            results.put("served")
        except StoreError as error:
            results.put(str(error))
    lease.close()  # not the child's to end: must change nothing


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_reads_nothing_and_ends_nothing(store, made, patience):
    made.fill(store, [4])
    with store.lease(1000, purpose="test") as lease:
        context = multiprocessing.get_context("fork")
        results = context.Queue()
        child = context.Process(target=_read_in_child, args=(lease, store, results))
        child.start()
        said = [results.get(timeout=patience(30)) for _ in range(3)]
        child.join(patience(30))
        for refusal, why in zip(said, ("forked child", "parent process", "parent process"), strict=True):
            assert why in refusal
        assert store.accounts().leased == 1000
        lease.read(1000)
    assert store.accounts().consumed == 1000


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_childs_life_does_not_keep_a_dead_owner_alive(tmp_path, made, patience):
    with Store(tmp_path / "s") as store:
        made.fill(store, [4])
    context = multiprocessing.get_context("fork")
    taken, grandchild = context.Event(), context.Value("i", 0)

    def own():
        owner = Store(tmp_path / "s")
        lease = owner.lease(100, purpose="owner")
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        grandchild.value = pid
        taken.set()
        time.sleep(60)
        lease.close()

    process = context.Process(target=own)
    process.start()
    assert taken.wait(patience(30))
    process.kill()
    process.join()  # with a time-out it would wait for the grandchild, which has the same sentinel open
    try:
        with Store(tmp_path / "s") as store:
            assert store.accounts().burned == 100
    finally:
        os.kill(grandchild.value, 9)


def test_too_few_bits_says_both_numbers(store, made):
    made.fill(store, [4])
    with pytest.raises(NotEnoughBits, match=r"2,000 bits were wanted and 1,024 are free") as caught:
        store.lease(2000, purpose="test")
    assert (caught.value.wanted, caught.value.available) == (2000, 1024)
    with store.lease(1000, purpose="test") as lease:
        lease.read(990)
        with pytest.raises(NotEnoughBits) as caught:
            lease.read(11)
        assert (caught.value.wanted, caught.value.available) == (11, 10)
        assert lease.remaining == 10
    with pytest.raises(ValueError, match="bits is a whole number from 1 up"):
        store.lease(0, purpose="test")


def test_waiting_ends_in_time_without_a_recorder_and_at_once_with_one(store, made, patience):
    begin = time.monotonic()
    with pytest.raises(NotEnoughBits):
        store.lease(8, purpose="test", wait=0.3)
    assert 0.3 <= time.monotonic() - begin < patience(3)

    later = threading.Timer(0.3, lambda: made.fill(store, [4]))
    later.start()
    with store.lease(1024, purpose="test", wait=30) as lease:
        lease.read(1024)
    later.join()
    assert store.accounts().consumed == 1024


def test_a_reader_in_the_recorders_own_process_follows_it(store, made):
    """Recorder and sampler as two threads over one store and one HDF5 file."""
    rng = np.random.default_rng(5)
    blocks = [rng.integers(0, 2, 40 * made.count, dtype=np.uint8) for _ in range(60)]

    def record():
        with made.recording(store, rotate_bytes=20_000) as running:
            for block in blocks:
                made.append(running, block)

    thread = threading.Thread(target=record)
    thread.start()
    found = []
    for block in blocks:
        with store.lease(len(block), purpose="test", wait=30) as lease:
            found.append(unpacked(lease.read(len(block)), len(block)))
    thread.join()
    np.testing.assert_array_equal(np.concatenate(found), np.concatenate(blocks))
    assert store.verify().ok
    assert len(store.buffers()) > 3
    assert all(info.complete for info in store.buffers())


def test_portions_are_stretches_of_the_lease_and_count_as_read(store, made):
    bits = made.fill(store, [4, 4, 4])
    with store.lease(3000, purpose="test") as lease:
        np.testing.assert_array_equal(unpacked(lease.read(100), 100), bits[:100])
        first, second, third = lease.split(3, 801)
        assert lease.remaining == 3000 - 100 - 3 * 801
        np.testing.assert_array_equal(unpacked(third.read(801), 801), bits[100 + 1602 : 100 + 2403])
        np.testing.assert_array_equal(unpacked(first.read(5), 5), bits[100:105])
        np.testing.assert_array_equal(unpacked(lease.read(50), 50), bits[2503:2553])
        assert second.read_ranges == []
        assert second.remaining == second.bits == 801
        assert [item[1:] for item in second.ranges] == [(901, 801)]
        assert [item[1:] for item in lease.read_ranges] == [(0, 105), (1702, 851)]
        with pytest.raises(NotEnoughBits):
            first.read(797)
        with pytest.raises(NotEnoughBits):
            lease.split(2, 300)
    assert states(store)[2] == 100 + 801 + 5 + 50
    np.testing.assert_array_equal(
        unpacked(store.read(lease.read_ranges), 956), np.concatenate([bits[:105], bits[1702:2553]])
    )


def test_a_next_lease_begins_on_a_byte_and_the_scraps_are_used_last(store, made):
    made.fill(store, [4])
    spend(store, 13)
    with store.lease(100, purpose="b") as lease:
        assert [item[1:] for item in lease.ranges] == [(16, 100)]
        lease.read(100)
    spend(store, 1024 - 113)
    assert states(store) == (0, 0, 1024, 0, 0)


def test_withheld_bits_are_handed_out_only_by_name_and_go_back_where_they_were(store, made):
    made.fill(store, [4])
    buffer = store.buffers()[0].uuid
    assert store.withhold(buffer, 100, 200, verdict="stuck cell") == 200
    with pytest.raises(NotEnoughBits):
        store.lease(1024, purpose="test")
    with store.lease(150, purpose="test", withheld=True) as lease:
        assert lease.withheld
        lease.read(20)
    assert states(store) == (824, 0, 20, 0, 180)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reads=st.lists(st.integers(0, 700), min_size=1, max_size=12),
    failed=st.lists(st.integers(0, 9), min_size=3, max_size=3),
    seed=st.integers(0, 1000),
)
def test_any_sequence_of_reads_gives_the_recorded_bits_in_order(tmp_path_factory, made, reads, failed, seed):
    """Blocks of odd sizes (failed resets), so that blocks and reads begin and end inside bytes."""
    rng = np.random.default_rng(seed)
    with Store(tmp_path_factory.mktemp("reads") / "s") as store:
        recorded = []
        with made.recording(store) as record:
            for lost in failed:
                outcomes = rng.integers(0, 2, 4 * made.count, dtype=np.uint8)
                usable = np.ones(len(outcomes), np.uint8)
                usable[rng.choice(len(usable), lost, replace=False)] = 0
                made.append(record, outcomes, usable=usable)
                recorded.append(outcomes[usable.astype(bool)])
        bits = np.concatenate(recorded)
        with store.lease(len(bits), purpose="test") as lease:
            at = 0
            for wanted in reads:
                wanted = min(wanted, lease.remaining)
                np.testing.assert_array_equal(unpacked(lease.read(wanted), wanted), bits[at : at + wanted])
                at += wanted
            np.testing.assert_array_equal(unpacked(store.read(lease.read_ranges), at), bits[:at])
        assert store.accounts().balanced


def test_what_a_purpose_burned_can_be_read_again_and_stays_burned(store, made):
    made.fill(store, [4])
    lease = store.lease(320, purpose="part 7")
    first = lease.read(320)
    lease.burn()
    (where,) = store.burned("part 7")
    assert where.bits == 320
    np.testing.assert_array_equal(store.read([where]), first)
    assert store.accounts().burned == 320
    assert store.burned("part 8") == []


def test_a_purpose_whose_last_lease_was_left_burned_nothing_that_is_to_be_read_again(store, made):
    made.fill(store, [4])
    store.lease(320, purpose="part 7").burn()
    with store.lease(320, purpose="part 7") as lease:
        lease.read(320)
    assert store.burned("part 7") == []


def test_a_block_that_is_read_whole_is_not_kept_and_a_shared_one_is(store, made):
    """What nobody will read again makes room, so that a long read stays within the processor's cache."""
    bits = made.fill(store, [4, 4, 4])
    with store.lease(3072, purpose="test") as lease:
        kept = store._files.cache._kept
        np.testing.assert_array_equal(unpacked(lease.read(1024), 1024), bits[:1024])
        assert not kept
        first, second = lease.split(2, 512)
        np.testing.assert_array_equal(unpacked(second.read(512), 512), bits[1536:2048])
        np.testing.assert_array_equal(unpacked(first.read(512), 512), bits[1024:1536])
        assert [index for _, index in kept] == [1]
        np.testing.assert_array_equal(unpacked(lease.read(1024), 1024), bits[2048:])
        assert [index for _, index in kept] == [1]


@pytest.mark.parametrize("offset", [0, 8, 64, 1000, 2048 + 16])
def test_memory_of_a_block_lies_where_the_system_copies_fast(offset):
    for size in (1, 5000, 1 << 20):
        memory = _memory_for([(offset, size)], size)
        assert (memory.size, memory.dtype) == (size, np.uint8)
        assert memory.ctypes.data % 64 == 0
        assert (memory.ctypes.data - offset) % 4096 >= 64
