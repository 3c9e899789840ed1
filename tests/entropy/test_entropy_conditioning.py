"""Conditioning: the exact XOR, and that it never combines two bits of one cell."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from entropy import NoConditioning, NotEnoughBits, SharedCells, Store, StoreError, Xor, conditioning_from_name


def xor_of(bits: np.ndarray, k: int) -> np.ndarray:
    return np.bitwise_xor.reduce(bits.reshape(-1, k, 32), axis=1).ravel()


@pytest.mark.parametrize("k", [2, 3, 5])
def test_xor_is_that_of_consecutive_words(store, made, k):
    bits = made.fill(store, [4, 4, 4])
    with store.lease(32 * k * 3, purpose="test") as lease:
        out = Xor(k).read(lease, 96)
    np.testing.assert_array_equal(np.unpackbits(out), xor_of(bits[: 96 * k], k))
    assert store.accounts().consumed == 96 * k == Xor(k).bits_in(96)


def test_reads_of_whole_words_join_and_a_broken_word_is_rounded_up(store, made):
    bits = made.fill(store, [4])
    with store.lease(1024, purpose="test") as lease:
        parts = [Xor(2).read(lease, 64), Xor(2).read(lease, 5), Xor(2).read(lease, 32)]
        assert lease.remaining == 1024 - Xor(2).bits_in(64) - Xor(2).bits_in(5) - Xor(2).bits_in(32)
    expected = xor_of(bits[:256], 2)
    assert Xor(2).bits_in(5) == 64
    np.testing.assert_array_equal(np.unpackbits(parts[0]), expected[:64])
    np.testing.assert_array_equal(np.unpackbits(parts[1], count=5), expected[64:69])
    assert not np.unpackbits(parts[1])[5:].any()
    np.testing.assert_array_equal(np.unpackbits(parts[2]), expected[96:128])


def test_none_hands_on_the_raw_bits(store, made):
    bits = made.fill(store, [4])
    with store.lease(1024, purpose="test") as lease:
        out = NoConditioning().read(lease.split(1, 100)[0], 100)
    np.testing.assert_array_equal(np.unpackbits(out, count=100), bits[:100])
    assert NoConditioning().bits_in(100) == 100


def test_too_few_bits_are_not_spent(store, made):
    made.fill(store, [4])
    with store.lease(100, purpose="test") as lease:
        with pytest.raises(NotEnoughBits):
            Xor(2).read(lease, 64)
        assert lease.remaining == 100


def test_names_go_there_and_back():
    for name in ("none", "xor2", "xor7"):
        assert conditioning_from_name(name).name == name
    for name in ("xor1", "xor", "mask", "xor-2", "xor99999"):
        with pytest.raises(StoreError, match="there is no conditioning"):
            conditioning_from_name(name)
    with pytest.raises(ValueError, match="at least two"):
        Xor(1)


def test_an_array_too_small_for_the_group_is_refused(store, made):
    with made.recording(store, count=63) as record:
        made.append(record, np.zeros(63 * 10, np.uint8), count=63)
    with store.lease(630, purpose="test") as lease, pytest.raises(SharedCells, match="two bits of cell"):
        Xor(2).read(lease, 32)


def test_an_array_just_large_enough_is_served(store, made):
    with made.recording(store, count=64) as record:
        made.append(record, np.zeros(64 * 10, np.uint8), count=64)
    with store.lease(640, purpose="test") as lease:
        lease.read(24)
        Xor(2).read(lease, 288)
    assert store.accounts().consumed == 600


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(33, 200),
    k=st.integers(2, 3),
    losses=st.lists(st.floats(0, 0.2), min_size=1, max_size=3),
    skips=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 300)), max_size=3),
    seed=st.integers(0, 1000),
)
def test_shared_cells_are_refused_exactly_when_there_are_some(
    tmp_path_factory, made, count, k, losses, skips, seed
):
    """Blocks with failed resets, and leases of torn ranges, against a comparison of all pairs of bits."""
    rng = np.random.default_rng(seed)
    with Store(tmp_path_factory.mktemp("shared") / "s") as store:
        cell_of = []
        with made.recording(store, count=count) as record:
            for loss in losses:
                usable = (rng.random(4 * count) >= loss).astype(np.uint8)
                made.append(record, np.zeros(4 * count, np.uint8), usable=usable, count=count)
                cell_of.append(np.flatnonzero(usable) % count)
        cell_of = np.concatenate(cell_of)
        buffer = store.buffers()[0].uuid
        for first, bits in skips:
            store.withhold(buffer, first, bits, verdict="tear the free bits apart")
        groups = store.accounts().free // (32 * k)
        if groups == 0:
            return
        with store.lease(groups * 32 * k, purpose="test") as lease:
            mine = np.concatenate([cell_of[first : first + bits] for _, first, bits in lease.ranges])
            words = mine.reshape(groups, k, 32)
            shared = any(set(group[a]) & set(group[b]) for group in words for a in range(k) for b in range(a))
            if shared:
                with pytest.raises(SharedCells):
                    Xor(k).read(lease, 32 * groups)
            else:
                Xor(k).read(lease, 32 * groups)
