"""The health tests equal their plain form, bit for bit, and their cutoffs are what the standard says."""

import math
import threading
from collections.abc import Callable

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from entropy._bit_words import extract, extract_by_steps
from entropy.quality.cell_counts import count_pairs
from entropy.quality.health import BlockHealth, CellHealth, Cutoffs, HealthFlag, StreamHealth, usable_bits

from .plain_health import PlainTests


def totals(health: StreamHealth | CellHealth) -> list[tuple[int, ...]]:
    rows = (health.samples, health.ones, health.changes, health.runs, health.windows)
    return list(zip(*(row.tolist() for row in rows), strict=True))


def samples_near(random: np.random.Generator, size: int, kind: float, cutoff: int) -> np.ndarray:
    """Biased samples (`kind` is P(1)), or for 0 runs, some of which are nearly or just as long as the cutoff.

    Between those they are short, or there would be others wherever one begins or ends.
    """
    if kind:
        return (random.random(size) < kind).astype(np.uint8)
    lengths = random.geometric(random.choice([0.5, 0.9]), size)
    lengths = np.where(
        random.random(size) < 0.04, np.maximum(cutoff + random.integers(-2, 3, size), 1), lengths
    )
    return np.repeat(np.arange(size) & 1, lengths)[:size].astype(np.uint8)


cutoffs = st.builds(
    lambda repetition, proportion, window: Cutoffs(repetition, min(proportion, window), window, 1.0, 20),
    st.one_of(st.integers(2, 70), st.just(130)),
    st.integers(2, 200),
    st.sampled_from([3, 64, 100, 128, 1024]),
)
seeds, kinds = st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.0, 0.5, 0.9])


@settings(max_examples=40, deadline=None)
@given(cutoffs, seeds, kinds, st.lists(st.integers(0, 400), min_size=1, max_size=6))
def test_the_stream_equals_its_plain_form(cutoffs: Cutoffs, seed: int, kind: float, sizes: list[int]):
    random = np.random.default_rng(seed)
    data = samples_near(random, sum(sizes), kind, cutoffs.repetition)
    health, plain = StreamHealth(cutoffs), PlainTests(cutoffs.repetition, cutoffs.proportion, cutoffs.window)
    for part in np.split(data, np.cumsum(sizes)[:-1]):
        flags = health.check(np.packbits(part), len(part))
        failed = [plain.add(int(sample)) for sample in part]
        expected = HealthFlag(0)
        if any(repetition for repetition, _ in failed):
            expected |= HealthFlag.STREAM_REPETITION
        if any(proportion for _, proportion in failed):
            expected |= HealthFlag.STREAM_PROPORTION
        assert flags == expected
    assert totals(health) == [plain.totals]


@settings(max_examples=40, deadline=None)
@given(
    cutoffs,
    seeds,
    kinds,
    st.sampled_from([1, 3, 5, 8, 63, 64, 65, 100, 130]),
    st.lists(st.integers(0, 150), min_size=1, max_size=4),
    st.sampled_from([None, 1.0, 0.99, 0.5, 0.0]),
)
def test_cells_equal_their_plain_form(
    cutoffs: Cutoffs, seed: int, kind: float, cells: int, pulses: list[int], usable: float | None
):
    random = np.random.default_rng(seed)
    cells_plain = [PlainTests(cutoffs.repetition, cutoffs.proportion, cutoffs.window) for _ in range(cells)]
    health = CellHealth(cutoffs, cells)
    broken = random.random(cells) < 0.1  # masked throughout
    for rows in pulses:
        # few cells at full length would take minutes in the plain form
        rows = min(rows, 3000 // cells)
        outcomes = samples_near(random, rows * cells, kind, cutoffs.repetition).reshape(cells, rows).T
        valid = np.ones((rows, cells), np.uint8)
        if usable is not None:
            valid = ((random.random((rows, cells)) < usable) & ~broken).astype(np.uint8)
        outcomes = outcomes & valid if random.random() < 0.5 else outcomes  # what is there does not matter
        mask = None if usable is None else np.packbits(valid)
        failures = health.check(np.packbits(outcomes), mask, rows * cells)
        for cell, plain in enumerate(cells_plain):
            failed = [
                plain.add(int(sample))
                for sample, good in zip(outcomes[:, cell], valid[:, cell], strict=True)
                if good
            ]
            assert failures.repetition[cell] == any(repetition for repetition, _ in failed)
            assert failures.proportion[cell] == any(proportion for _, proportion in failed)
        expected = HealthFlag(0)
        if failures.repetition.any():
            expected |= HealthFlag.CELL_REPETITION
        if failures.proportion.any():
            expected |= HealthFlag.CELL_PROPORTION
        assert failures.flags == expected
        np.testing.assert_array_equal(
            failures.cells, np.flatnonzero(failures.repetition | failures.proportion)
        )
    assert totals(health) == [plain.totals for plain in cells_plain]


@pytest.mark.parametrize("usable", [None, "some cells", 0.99])
def test_long_blocks_equal_their_plain_form(usable: float | str | None):
    """Blocks of many windows, in which all of them begin and end together, or each cell's where it will."""
    random, cells, cutoffs = np.random.default_rng(1), 70, Cutoffs.from_claim(0.7)
    health = CellHealth(cutoffs, cells)
    plain = [PlainTests(cutoffs.repetition, cutoffs.proportion, cutoffs.window) for _ in range(cells)]
    chances = np.full(cells, 0.5)
    chances[:5] = 0, 1, 0.75, 0.03, 0.7
    broken = random.random(cells) < 0.2
    for pulses in (2500, 333, 1024):
        outcomes = (random.random((pulses, cells)) < chances).astype(np.uint8)
        valid = np.ones((pulses, cells), np.uint8)
        if usable is not None:
            valid[:, broken] = 0
        if usable == 0.99:
            valid &= random.random((pulses, cells)) < usable
        mask = None if usable is None else np.packbits(valid)
        failures = health.check(np.packbits(outcomes & valid), mask, pulses * cells)
        failed = np.zeros((2, cells), bool)
        for cell in range(cells):
            for sample in outcomes[valid[:, cell] == 1, cell].tolist():
                failed[:, cell] |= plain[cell].add(sample)
        np.testing.assert_array_equal(failures.repetition, failed[0])
        np.testing.assert_array_equal(failures.proportion, failed[1])
    assert totals(health) == [each.totals for each in plain]
    assert failures.proportion[:2].any() or usable is not None


@pytest.mark.parametrize("cells", [1, 12, 16, 64, 100, 600])
@pytest.mark.parametrize("usable", [None, 0.99, 0.3, 0.0])
def test_a_block_is_judged_as_by_each_test_alone(cells: int, usable: float | None):
    """Its usable bits in order, their ones, what changed; a pair counts where both outcomes are usable."""
    random, cutoffs = np.random.default_rng(cells), Cutoffs.from_claim(0.7)
    block, of_cells, of_stream = (
        BlockHealth(cutoffs, cells),
        CellHealth(cutoffs, cells),
        StreamHealth(cutoffs),
    )
    for pulses in (1, 9, 130):
        outcomes = random.integers(0, 2, (pulses, cells), np.uint8)
        outcomes[:, 0] |= pulses == 130  # it sticks
        valid = np.ones_like(outcomes)
        if usable is not None:
            valid = (random.random(valid.shape) < usable).astype(np.uint8)
        bits, mask = np.packbits(outcomes & valid), None if usable is None else np.packbits(valid)
        judged = block.judge(bits, mask, outcomes.size)
        kept = outcomes[valid == 1]
        assert (judged.count, judged.ones) == (len(kept), kept.sum())
        np.testing.assert_array_equal(judged.bits, np.packbits(kept))
        assert usable_bits(bits, mask, outcomes.size)[1] == len(kept)
        both = valid[1:] & valid[:-1]
        assert (judged.changes, judged.pairs) == (((outcomes[1:] != outcomes[:-1]) & both).sum(), both.sum())
        failures = of_cells.check(bits, mask, outcomes.size)
        assert judged.flags == failures.flags | of_stream.check(judged.bits, judged.count)
        np.testing.assert_array_equal(judged.cells.cells, failures.cells)
        np.testing.assert_array_equal(judged.outcomes.usable, valid.sum(0))
        np.testing.assert_array_equal(judged.outcomes.ones, (outcomes & valid).sum(0))
    assert totals(block.cells) == totals(of_cells)
    assert totals(block.stream) == totals(of_stream)
    assert usable is not None or 0 in judged.cells.cells


@pytest.mark.parametrize("masked", [False, True])
def test_a_block_gives_the_pairs_of_each_cell(masked: bool):
    """As they are counted by themselves, whatever block came before; where some outcomes are missing, none."""
    random, cells = np.random.default_rng(3), 100
    block = BlockHealth(Cutoffs.from_claim(0.7), cells)
    used = (random.random(cells) < 0.9) | (not masked)
    for pulses in (1, 9, 2, 130):
        outcomes = random.integers(0, 2, (pulses, cells), np.uint8) & used
        bits, mask = np.packbits(outcomes), np.packbits(np.tile(used, pulses)) if masked else None
        pairs = block.judge(bits, mask, outcomes.size).outcomes.pairs()
        wanted = count_pairs(bits, mask, cells, pulses)
        assert pairs is not None
        for name in ("pairs", "first", "second", "both"):
            np.testing.assert_array_equal(getattr(pairs, name), getattr(wanted, name))
    some = np.packbits(random.random((9, cells)) < 0.9)
    assert block.judge(some, some, 9 * cells).outcomes.pairs() is None


def test_what_is_counted_is_asked_for_while_a_block_is_tested():
    """By another thread: what it gets is what there was after some whole block."""
    health, cells, pulses = CellHealth(Cutoffs.from_claim(0.1), 1000), 1000, 3000
    ones = np.full(cells * pulses // 8, 0xFF, np.uint8)
    ended = threading.Event()

    def test() -> None:
        for _ in range(20):
            health.check(ones, None, cells * pulses)
        ended.set()

    thread = threading.Thread(target=test)
    thread.start()
    seen = []
    while not ended.is_set():
        seen.append((health.samples, health.p1))
    thread.join()
    for samples, p1 in seen:
        assert len({*samples.tolist()}) == 1
        assert samples[0] % pulses == 0
        assert np.isnan(p1).all() or (p1 == 1).all()
    assert len(seen) > 3


@pytest.mark.parametrize("of", [extract, extract_by_steps])
def test_bits_are_moved_together(of: Callable[[np.uint64, np.uint64], tuple[int, int]]):
    random = np.random.default_rng(1)
    for share in (0.0, 0.02, 0.5, 0.98, 1.0):
        bits, valid = random.integers(0, 2, 64, np.uint8), (random.random(64) < share).astype(np.uint8)
        word, mask = (np.packbits(each).view(">u8").astype(np.uint64)[0] for each in (bits, valid))
        found, number = one_word(of, word, mask)
        kept = np.zeros(64, np.uint8)
        kept[: valid.sum()] = bits[valid == 1]
        assert number == valid.sum()
        assert np.uint64(found) == np.packbits(kept).view(">u8").astype(np.uint64)[0]


@numba.njit
def one_word(of, word, mask):  # pragma: no cover (compiled)
    return of(word, mask)


@pytest.mark.parametrize("apart", [0, 3])
def test_one_run_wherever_it_begins(apart: int):
    """A run that is just as long as the cutoff, and one that is one shorter, alone among samples that alternate.

    Cell by cell it begins one pulse later. `apart`: so many pulses that are not usable follow each one.
    """
    starts = np.arange(60, 130)
    for cutoff in range(3, 72):
        for length in (cutoff - 1, cutoff):
            pulses = np.arange(220)[:, None]
            inside = (pulses >= starts) & (pulses < starts + length)
            outcomes = np.where(inside, starts, np.where(pulses < starts, pulses, pulses - length + 1)) & 1
            health = CellHealth(Cutoffs(cutoff, 1024, 1024, 1.0, 20), len(starts))
            valid = np.zeros((len(pulses), 1 + apart, len(starts)), np.uint8)
            valid[:, 0] = 1
            spread = np.repeat(outcomes.astype(np.uint8), 1 + apart, axis=0)
            health.check(np.packbits(spread), np.packbits(valid), spread.size)
            assert (health.samples == 220).all()
            assert (health.runs == (length == cutoff)).all(), cutoff


@pytest.mark.parametrize(
    ("claim", "exponent", "repetition"),
    [(1.0, 20, 21), (0.9, 20, 24), (0.9, 40, 46), (0.98, 40, 42), (0.5, 30, 61), (0.7, 60, 87)],
)
def test_cutoffs_of_the_standard(claim: float, exponent: int, repetition: int):
    found = Cutoffs.from_claim(claim, exponent)
    assert found.repetition == repetition == 1 + math.ceil(exponent / claim)
    assert found.window == 1024
    # The smallest count that is reached with a probability of at most 2^-a.
    p = 2.0**-claim
    likely = [
        math.exp(math.lgamma(1025) - math.lgamma(k + 1) - math.lgamma(1025 - k))
        * p**k
        * (1 - p) ** (1024 - k)
        for k in range(1025)
    ]
    assert math.fsum(likely[found.proportion :]) <= 2.0**-exponent < math.fsum(likely[found.proportion - 1 :])


@pytest.mark.parametrize(("claim", "exponent"), [(0.0, 20), (1.01, 20), (-1, 20), (0.9, 0), (math.nan, 20)])
def test_claims_that_cannot_be(claim: float, exponent: float):
    with pytest.raises(ValueError, match=r"cannot be|finite"):
        Cutoffs.from_claim(claim, exponent)


def test_sizes_that_do_not_fit():
    cutoffs = Cutoffs.from_claim(0.9)
    with pytest.raises(ValueError, match="do not hold 17 bits"):
        StreamHealth(cutoffs).check(np.zeros(2, np.uint8), 17)
    with pytest.raises(ValueError, match="whole pulses of 5 cells"):
        CellHealth(cutoffs, 5).check(np.zeros(2, np.uint8), None, 12)
    with pytest.raises(ValueError, match="and 1 of their mask"):
        CellHealth(cutoffs, 5).check(np.zeros(2, np.uint8), np.zeros(1, np.uint8), 10)


def test_expected_failures_are_exact():
    """Against every sequence of 14 samples, weighted by its probability."""
    for p1 in (0.5, 0.7):
        cutoffs = Cutoffs(5, 6, 7, 1.0, 20)
        runs = windows = 0.0
        for number in range(1 << 14):
            samples = [(number >> k) & 1 for k in range(14)]
            plain = PlainTests(5, 6, 7)
            for sample in samples:
                plain.add(sample)
            weight = p1 ** sum(samples) * (1 - p1) ** (14 - sum(samples))
            runs += weight * plain.runs
            windows += weight * plain.windows
        assert runs == pytest.approx(cutoffs.runs_expected(14, p1))
        assert windows == pytest.approx(2 * cutoffs.window_fails(p1))


def poisson_like(count: int, expected: float) -> None:
    """Within 5.3 standard deviations (false alarm about 1e-7); they scatter a bit more than by Poisson's law."""
    assert abs(count - expected) < 5.3 * math.sqrt(1.1 * expected) + 1


@pytest.mark.slow
@pytest.mark.parametrize("exponent", [10, 20])
def test_false_alarms_on_ideal_bits_are_what_the_cutoffs_say(exponent: int):
    """Cells and stream over 1.6e9 bits; expected counts follow from the cutoffs exactly."""
    cells, pulses, blocks = 4096, 2048, 192
    cutoffs = Cutoffs.from_claim(1.0, exponent)
    random = np.random.Generator(np.random.SFC64(20))
    each, stream = CellHealth(cutoffs, cells), StreamHealth(cutoffs)
    for _ in range(blocks):
        bits = random.integers(0, 1 << 64, cells * pulses // 64, np.uint64).view(np.uint8)
        each.check(bits, None, cells * pulses)
        stream.check(bits, cells * pulses)
    samples = blocks * pulses
    assert each.samples.sum() == stream.samples.sum() == cells * samples > 1e9
    poisson_like(each.runs.sum(), cells * cutoffs.runs_expected(samples))
    poisson_like(stream.runs.sum(), cutoffs.runs_expected(cells * samples))
    for health in (each, stream):
        poisson_like(health.windows.sum(), cells * samples / 1024 * cutoffs.window_fails())
    # And these are what was asked for: at most 2^-a a sample or a window, and of the order of it.
    assert 2.0**-exponent / 4 < cutoffs.runs_expected(1 << 30) / (1 << 30) <= 2.0**-exponent
    assert 2.0**-exponent / 4 < cutoffs.window_fails() <= 2.2 * 2.0**-exponent
