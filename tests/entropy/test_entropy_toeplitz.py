"""Toeplitz hashing: the matrix, that it is universal, the leftover hash lemma, and seeds."""

import hashlib

import numpy as np
import pytest

from entropy import Toeplitz, conditioning_from_name
from entropy.conditioning import own_seed


@pytest.mark.parametrize(("n_out", "n_in"), [(8, 8), (16, 40), (24, 64), (1920, 4096), (4096, 4096)])
def test_the_hash_is_the_product_with_the_matrix(n_out, n_in):
    toeplitz = Toeplitz(n_out, n_in)
    raw = np.random.default_rng(1).integers(0, 256, (3, n_in // 8), np.uint8)
    product = np.unpackbits(raw, axis=1).astype(np.int64) @ toeplitz.matrix.T.astype(np.int64) % 2
    np.testing.assert_array_equal(toeplitz.hash(raw.reshape(-1)), np.packbits(product))
    matrix = toeplitz.matrix
    assert (matrix[1:, 1:] == matrix[:-1, :-1]).all()


def test_the_seed_is_used_as_it_is_where_it_is_long_enough():
    long = bytes(range(40, 80))
    first = np.unpackbits(np.frombuffer(long, np.uint8))
    matrix = Toeplitz(16, 32, long).matrix
    np.testing.assert_array_equal(np.concatenate([matrix[0, ::-1], matrix[1:, 0]]), first[:47])
    short = Toeplitz(256, 256, bytes(32)).matrix
    expanded = np.unpackbits(np.frombuffer(hashlib.shake_256(bytes(32)).digest(64), np.uint8))
    np.testing.assert_array_equal(np.concatenate([short[0, ::-1], short[1:, 0]]), expanded[:511])


def test_the_matrices_are_a_universal_family():
    """Exactly, for all inputs: over the seeds the hash of every x that is not 0 is uniform.

    The hash is linear in the seed's 23 bits too: no combination of the 8 output bits may vanish for all of them.
    """
    raw = np.arange(1, 1 << 16, dtype=">u2").view(np.uint8)
    rows = np.zeros((8, len(raw) // 2), np.int32)
    for bit in range(23):
        unit = np.zeros(256, np.uint8)
        unit[bit] = 1
        hashed = Toeplitz(8, 16, np.packbits(unit).tobytes()).hash(raw)
        rows |= (np.unpackbits(hashed[:, None], axis=1).T.astype(np.int32)) << bit
    combined = np.zeros((1, rows.shape[1]), np.int32)
    for row in rows:
        combined = np.concatenate([combined, combined ^ row])
    assert (combined[1:] != 0).all()


def test_the_leftover_hash_lemma_bounds_the_distance_from_uniform():
    """A source of 12 bits of min-entropy in 16, 8 bits out: on average at most ½ · 2^-(12 - 8)/2 from uniform."""
    rng = np.random.default_rng(3)
    raw = rng.choice(1 << 16, 1 << 12, replace=False).astype(">u2").view(np.uint8)
    distances = []
    for _ in range(200):
        hashed = Toeplitz(8, 16, rng.bytes(32)).hash(raw)
        distances.append(np.abs(np.bincount(hashed, minlength=256) / 4096 - 1 / 256).sum() / 2)
    assert 0 < np.mean(distances) <= 0.5 * 2**-2


def test_the_credit_is_the_lemmas():
    assert Toeplitz().output_min_entropy(0.5) == 1
    assert Toeplitz().output_min_entropy(0.25) == pytest.approx((1024 - 128) / 1920)
    assert Toeplitz().output_min_entropy(0.03) == 0
    best = Toeplitz.for_min_entropy(0.9)
    assert best.n_out == (int(0.9 * 4096) - 128) // 8 * 8
    assert best.output_min_entropy(0.9) == 1
    assert best.output_min_entropy(0.89) < 1
    with pytest.raises(ValueError, match="multiples of 8"):
        Toeplitz.for_min_entropy(0.03)


def test_a_seed_of_ones_own_comes_out_of_a_lease_and_stands_in_the_name(store, made):
    made.fill(store, [60])
    with store.lease(640, purpose="seed of a Toeplitz matrix") as lease:
        seed = own_seed(lease, 0.5)
    toeplitz = Toeplitz(64, 256, seed)
    raw = np.random.default_rng(1).integers(0, 256, 32, np.uint8)
    again = conditioning_from_name(toeplitz.name)
    np.testing.assert_array_equal(again.hash(raw), toeplitz.hash(raw))
    assert (Toeplitz(64, 256).hash(raw) != toeplitz.hash(raw)).any()
    assert store.accounts().consumed == 640


@pytest.mark.parametrize("arguments", [(8, 20), (16, 8), (0, 8), (8, 1 << 17), (8, 16, b"short")])
def test_what_is_no_matrix_is_refused(arguments):
    with pytest.raises(ValueError, match="Toeplitz"):
        Toeplitz(*arguments)
