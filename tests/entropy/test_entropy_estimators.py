"""The ten estimators: NIST's program's numbers, the standard's worked examples, and plain code of its text.

The plain code below follows the steps of SP 800-90B, section 6.3, for any alphabet, with dictionaries and loops. It is
held to the standard's worked examples, and the fast code, which is for bits, is held to it.
"""

import json
import math
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import brentq

from entropy import NotEnoughBits
from entropy.quality.estimators import ESTIMATORS, LEAST_BITS, _predictors, min_entropy
from entropy.quality.estimators._bounds import bounded
from entropy.quality.estimators._counting import collision, compression, markov
from entropy.quality.estimators._tuples import tuples

DATA = Path(__file__).parent / "data" / "sp80090b"
REFERENCE = json.loads((DATA / "reference.json").read_text())
Z = 2.5758293035489008


# --- the standard's predictors, step by step


def estimate(correct: list[int], kinds: int, breaks: list[bool] | None = None) -> float:
    """Turn the hits of a predictor into min-entropy; `breaks`: where a miss ends a run (default: everywhere)."""
    count, hits = len(correct), sum(correct)
    share = hits / count
    overall = share + Z * math.sqrt(share * (1 - share) / (count - 1)) if hits else 1 - 0.01 ** (1 / count)
    run = longest = 0
    for at, hit in enumerate(correct):
        run = run + 1 if hit else (0 if breaks is None or breaks[at] else run)
        longest = max(longest, run)
    r = longest + 1

    def probability(p: float) -> float:
        """Of no run of length r among `count` trials."""
        q, x = 1 - p, 1.0
        for _ in range(500):
            x = 1 + q * p**r * x ** (r + 1)
        try:
            return (1 - p * x) / ((r + 1 - r * x) * q) / x ** (count + 1)
        except OverflowError:
            return 0.0

    top = r / (r + 1) * (1 - 1e-9)  # beyond it the root next to 1 is 1/p, and the probability 0
    local = brentq(lambda p: probability(p) - 0.99, 1e-9, top, xtol=1e-14)
    return max(0.0, -math.log2(min(1.0, max(overall, local, 1 / kinds))))


def plain_mcw(s: list[int], windows: tuple[int, ...], kinds: int) -> float:
    scores, winner, correct = [0] * len(windows), 0, []
    for at in range(windows[0], len(s)):
        guesses = []
        for size in windows:
            if at < size:
                guesses.append(None)
                continue
            window = s[at - size : at]
            counts = Counter(window)
            most = max(counts.values())
            guesses.append(next(value for value in reversed(window) if counts[value] == most))
        correct.append(int(guesses[winner] == s[at]))
        winner = scored(scores, winner, [guess == s[at] for guess in guesses])
    return estimate(correct, kinds)


def scored(scores: list[int], winner: int, hits: list[bool]) -> int:
    for at, hit in enumerate(hits):
        scores[at] += hit
        if hit and scores[at] >= scores[winner]:
            winner = at
    return winner


def plain_lag(s: list[int], lags: int, kinds: int) -> float:
    scores, winner, correct = [0] * lags, 0, []
    for at in range(1, len(s)):
        hits = [back <= at and s[at - back] == s[at] for back in range(1, lags + 1)]
        correct.append(int(hits[winner]))
        winner = scored(scores, winner, hits)
    return estimate(correct, kinds)


def plain_mmc(s: list[int], orders: int, most: int, kinds: int) -> float:
    models = [defaultdict(Counter) for _ in range(orders)]
    entries, scores, winner, correct, breaks = [0] * orders, [0] * orders, 0, [], []
    for at in range(2, len(s)):
        for d in range(1, min(orders, at - 1) + 1):
            context, follower = tuple(s[at - 1 - d : at - 1]), s[at - 1]
            followers = models[d - 1][context]
            if follower in followers or entries[d - 1] < most:
                entries[d - 1] += follower not in followers
                followers[follower] += 1
        guesses = [
            commonest(models[d - 1].get(tuple(s[at - d : at]))) if d <= at else None
            for d in range(1, orders + 1)
        ]
        correct.append(int(guesses[winner] == s[at]))
        breaks.append(
            guesses[winner] is not None
        )  # as NIST's program, which the standard's text is not clear about
        winner = scored(scores, winner, [guess == s[at] for guess in guesses])
    return estimate(correct, kinds, breaks)


def commonest(followers: Counter | None) -> int | None:
    return max(followers, key=lambda value: (followers[value], value)) if followers else None


def plain_lz(s: list[int], orders: int, most: int, kinds: int) -> float:
    known: dict[tuple[int, ...], Counter] = {}
    correct = []
    for at in range(orders + 1, len(s)):
        for j in range(orders, 0, -1):
            context = tuple(s[at - j - 1 : at - 1])
            if context in known or len(known) < most:
                known.setdefault(context, Counter())[s[at - 1]] += 1
        guess, count = None, 0
        for j in range(orders, 0, -1):
            followers = known.get(tuple(s[at - j : at]))
            if followers and max(followers.values()) > count:
                guess, count = commonest(followers), max(followers.values())
        correct.append(int(guess == s[at]))
    return estimate(correct, kinds)


# --- the worked examples of section 6.3

EXAMPLE = [int(bit) for bit in "100011100101010111001100011100101010111011100011"]
TUPLES = np.array([2, 2, 0, 1, 0, 2, 0, 1, 2, 1, 2, 0, 1, 2, 1, 0, 0, 1, 0, 0, 0], np.uint8)


def test_worked_examples_of_the_fast_code():
    bits = np.array(EXAMPLE, np.uint8)
    assert -math.log2(bounded(8 / 20, 20)) == pytest.approx(0.5363, abs=1e-4)  # 6.3.1, printed for Z = 2.576
    assert round(2.0 ** -collision(bits[:40]), 4) == 0.7329  # 6.3.2, p
    assert round(markov(bits[:40]), 3) == 0.761
    assert round(compression(bits, dictionary=4), 4) == 0.1345
    t_tuple, lrs = tuples(TUPLES, cutoff=3)
    assert round(t_tuple, 3) == 0.273
    assert round(lrs, 4) == 0.6146


@pytest.mark.parametrize(
    ("plain", "sequence", "options", "expected"),
    [
        (plain_mcw, [1, 2, 1, 0, 2, 1, 1, 2, 2, 0, 0, 0], ((3, 5, 7, 9), 3), 0.3909),
        (plain_lag, [2, 1, 3, 2, 1, 3, 1, 3, 1, 2], (3, 3), 0.735),
        (plain_mmc, [2, 1, 3, 2, 1, 3, 1, 3, 1], (3, 100, 3), 0.0755),
        (plain_lz, [2, 1, 3, 2, 1, 3, 1, 3, 1, 2, 1, 3, 2], (4, 100, 3), 0.0191),
    ],
)
def test_worked_examples_of_the_plain_code(plain, sequence, options, expected):
    assert plain(sequence, *options) == pytest.approx(expected, abs=1e-4)


# --- NIST's program


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=[] if name == "biased" else pytest.mark.slow) for name in sorted(REFERENCE)],
)
def test_what_nists_program_gives(name):
    found = min_entropy(np.unpackbits(np.fromfile(DATA / f"{name}.bin", np.uint8)))
    assert found.as_dict() == pytest.approx(REFERENCE[name], abs=1e-6)
    assert list(found.as_dict()) == list(REFERENCE[name])
    assert found.assessed == REFERENCE[name]["min"] or found.assessed == pytest.approx(
        REFERENCE[name]["min"], abs=1e-6
    )


# --- the fast predictors against the plain ones, on bits of our own making


def sequences(length: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(90)
    fair = rng.integers(0, 2, length, dtype=np.uint8)
    steps = rng.random(length) < 0.3
    period = np.resize(np.unpackbits(np.array([0xB7, 0x1C, 0x35], np.uint8)), length)
    made = {
        "fair": fair,
        "biased": rng.random(length) < 0.7,
        "nearly always 1": rng.random(length) < 0.999,
        "sticky": np.cumsum(steps) % 2,
        "drift": rng.random(length) < 0.5 + 0.3 * np.sin(np.arange(length) / 700),
        "periodic": period,
        "period with slips": period ^ (rng.random(length) < 0.01),
        "to and fro": np.arange(length) % 2,
        "two halves": np.where(np.arange(length) < length // 2, 0, fair),
        "repeated": np.resize(fair[: length // 2], length),
    }
    return {name: np.ascontiguousarray(bits, np.uint8) for name, bits in made.items()}


NAMES = sorted(sequences(10))


def compare(bits: np.ndarray, windows: tuple[int, ...]) -> None:
    """Compare the predictors, also with room for few contexts, so that the dictionaries fill up."""
    s = bits.tolist()

    def found(counted: tuple[int, int, int]) -> float:
        return _predictors._from_run(*counted)

    assert found(_predictors._mcw(bits, np.array(windows))) == pytest.approx(
        plain_mcw(s, windows, 2), abs=1e-9
    )
    assert found(_predictors._lag(bits, 128)) == pytest.approx(plain_lag(s, 128, 2), abs=1e-9)
    for orders, most in ((16, 100_000), (16, 500), (5, 20)):
        assert found(_predictors._mmc(bits, orders, most)) == pytest.approx(
            plain_mmc(s, orders, most, 2), abs=1e-9
        )
    for orders, most in ((16, 65_536), (16, 800), (5, 20)):
        assert found(_predictors._lz(bits, orders, most)) == pytest.approx(
            plain_lz(s, orders, most, 2), abs=1e-9
        )


@pytest.mark.parametrize("name", NAMES)
def test_the_fast_predictors_are_the_plain_ones(name):
    compare(sequences(800)[name], (3, 15, 63, 127))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_fast_predictors_are_the_plain_ones_on_longer_sequences(name):
    compare(sequences(7000)[name], (63, 255, 1023, 4095))


@pytest.mark.parametrize("name", NAMES)
def test_tuples_are_those_counted_one_by_one(name):
    """Every tuple of every length, counted in a dictionary."""
    text = sequences(500)[name].tobytes()
    length, frequent = len(text), True
    t_share = lrs_share = 0.0
    for size in range(1, length):
        counts = Counter(text[at : at + size] for at in range(length - size + 1))
        most, windows = max(counts.values()), length - size + 1
        frequent &= most >= 35
        if most < 2:
            break
        if frequent:
            t_share = max(t_share, (most / windows) ** (1 / size))
        else:
            pairs = sum(count * (count - 1) // 2 for count in counts.values())
            lrs_share = max(lrs_share, (pairs / (windows * (windows - 1) / 2)) ** (1 / size))
    t_tuple, lrs = tuples(np.frombuffer(text, np.uint8))
    assert t_tuple == pytest.approx(-math.log2(bounded(t_share, length)), abs=1e-12)
    assert lrs == pytest.approx(-math.log2(bounded(lrs_share, length)), abs=1e-12)


# --- what must hold for any source


def test_a_constant_has_no_entropy():
    for value in (0, 1):
        found = min_entropy(np.full(20_000, value, np.uint8))
        assert found.assessed == 0
        assert found.most_common_value == found.markov == found.collision == found.multi_mmc == found.lag == 0


def test_to_and_fro_has_no_entropy_though_it_has_no_bias():
    found = min_entropy(np.tile(np.array([0, 1], np.uint8), 10_000))
    assert found.most_common_value > 0.96
    assert found.markov == pytest.approx(1 / 128)  # the first bit of the 128 is free
    assert max(found.lag, found.multi_mmc, found.lz78y, found.t_tuple) < 1e-3


def test_few_bits_and_things_that_are_no_bits_are_refused():
    with pytest.raises(NotEnoughBits, match="6,012 bits were wanted"):
        min_entropy(np.zeros(LEAST_BITS - 1, np.uint8))
    assert min_entropy(np.zeros(LEAST_BITS, np.uint8)).assessed == 0
    for wrong in (np.full(9000, 2, np.uint8), np.zeros(9000), np.zeros((9000, 2), np.uint8)):
        with pytest.raises(ValueError, match="vector of uint8"):
            min_entropy(wrong)
    assert min_entropy(np.zeros(9000, bool)).assessed == 0
    assert len(ESTIMATORS) == 10
