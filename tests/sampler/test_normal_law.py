"""The normals of every width against the exact law of that width, from bits of the operating system or of Philox.

The default tests draw a million numbers of each width, the slow ones a hundred million. Each statistic raises a false
alarm less than once in a million runs. The last tests show what the statistics find.
"""

import math
import os
import secrets
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from scipy import optimize, special, stats

from sampler import NORMAL_WIDTHS, normal_bits, normal_levels, normals
from sampler._normal_kernel import fill_normals
from sampler._normal_levels import normal_table

FALSE_ALARM = 1e-6  # of each statistic
NARROW = tuple(w for w in NORMAL_WIDTHS if w < 32)
BATCH = 1 << 22

Bytes = Callable[[int], np.ndarray]


def operating_system(size: int) -> np.ndarray:
    return np.frombuffer(os.urandom(size), np.uint8)


def philox() -> Bytes:
    """Philox with a fresh seed: os.urandom would take most of a slow test's time."""
    generator = np.random.Generator(np.random.Philox(secrets.randbits(128)))
    return lambda size: generator.integers(0, 1 << 64, -(-size // 8), np.uint64).view(np.uint8)[:size]


def biased(size: int) -> np.ndarray:
    """Independent bits with P(1) = ½ + ½·2⁻⁸ = 0.50195."""
    generator = np.random.Generator(np.random.Philox(secrets.randbits(128)))
    all_ones = np.full(size, 255, np.uint8)
    for _ in range(8):
        all_ones &= generator.integers(0, 256, size, np.uint8)
    return generator.integers(0, 256, size, np.uint8) | all_ones


def batches(draws: int, width: int, read: Bytes) -> Iterator[np.ndarray]:
    for start in range(0, draws, BATCH):
        count = min(BATCH, draws - start)
        yield normals(read(normal_bits(count, width) // 8), width=width, count=count, threads=1)


# --- the discrete laws: every level of a width is as likely as the others


def counts_of_levels(draws: int, width: int, read: Bytes) -> np.ndarray:
    """How often each level came out, from the lowest to the highest; every number must be a level.

    A level is known by its sign and the first bits of its magnitude, as many as tell the levels apart: a search would
    take most of a slow test's time.
    """
    levels = np.sort(normal_levels(width))
    patterns = levels[levels > 0].view(np.uint32)
    shift = max(n for n in range(32) if len(np.unique(patterns >> n)) == len(patterns))
    base = patterns[0] >> shift
    span = int((patterns[-1] >> shift) - base) + 1

    def places(z: np.ndarray) -> np.ndarray:
        bits = z.view(np.uint32)
        return np.minimum(((bits & 0x7FFFFFFF) >> shift) - base, span) + (bits >> 31) * np.uint32(span + 1)

    found = np.zeros(2 * span + 2, np.int64)
    for z in batches(draws, width, read):
        found += np.bincount(places(z), minlength=len(found))
    counts = found[places(levels)]
    assert counts.sum() == draws
    return counts


def kolmogorov(distance: float, draws: int) -> float:
    """P(D ≥ distance) of a continuous law; of a discrete one the probability is no greater."""
    return float(stats.kstwobign.sf(distance * math.sqrt(draws)))


def anderson(square: float, levels: float = math.inf) -> float:
    """P(A² ≥ square) of many draws, for a law of so many equally likely levels or a continuous one.

    A² = Σ χ²₁/(i(i + 1)), i < levels: these are the eigenvalues for equal cells too (Choulakian, Lockhart and
    Stephens 1994). The upper tail of such a sum is that of its first term times Π (1 − λᵢ/λ₁)^−½ (Zolotarev 1961).
    """
    product = 3.0 if math.isinf(levels) else 3 * (levels - 1) / (levels + 1)
    return math.sqrt(product) * float(stats.chi2.sf(2 * square, 1))


def discrete_statistics(counts: np.ndarray) -> tuple[float, float]:
    """Kolmogorov and Smirnov's D and Anderson and Darling's A² (Choulakian, Lockhart and Stephens) of equal cells."""
    draws, cells = int(counts.sum()), len(counts)
    below = np.arange(1, cells) / cells
    excess = np.cumsum(counts)[:-1] - draws * below
    square = math.fsum(excess**2 / (below * (1 - below))) / (draws * cells)
    return float(np.max(np.abs(excess))) / draws, square


def p_values_of_counts(counts: np.ndarray) -> dict[str, float]:
    distance, square = discrete_statistics(counts)
    return {
        "chi-square": float(stats.chisquare(counts).pvalue),
        "Kolmogorov-Smirnov": kolmogorov(distance, int(counts.sum())),
        "Anderson-Darling": anderson(square, len(counts)),
    }


def tail_p_value(found: int, draws: int, probability: float) -> float:
    """Two-sided: twice the smaller of both sides of the binomial law."""
    law = stats.binom(draws, probability)
    return min(1.0, 2 * min(float(law.cdf(found)), float(law.sf(found - 1))))


def check_narrow(draws: int, width: int, read: Bytes) -> None:
    counts = counts_of_levels(draws, width, read)
    for name, p in p_values_of_counts(counts).items():
        assert p > FALSE_ALARM, f"{name} at {width} bits: {p}"
    for each in {1, len(counts) // 64}:  # the outermost levels, and 1/32 of all
        if 1 <= each <= len(counts) // 2:
            found = int(counts[:each].sum() + counts[-each:].sum())
            assert tail_p_value(found, draws, 2 * each / len(counts)) > FALSE_ALARM


@pytest.mark.parametrize("width", NARROW)
def test_every_level_is_as_likely_as_the_others(width: int) -> None:
    check_narrow(1_000_000, width, operating_system)


@pytest.mark.slow
@pytest.mark.parametrize("width", NARROW)
def test_every_level_is_as_likely_as_the_others_in_1e8_draws(width: int) -> None:
    check_narrow(100_000_000, width, philox())


# --- 32 bits: the normal law, which 2³² numbers follow more closely than 1e8 draws can tell


def continuous_p_values(z: np.ndarray) -> dict[str, float]:
    """Of D and A² against the standard normal law; sorts `z` in place."""
    z.sort()
    draws, distance, sums = len(z), 0.0, []
    for start in range(0, draws, BATCH):
        x = z[start : start + BATCH].astype(np.float64)
        rank = np.arange(start, start + len(x))
        below, above = special.ndtr(x), special.ndtr(-x)
        distance = max(
            distance, float(np.max((rank + 1) / draws - below)), float(np.max(below - rank / draws))
        )
        sums.append(float(np.sum((2 * rank + 1) * np.log(below) + (2 * (draws - rank) - 1) * np.log(above))))
    square = -draws - math.fsum(sums) / draws
    return {"Kolmogorov-Smirnov": kolmogorov(distance, draws), "Anderson-Darling": anderson(square)}


def magnitudes_beyond(z: float) -> int:
    """How many of the 2³¹ magnitudes m lie beyond z: (m + ½)/2³² < Φ(−z)."""
    return math.ceil(float(special.ndtr(-z)) * 2**32 - 0.5)


def check_normal(draws: int, read: Bytes) -> None:
    z = np.concatenate(list(batches(draws, 32, read)))
    for sigma in (3.0, 4.0, 5.0, 5.5, 6.0):
        for side in (z, -z):
            found = int(np.count_nonzero(side > sigma))
            p = tail_p_value(found, draws, magnitudes_beyond(sigma) / 2**32)
            assert p > FALSE_ALARM, f"{found} of {draws} numbers are beyond {sigma} σ: {p}"
    for name, p in continuous_p_values(z).items():
        assert p > FALSE_ALARM, f"{name}: {p}"


def test_32_bits_follow_the_normal_law_and_have_its_tails() -> None:
    check_normal(1_000_000, operating_system)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_32_bits_follow_the_normal_law_and_have_its_tails_in_1e8_draws() -> None:
    check_normal(100_000_000, philox())


def test_so_many_magnitudes_lie_beyond_5_sigma_as_theory_says() -> None:
    edge = magnitudes_beyond(5.0)
    z = normals(np.array([edge - 1, edge], ">u4").view(np.uint8))
    assert z[0] > 5 >= z[1]


# --- what the statistics say of a law that is known, and of maps and bits that are wrong


@pytest.mark.parametrize("levels", [2, 16, 64])
def test_the_p_value_of_the_discrete_anderson_darling_is_right(levels: int) -> None:
    # 50 of 50,000 are expected at p < 0.001; fewer than 15 or more than 105 come once in 1e9
    generator = np.random.Generator(np.random.Philox(secrets.randbits(128)))
    counts = generator.multinomial(100_000, np.full(levels, 1 / levels), 50_000)
    below = np.arange(1, levels) / levels
    excess = np.cumsum(counts, axis=1)[:, :-1] - 100_000 * below
    squares = np.sum(excess**2 / (below * (1 - below)), axis=1) / (100_000 * levels)
    assert squares[0] == pytest.approx(discrete_statistics(counts[0])[1])
    limit = optimize.brentq(lambda square: anderson(square, levels) - 1e-3, 1, 30)
    assert 15 <= np.count_nonzero(squares > limit) <= 105


def with_table(table: np.ndarray, draws: int) -> np.ndarray:
    words = np.empty(draws, np.uint32)
    fill_normals(operating_system(4 * draws), table, words)
    return words.view(np.float32)


def test_one_segment_of_the_table_that_is_wrong_is_found() -> None:
    wrong = normal_table().copy()
    wrong[-30, 0] += 0.02
    p = continuous_p_values(with_table(wrong, 4_000_000))
    assert p["Kolmogorov-Smirnov"] < FALSE_ALARM


def test_a_tail_that_is_cut_off_is_found() -> None:
    wrong = normal_table().copy()
    wrong[: 64 * 20, 0] = np.minimum(wrong[: 64 * 20, 0], 3.5)
    wrong[: 64 * 20, 1:] = 0
    found = int(np.count_nonzero(with_table(wrong, 1_000_000) > 3.6))
    assert tail_p_value(found, 1_000_000, magnitudes_beyond(3.6) / 2**32) < FALSE_ALARM


def stuck_sign(width: int) -> Bytes:
    def read(size: int) -> np.ndarray:
        bits = np.unpackbits(operating_system(size))
        bits[::width] = 0
        return np.packbits(bits)

    return read


@pytest.mark.parametrize("width", NARROW)
def test_a_sign_bit_that_is_stuck_is_found(width: int) -> None:
    p = p_values_of_counts(counts_of_levels(100_000, width, stuck_sign(width)))
    assert max(p.values()) < FALSE_ALARM


def test_a_sign_bit_that_is_stuck_is_found_at_32_bits() -> None:
    z = np.concatenate(list(batches(100_000, 32, stuck_sign(32))))
    assert max(continuous_p_values(z).values()) < FALSE_ALARM


@pytest.mark.parametrize("width", NARROW)
def test_bits_of_p_0_502_are_found(width: int) -> None:
    assert min(p_values_of_counts(counts_of_levels(4_000_000, width, biased)).values()) < FALSE_ALARM


def test_bits_of_p_0_502_are_found_at_32_bits() -> None:
    z = np.concatenate(list(batches(4_000_000, 32, biased)))
    assert min(continuous_p_values(z).values()) < FALSE_ALARM
