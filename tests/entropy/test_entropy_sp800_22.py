"""SP 800-22 against the standard's own examples, printed digit by printed digit.

The examples are short sequences (section 2) and the first million binary digits of e, π, √2 and √3 (appendix B),
which are computed here. Where NIST's program, or its print, is known to be off, the test says so.
"""

import functools
import math

import numpy as np
import pytest
from scipy.special import gammaincc

from entropy.quality import sp800_22
from entropy.quality.sp800_22 import COMPLEXITY_AS_PRINTED, OVERLAPPING_LIMIT, TESTS
from entropy.quality.sp800_22._algebra import _complexities
from entropy.quality.sp800_22._templates import aperiodic_templates

MILLION = 1_000_000
_GUARD = 64  # digits beyond the wanted ones


def bits(text: str) -> np.ndarray:
    return np.array([int(character) for character in text if character in "01"], np.uint8)


@functools.cache
def digits(name: str, count: int = MILLION) -> np.ndarray:
    """Give the first `count` binary digits of a constant, the whole part's first."""
    scale = count + _GUARD
    value = {
        "e": lambda: _e(scale),
        "pi": lambda: _pi(scale),
        "sqrt2": lambda: math.isqrt(2 << 2 * scale),
        "sqrt3": lambda: math.isqrt(3 << 2 * scale),
    }[name]()
    value >>= value.bit_length() - count
    return np.unpackbits(np.frombuffer((value << -count % 8).to_bytes((count + 7) // 8, "big"), np.uint8))[
        :count
    ]


def _e(scale: int) -> int:
    """Sum 1/k!, halves of the sum at a time."""
    terms = 10
    while math.lgamma(terms + 1) / math.log(2) < scale:
        terms += terms // 8

    def split(low: int, high: int) -> tuple[int, int]:
        if high - low == 1:
            return 1, high
        middle = (low + high) // 2
        p, q = split(low, middle)
        r, s = split(middle, high)
        return p * s + r, q * s

    p, q = split(0, terms)
    return ((p + q) << scale) // q


def _pi(scale: int) -> int:
    """Sum Chudnovsky's series, halves of the sum at a time."""

    def split(low: int, high: int) -> tuple[int, int, int]:
        if high - low == 1:
            if low == 0:
                return 1, 1, 13591409
            p = (6 * low - 5) * (2 * low - 1) * (6 * low - 1)
            return p, low**3 * (640320**3 // 24), (-1) ** low * p * (13591409 + 545140134 * low)
        middle = (low + high) // 2
        p, q, t = split(low, middle)
        r, s, u = split(middle, high)
        return p * r, q * s, t * s + p * u

    _, q, t = split(0, scale // 47 + 2)  # 47 bits a term
    return q * 426880 * math.isqrt(10005 << 2 * scale) // t


def printed(value: float) -> str:
    return f"{value:.6f}"


LONG_128 = bits(
    "11001100000101010110110001001100111000000000001001001101010100010001001111010110100000001101011111001100111001101101"
    "100010110010"
)


@pytest.mark.parametrize(
    ("test", "sequence", "options", "expected"),
    [
        ("frequency", bits("1011010101"), {}, ["0.527089"]),
        ("frequency", digits("pi", 100), {}, ["0.109599"]),
        ("block_frequency", bits("0110011010"), {"size": 3}, ["0.801252"]),
        ("block_frequency", digits("pi", 100), {"size": 10}, ["0.706438"]),
        ("runs", bits("1001101011"), {}, ["0.147232"]),
        ("runs", digits("pi", 100), {}, ["0.500798"]),
        ("longest_run", LONG_128, {}, ["0.180609"]),
        ("rank", bits("01011001001010101101"), {"size": 3}, ["0.741948"]),
        ("serial", bits("0011011101"), {"length": 3}, ["0.808792", "0.670320"]),
        ("approximate_entropy", bits("0100110101"), {"length": 3}, ["0.261961"]),
        ("approximate_entropy", digits("pi", 100), {"length": 2}, ["0.235301"]),
        ("cumulative_sums", digits("pi", 100), {}, ["0.219194", "0.114866"]),
    ],
)
def test_short_examples(test, sequence, options, expected):
    assert [printed(p) for p in TESTS[test](sequence, **options).values()] == expected


def test_short_examples_by_their_single_values():
    # printed as 0.4116588, from values of the normal distribution of fewer digits
    assert printed(TESTS["cumulative_sums"](bits("1011010111"))["cumulative_sums_forward"]) == "0.411659"
    found = sp800_22.non_overlapping_template(bits("10100100101110010110"), length=3, blocks=2)
    assert printed(found["non_overlapping_template_001"]) == "0.344154"
    variant = sp800_22.random_excursions_variant(bits("0110110101"), least=1)
    assert printed(variant["random_excursions_variant_+1"]) == "0.683091"
    assert _complexities(bits("1101011110001")[None, :])[0] == 4


@pytest.mark.parametrize(
    ("sequence", "below", "standards", "wrong"),
    [(bits("1001010011"), 5, 4, "0.029523"), (digits("pi", 100), 48, 46, "0.168669")],
)
def test_spectral_examples_in_which_the_standard_miscounts(sequence, below, standards, wrong):
    """2.6.4 and 2.6.8: the standard's statistic of its count of low peaks gives its p-value; there are more."""
    n = len(sequence)
    turns = np.outer(np.arange(n // 2), np.arange(n)) / n
    peaks = np.abs(np.exp(-2j * np.pi * turns) @ (2.0 * sequence - 1))

    def p(low: int) -> float:
        return math.erfc(abs(low - 0.95 * n / 2) / math.sqrt(n * 0.95 * 0.05 / 4) / math.sqrt(2))

    assert np.count_nonzero(peaks < math.sqrt(math.log(20) * n)) == below
    assert printed(p(standards)) == wrong
    assert sp800_22.spectral(sequence)["spectral"] == pytest.approx(p(below), rel=1e-12)


def test_random_excursions_example_by_exact_probabilities():
    """2.14.8 takes its probabilities from a table of four digits, which moves the fifth digit of 0.502529."""
    seen, cycles = np.array([1, 1, 0, 1, 0, 0]), 3
    found = sp800_22.random_excursions(bits("0110110101"), least=1)["random_excursions_+1"]

    def p(shares: list[float]) -> float:
        expected = cycles * np.array(shares)
        return float(gammaincc(2.5, ((seen - expected) ** 2 / expected).sum() / 2))

    assert printed(p([0.5, 0.25, 0.125, 0.0625, 0.0312, 0.0312])) == "0.502529"
    assert found == pytest.approx(p([0.5, 0.25, 0.125, 0.0625, 0.03125, 0.03125]), rel=1e-12)


APPENDIX_B = {
    "pi": "0.578211 0.380615 0.628308 0.663369 0.419268 0.024390 0.083553 0.010186 "
    "0.165757 0.296897 0.669012 0.361595 0.844143 0.760966 0.255475 0.143005",
    "e": "0.953749 0.211072 0.669887 0.724266 0.561917 0.718945 0.306156 0.847187 "
    "0.078790 0.110434 0.282568 0.700073 0.786868 0.826009 0.826335 0.766182",
    "sqrt2": "0.811881 0.833222 0.879009 0.957206 0.313427 0.012117 0.823810 0.581909 "
    "0.569461 0.791982 0.130805 0.884740 0.216235 0.566118 0.317127 0.861925",
    "sqrt3": "0.610051 0.473961 0.917121 0.689519 0.261123 0.446726 0.314498 0.776046 "
    "0.532235 0.082716 0.165981 0.180481 0.783283 0.155066 0.346469 0.157500",
}
ORDER = (
    "frequency", "block_frequency", "cumulative_sums_forward", "cumulative_sums_backward", "runs", "longest_run",
    "rank", "spectral", "non_overlapping_template_000000001", "overlapping_template", "universal",
    "approximate_entropy", "random_excursions_+1", "random_excursions_variant_-1", "linear_complexity", "serial_1",
)  # fmt: skip
# NIST's program computed these with its own normal and gamma functions; ours are right to 12 digits. The standard's
# counts for the overlapping templates of e (329, 164, 150, 111, 78, 136) are ours too.
LAST_DIGIT = {
    ("pi", "overlapping_template"): "0.296898",
    ("e", "cumulative_sums_forward"): "0.669886",
    ("e", "cumulative_sums_backward"): "0.724265",
    ("e", "overlapping_template"): "0.110433",
    ("sqrt2", "overlapping_template"): "0.791978",
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["e", "sqrt3", "sqrt2", "pi"])
def test_a_million_digits(name):
    sequence = digits(name)
    found = sp800_22.run_tests(sequence).p_values
    found |= sp800_22.overlapping_template(sequence, shares=OVERLAPPING_LIMIT)
    found |= sp800_22.linear_complexity(sequence, shares=COMPLEXITY_AS_PRINTED)
    expected = dict(zip(ORDER, APPENDIX_B[name].split(), strict=True))
    expected |= {test: value for (constant, test), value in LAST_DIGIT.items() if constant == name}
    assert {test: printed(found[test]) for test in ORDER} == expected


def test_the_worked_examples_of_e():
    """Sections 2.5, 2.10, 2.11, 2.14 and 2.15 take the digits of e."""
    sequence = digits("e")
    assert printed(sp800_22.rank(sequence[:100_000])["rank"]) == "0.532069"
    complexity = sp800_22.linear_complexity(sequence, 1000, shares=COMPLEXITY_AS_PRINTED)
    assert printed(complexity["linear_complexity"]) == "0.845406"
    assert [printed(p) for p in sp800_22.serial(sequence, 2).values()] == ["0.843764", "0.561915"]
    assert " ".join(printed(p) for p in sp800_22.random_excursions(sequence).values()) == (
        "0.573306 0.197996 0.164011 0.007779 0.786868 0.440912 0.797854 0.778186"
    )
    assert " ".join(printed(p) for p in sp800_22.random_excursions_variant(sequence).values()) == (
        "0.858946 0.794755 0.576249 0.493417 0.633873 0.917283 0.934708 0.816012 0.826009 "
        "0.137861 0.200642 0.441254 0.939291 0.505683 0.445935 0.512207 0.538635 0.593930"
    )


def test_there_are_148_templates_of_nine_bits():
    """Table of section 2.7: 2, 4, 6, 12, 20, 40, 74, 148 templates of 2 to 9 bits."""
    assert [len(aperiodic_templates(length)) for length in range(2, 10)] == [2, 4, 6, 12, 20, 40, 74, 148]


def test_short_sequences_leave_tests_out_and_say_why():
    result = sp800_22.run_tests(digits("sqrt3")[:100_000])
    assert set(result.skipped) == {
        "universal",
        "overlapping_template",
        "random_excursions",
        "random_excursions_variant",
        "non_overlapping_template",
    }
    assert "387,840 bits" in result.skipped["universal"]
    assert len(result.p_values) == 188 - 148 - 1 - 1 - 8 - 18


def test_second_level_of_ideal_bits():
    """Sixty seeded sequences: uniform p-values. The seed is ours; another one misses it once in a thousand."""
    rng = np.random.Generator(np.random.Philox(11))
    sequences = [np.unpackbits(rng.integers(0, 256, 2500, dtype=np.uint8)) for _ in range(60)]
    battery = sp800_22.judge([sp800_22.run_tests(sequence) for sequence in sequences], 20_000)
    assert battery.sequences == 60
    assert battery.ok
    assert "linear_complexity" in battery.skipped
    frequency = next(c for c in battery.criteria if c.name == "frequency")
    assert frequency.proportion_ok
    assert frequency.uniform_ok


def test_second_level_of_biased_bits():
    rng = np.random.default_rng(5)
    sequences = [(rng.random(20_000) < 0.51).astype(np.uint8) for _ in range(60)]
    battery = sp800_22.judge([sp800_22.run_tests(sequence) for sequence in sequences], 20_000)
    assert not battery.ok
    assert "frequency" in battery.failed


def test_the_criteria_are_the_standards():
    """4.2.1: 100 sequences are accepted from a proportion of 0.960150 up; 4.2.2: a bin of ten each is perfect."""
    values = np.repeat((np.arange(10) + 0.5) / 10, 10)
    assert sp800_22.uniformity(values) == 1.0
    assert sp800_22.uniformity(np.full(100, 0.05)) < 1e-100
    result = [
        sp800_22.SequenceResult({"frequency": p}, {})
        for p in [*values[:95], 0.001, 0.001, 0.001, 0.001, 0.001]
    ]
    criterion = sp800_22.judge(result, 1000).criteria[0]
    assert printed(criterion.least) == "0.960150"
    assert criterion.passed == 95
    assert not criterion.proportion_ok
