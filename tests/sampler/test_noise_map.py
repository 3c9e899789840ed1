"""Noise map 1 against exact values, against its definition in numpy, and against itself for ever."""

import hashlib
import os
from collections.abc import Callable

import mpmath
import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri

from sampler import NOISE_MAP, integers, normals, permutation, uniforms
from sampler._noise_map import normals_reference
from sampler._normal_levels import normal_table
from sampler._normal_table import SEGMENTS, segment_coefficients

# Word, and the float32 that map 1 makes of it. These never change: a picture's replay rests on them.
GOLDEN = {
    0x00000000: "0x1.95a11a0000000p+2",
    0x00000001: "0x1.8aa6c80000000p+2",
    0x00000002: "0x1.85725a0000000p+2",
    0x0000003F: "0x1.62d05a0000000p+2",
    0x00000040: "0x1.62a38a0000000p+2",
    0x0000007F: "0x1.5aec780000000p+2",
    0x00000080: "0x1.5ad5960000000p+2",
    0x3FFFFFFF: "0x1.5956b80000000p-1",
    0x40000000: "0x1.5956b80000000p-1",
    0x7EFFFFFF: "0x1.40da820000000p-7",
    0x7F000000: "0x1.40da820000000p-7",
    0x7FFFFFFF: "0x1.40d9320000000p-32",
    0x80000000: "-0x1.95a11a0000000p+2",
    0xFFFFFFFF: "-0x1.40d9320000000p-32",
    0x12345678: "0x1.77b2640000000p+0",
    0x9ABCDEF0: "-0x1.41b2480000000p+0",
    0xDEADBEEF: "-0x1.5441660000000p-2",
    0x00C0FFEE: "0x1.607e240000000p+1",
    0x5A5A5A5A: "0x1.8273080000000p-2",
    0xA5A5A5A5: "-0x1.0c93e00000000p+0",
}
# Every statistical test here raises a false alarm less than once in a million runs.
FALSE_ALARM = 1e-6


def packed(words: np.ndarray) -> np.ndarray:
    return words.astype(">u4").view(np.uint8)


def exact(word: int) -> float:
    with mpmath.workdps(40):
        q = (mpmath.mpf(word & 0x7FFFFFFF) + 0.5) / 2**32
        z = mpmath.sqrt(2) * mpmath.erfinv(1 - 2 * q)
        return float(-z if word >> 31 else z)


def edges() -> np.ndarray:
    """All words whose m stands at, just before or just after the start of a segment."""
    starts = {(64 + s) << shift for s in range(64) for shift in range(25)} | set(range(130))
    near = {m + d for m in starts for d in (-1, 0, 1)} | {2**31 - 1 - d for d in range(70)}
    kept = sorted(m for m in near if 0 <= m < 2**31)
    return np.array([*kept, *(m | 0x80000000 for m in kept)], dtype=np.uint32)


def test_golden_vectors() -> None:
    z = normals(packed(np.array(list(GOLDEN), dtype=np.uint32)))
    assert [float(x).hex() for x in z] == list(GOLDEN.values())


def test_golden_vectors_are_the_exact_values_rounded() -> None:
    for word, text in GOLDEN.items():
        assert float(np.float32(exact(word))).hex() == text


def test_the_kernel_equals_the_definition_bit_for_bit() -> None:
    words = np.concatenate([edges(), np.frombuffer(os.urandom(4 << 20), np.uint32)])
    got, expected = normals(packed(words)), normals_reference(packed(words))
    assert np.array_equal(got.view(np.uint32), expected.view(np.uint32))


def test_two_threads_change_nothing() -> None:
    raw = np.frombuffer(os.urandom(4 * ((1 << 20) + 7)), np.uint8)
    assert np.array_equal(normals(raw), normals_reference(raw))


def test_normals_are_the_exact_quantiles_to_float32_rounding() -> None:
    words = np.concatenate([edges(), np.frombuffer(os.urandom(4 << 20), np.uint32)])
    z = normals(packed(words)).astype(np.float64)
    m = (words & np.uint32(0x7FFFFFFF)).astype(np.float64)
    true = -ndtri((m + 0.5) / 2**32) * np.where(words >> 31, -1, 1)
    spacing = np.spacing(np.abs(z).astype(np.float32)).astype(np.float64)
    assert np.max(np.abs(z - true) / spacing) < 0.51
    assert np.mean(z.astype(np.float32) == true.astype(np.float32)) > 0.9999


def test_the_last_counts_of_the_tail_are_exact() -> None:
    words = np.arange(128, dtype=np.uint32)
    assert normals(packed(words)).tolist() == [float(np.float32(exact(int(w)))) for w in words]


def test_moments() -> None:
    n = 1 << 21
    z = normals(np.frombuffer(os.urandom(4 * n), np.uint8)).astype(np.float64)
    limit = float(stats.norm.isf(FALSE_ALARM / 8))
    for power, mean, variance in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(np.mean(z**power) - mean) < limit * np.sqrt(variance / n)


def test_the_table_is_the_one_of_the_version() -> None:
    assert NOISE_MAP.version == 1
    assert hashlib.sha256(normal_table().astype("<f8").tobytes()).hexdigest() == NOISE_MAP.sha256
    assert not normal_table().flags.writeable


def test_the_table_can_be_made_again() -> None:
    chosen = [*range(0, SEGMENTS, 61), 64 * 8 + 5, SEGMENTS - 1]
    for segment in chosen:
        assert segment_coefficients(segment) == normal_table()[segment].tolist()


@pytest.mark.parametrize(("mantissa", "dtype"), [(24, np.float32), (11, np.float16), (53, np.float64)])
def test_uniforms_hold_their_range_in_their_type(mantissa: int, dtype: type) -> None:
    size = 8 if mantissa == 53 else 4
    ends = uniforms(np.array([0] * size + [255] * size, np.uint8), mantissa)
    assert ends.tolist() == [0.0, 1 - 2.0**-mantissa]
    assert ends.astype(dtype).tolist() == ends.tolist()


def test_uniforms_take_the_top_bits() -> None:
    word = np.array([0x12, 0x34, 0x56, 0x78] * 2, np.uint8)
    assert uniforms(word, 24).tolist() == [0x123456 / 2**24] * 2
    assert uniforms(word, 11).tolist() == [(0x12345678 >> 21) / 2**11] * 2
    assert uniforms(word, 8).tolist() == [0x12 / 2**8] * 2
    assert uniforms(word, 53).tolist() == [(0x1234567812345678 >> 11) / 2**53]


def words_of(*words: int, size: int = 4) -> tuple[Callable[[int], np.ndarray], list[int]]:
    raw, left = b"".join(w.to_bytes(size, "big") for w in words), []
    left.append(0)

    def read(bits: int) -> np.ndarray:
        at = left[0]
        left[0] += bits // 8
        assert left[0] <= len(raw), "more words were read than needed"
        return np.frombuffer(raw[at : left[0]], np.uint8)

    return read, left


def test_integers_skip_the_words_that_would_bias_them() -> None:
    top = 2**32 - 1
    read, left = words_of(5, top, 7, top, top, 3)
    assert integers(read, 3, 3).tolist() == [5 % 3, 7 % 3, 3 % 3]
    assert left[0] == 6 * 4


def test_integers_beyond_32_bits() -> None:
    read, _ = words_of(2**64 - 1, 12, size=8)
    assert integers(read, 2, 2**64).tolist() == [2**64 - 1, 12]
    read, _ = words_of(2**64 - 1, 12, 2**40, size=8)
    assert integers(read, 2, 2**33 + 1).tolist() == [12, 2**40 % (2**33 + 1)]


def test_integers_are_uniform() -> None:
    drawn = integers(lambda bits: np.frombuffer(os.urandom(bits // 8), np.uint8), 70_000, 7)
    assert stats.chisquare(np.bincount(drawn.astype(int), minlength=7)).pvalue > FALSE_ALARM


def test_permutation_is_fisher_and_yates() -> None:
    read, left = words_of(2, 2**32 - 1, 4, 1)
    # place 3 takes 2; at place 2 the top word is skipped and 4 % 3 = 1 is taken; place 1 takes 1.
    assert permutation(read, 4).tolist() == [0, 3, 1, 2]
    assert left[0] == 4 * 4


def test_permutations_are_uniform() -> None:
    def read(bits: int) -> np.ndarray:
        return np.frombuffer(os.urandom(bits // 8), np.uint8)

    counts: dict[tuple[int, ...], int] = {}
    for _ in range(6_000):
        order = tuple(permutation(read, 4).tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 24
    assert stats.chisquare(list(counts.values())).pvalue > FALSE_ALARM
