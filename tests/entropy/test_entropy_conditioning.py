"""Conditioning: the exact XOR, and that it never combines two bits of one cell."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from entropy import NoConditioning, NotEnoughBits, SharedCells, Store, StoreError, Xor, conditioning_from_name

NAMES = ("none", "xor2", "xor7", "mask:memtj", "mask:other.key-2", "von-neumann", "peres:1", "peres:5", "sha256:512",
         "sha256:1024", "toeplitz:1920/4096", "toeplitz:8/16:" + 32 * "a5")  # fmt: skip


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
    for name in NAMES:
        assert conditioning_from_name(name).name == name
    short = {
        "mask": "mask:memtj",
        "peres": "peres:5",
        "sha256": "sha256:512",
        "toeplitz": "toeplitz:1920/4096",
        "xor:3": "xor3",
    }
    assert {name: conditioning_from_name(name).name for name in short} == short


@pytest.mark.parametrize(
    "name",
    ["xor1", "xor", "xor-2", "xor99999", "masks", "none:1", "von-neumann:2", "peres:x", "peres:9", "sha256:12",
     "sha256:-8", "toeplitz:8", "toeplitz:16/8", "toeplitz:8/16:zz", "toeplitz:8/16:00", "", "mask:a b"],
)  # fmt: skip
def test_names_of_nothing_are_refused_in_one_sentence(name):
    with pytest.raises(StoreError, match=r"^(there is no conditioning|the mask key).*: "):
        conditioning_from_name(name)


def test_xor_needs_two_words():
    with pytest.raises(ValueError, match="at least two"):
        Xor(1)


def test_an_array_too_small_for_the_group_is_refused(store, made):
    with made.recording(store, cells=63) as record:
        made.append(record, np.zeros(63 * 10, np.uint8))
    with store.lease(630, purpose="test") as lease, pytest.raises(SharedCells, match="two bits of cell"):
        Xor(2).read(lease, 32)


def test_an_array_just_large_enough_is_served(store, made):
    with made.recording(store, cells=64) as record:
        made.append(record, np.zeros(64 * 10, np.uint8))
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
        with made.recording(store, cells=count) as record:
            for loss in losses:
                usable = (rng.random(4 * count) >= loss).astype(np.uint8)
                made.append(record, np.zeros(4 * count, np.uint8), usable=usable)
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


@pytest.mark.parametrize("name", NAMES)
def test_a_conditioning_costs_what_it_says_and_the_same_bits_give_the_same_again(store, made, name):
    """Read by a lease and again from its ranges, at an odd place, in reads that fill no byte."""
    made.fill(store, [120, 130])
    conditioning = conditioning_from_name(name)
    sizes = (96, 13, 1024)
    with store.lease(50_000, purpose="test") as lease:
        lease.read(5)
        portion = lease.split(1, 49_900)[0]
        before = [conditioning.read(portion, size) for size in sizes]
        spent = portion.bits - portion.remaining
        ranges = portion.read_ranges
    again = store.recorded(ranges)
    for size, bits in zip(sizes, before, strict=True):
        assert bits.dtype == np.uint8
        assert len(bits) == -(-size // 8)
        assert not np.unpackbits(bits)[size:].any()
        np.testing.assert_array_equal(conditioning.read(again, size), bits)
    assert again.remaining == 0
    if conditioning.fixed_rate:
        assert spent == sum(conditioning.bits_in(size) for size in sizes)
    assert len(conditioning.read(store.recorded([]), 0)) == 0


@given(h=st.floats(0, 1), independent=st.booleans(), name=st.sampled_from(NAMES))
def test_no_output_is_credited_with_more_than_went_in(h, independent, name):
    conditioning = conditioning_from_name(name)
    bits = 1920 * 256
    cost = conditioning.bits_in(bits) / bits if conditioning.fixed_rate else 1 / conditioning.rate(0.5)
    credit = conditioning.output_min_entropy(h, independent=independent)
    assert 0 <= credit <= min(1, cost * h * (1 + 1e-12))
    assert credit >= conditioning.output_min_entropy(0.9 * h, independent=independent)


@pytest.mark.parametrize("h", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_min_entropy_is_refused(name, h):
    with pytest.raises(ValueError, match="from 0 to 1"):
        conditioning_from_name(name).output_min_entropy(h)


@given(weights=st.lists(st.floats(0, 1), min_size=8, max_size=8).filter(lambda w: sum(w) > 0.1))
def test_the_credit_of_an_xor_holds_for_any_joint_law_of_its_bits(weights):
    """Three bits of an arbitrary joint law, of min-entropy 3 h: their XOR against the credit."""
    law = np.asarray(weights) / sum(weights)
    h = min(1.0, -np.log2(law.max()) / 3)
    parity = np.array([bin(i).count("1") % 2 for i in range(8)])
    odd = law[parity == 1].sum()
    assert -np.log2(max(odd, 1 - odd)) >= Xor(3).output_min_entropy(h) - 1e-9


def test_the_credit_of_an_xor_is_reached_by_a_source_with_memory():
    """Of two equal words of fair bits the XOR is 0: half a bit in, nothing out."""
    assert Xor(2).output_min_entropy(0.5) == 0
    assert Xor(2).output_min_entropy(0.75) == pytest.approx(0.5)
    assert Xor(5).output_min_entropy(1) == 1


@given(ps=st.lists(st.floats(0, 1), min_size=4, max_size=4))
def test_the_credit_of_an_xor_of_independent_bits_is_the_piling_up_lemma(ps):
    h = -np.log2(max(max(p, 1 - p) for p in ps))
    odd = (1 - np.prod([1 - 2 * p for p in ps])) / 2
    credit = Xor(4).output_min_entropy(max(h, 0), independent=True)
    assert -np.log2(max(odd, 1 - odd)) >= credit - 1e-9
    p = max(max(p, 1 - p) for p in ps)
    assert credit == pytest.approx(-np.log2((1 + (2 * p - 1) ** 4) / 2), abs=1e-9)
