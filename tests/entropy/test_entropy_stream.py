"""Bits that no store holds, through conditionings."""

import numpy as np
import pytest

from entropy import BitStream, NoConditioning, PublicMask, Sha256, Toeplitz, Xor


def stream(name: str, seed: int) -> BitStream:
    return BitStream(name, _reader(seed))


def _reader(seed: int):
    generator = np.random.Generator(np.random.Philox(seed))
    return lambda bits: np.frombuffer(generator.bytes(bits // 8), np.uint8).copy()


@pytest.mark.parametrize("conditioning", [NoConditioning(), Xor(2), Xor(3), PublicMask()])
def test_reads_of_any_cut_join_seamlessly(conditioning):
    whole = conditioning.read(stream("a", 1), 32 * 60)
    pieces = stream("a", 1)
    cut = [conditioning.read(pieces, 32 * words) for words in (1, 10, 20, 29)]
    np.testing.assert_array_equal(np.concatenate(cut), whole)


def test_xor_is_the_xor_of_words():
    raw = _reader(3)(32 * 8).view(np.uint32).reshape(4, 2)
    np.testing.assert_array_equal(Xor(2).read(stream("a", 3), 32 * 4).view(np.uint32), raw[:, 0] ^ raw[:, 1])


def test_a_mask_depends_on_the_streams_name_and_not_on_its_bits():
    mask = PublicMask("key")
    one, other = (
        mask.read(BitStream(name, lambda bits: np.zeros(bits // 8, np.uint8)), 4096) for name in "ab"
    )
    assert (one != other).any()
    np.testing.assert_array_equal(one, mask.mask("a", 0, 4096))


@pytest.mark.parametrize("conditioning", [Toeplitz(), Sha256()])
def test_conditionings_that_make_many_bits_at_once_are_served(conditioning):
    out = conditioning.read(stream("a", 2), 4096)
    assert abs(np.unpackbits(out).mean() - 0.5) < 6 * 0.5 / 64
