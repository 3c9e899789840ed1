"""The public mask: what is written down about it, that anybody can undo it, and that it hides a dead array."""

import hashlib

import numpy as np
import pytest

from entropy import PublicMask, StoreError

WORD = (1 << 64) - 1


def philox(counter: int, key: tuple[int, int]) -> list[int]:
    """Philox 4x64-10 by its paper (Salmon et al. 2011), in whole numbers."""
    x = [counter >> 64 * i & WORD for i in range(4)]
    for turn in range(10):
        k0 = key[0] + turn * 0x9E3779B97F4A7C15 & WORD
        k1 = key[1] + turn * 0xBB67AE8584CAA73B & WORD
        high0, low0 = divmod(0xD2E7470EE14C6C93 * x[0], 1 << 64)
        high1, low1 = divmod(0xCA5A826395121157 * x[2], 1 << 64)
        x = [high1 ^ x[1] ^ k0, low1, high0 ^ x[3] ^ k1, low0]
    return x


def test_the_mask_is_the_one_that_is_written_down():
    key = hashlib.sha256(b"memtj mask 1 K BUFFER").digest()
    pair = int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")
    words = [word for counter in range(1, 5) for word in philox(counter, pair)]
    text = "".join(f"{word:064b}" for word in words)
    mask = PublicMask("K")
    for first, bits in ((0, 1024), (3, 700), (255, 2), (256, 64), (511, 513), (7, 1), (800, 24)):
        found = mask.mask("BUFFER", first, bits)
        assert "".join(map(str, np.unpackbits(found)))[:bits] == text[first : first + bits]
        assert not np.unpackbits(found)[bits:].any()


def test_a_bit_meets_the_same_mask_whoever_reads_it_and_whenever(store, made):
    bits = made.fill(store, [3, 3])
    made.fill(store, [3], seed=1)
    one, two = (info.uuid for info in store.buffers())
    store.withhold(one, 100, 3, verdict="tear the ranges apart")
    mask = PublicMask()
    with store.lease(2200, purpose="test") as lease:
        lease.read(11)
        parts = [np.unpackbits(mask.read(lease, size), count=size) for size in (77, 1000, 1100)]
        ranges = lease.read_ranges
        assert {item.buffer for item in ranges} == {one, two}
    own = [np.unpackbits(mask.mask(item.buffer, item.first, item.bits), count=item.bits) for item in ranges]
    raw = np.unpackbits(store.read(ranges))[: sum(item.bits for item in ranges)]
    np.testing.assert_array_equal(np.concatenate(parts), (raw ^ np.concatenate(own))[11:])
    assert (mask.mask(one, 0, 800) != mask.mask(two, 0, 800)).any()
    assert (mask.mask(one, 0, 800) != PublicMask("another").mask(one, 0, 800)).any()
    np.testing.assert_array_equal(raw[:96], bits[:96])


def test_a_mask_makes_a_dead_array_look_alive_and_credits_it_with_nothing(store, made):
    with made.recording(store) as record:
        made.append(record, np.zeros(made.count * 400, np.uint8))
    with store.lease(100_000, purpose="test") as lease:
        out = np.unpackbits(PublicMask().read(lease, 100_000))
    # 10 standard errors of fair bits
    assert abs(out.mean() - 0.5) < 10 * 0.5 / np.sqrt(100_000)
    assert PublicMask().output_min_entropy(0.0, independent=True) == 0


def test_a_key_is_a_word():
    with pytest.raises(StoreError, match="use another"):
        PublicMask("two words")
