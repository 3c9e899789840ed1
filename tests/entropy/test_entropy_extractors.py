"""Von Neumann and Peres: against a plain implementation, the exact law of their output, and what they reserve."""

from collections import defaultdict
from itertools import product
from types import SimpleNamespace

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from entropy import NotEnoughBits, Peres, Store, VonNeumann
from entropy.conditioning._peres import extract


def plain(outcomes: dict[int, list[tuple[int, int]]], depth: int) -> list[int]:
    """Peres's extractor, of each cell's (pulse, outcome): the pairs' bits, then both deeper levels."""
    if depth == 0:
        return []
    bits, differ, value = [], defaultdict(list), defaultdict(list)
    for cell, sequence in outcomes.items():
        for (_, x), (pulse, y) in zip(sequence[::2], sequence[1::2], strict=False):
            if x != y:
                bits.append((pulse, cell, x))
            else:
                value[cell].append((pulse, x))
            differ[cell].append((pulse, x ^ y))
    return [x for *_, x in sorted(bits)] + plain(differ, depth - 1) + plain(value, depth - 1)


def block(outcomes, cells: int, usable=None) -> SimpleNamespace:
    return SimpleNamespace(
        buffer="b",
        index=0,
        first_bit=0,
        data=np.packbits(outcomes),
        bits=len(outcomes),
        cells=cells,
        valid=usable,
    )


def bits_of(extracted: tuple[np.ndarray, int]) -> list[int]:
    return np.unpackbits(extracted[0], count=extracted[1]).tolist()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.sampled_from([1, 7, 64, 100, 130]),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    losses=st.lists(st.sampled_from([0, 0, 0.1, 0.6]), min_size=3, max_size=3),
    torn=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 70)), max_size=2),
    depth=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_it_is_that_of_each_cells_usable_outcomes(
    tmp_path_factory, made, count, sizes, losses, torn, depth, seed
):
    """Blocks with failed resets, torn leases, two buffers, cells that fill no word."""
    rng = np.random.default_rng(seed)
    with Store(tmp_path_factory.mktemp("peres") / "s") as store:
        places: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for _ in range(2):
            with made.recording(store, cells=count) as record:
                outcomes, positions, pulses = [], [], 0
                for size, loss in zip(sizes, losses, strict=False):
                    part = rng.integers(0, 2, size * count, np.uint8)
                    usable = (rng.random(len(part)) >= loss).astype(np.uint8)
                    made.append(record, part, usable=usable)
                    outcomes.append(part[usable.astype(bool)])
                    positions.append(np.flatnonzero(usable) + pulses * count)
                    pulses += size
            buffer = store.buffers()[-1].uuid
            places[buffer] = np.concatenate(outcomes), np.concatenate(positions)
            for first, bits in torn:
                store.withhold(buffer, first, bits, verdict="tear the free bits apart")
        free = store.accounts().free
        if free == 0:
            return
        with store.lease(free, purpose="test") as lease:
            found = bits_of(extract(lease.read_pieces(free), depth))
            ranges = lease.ranges
    # the cells of stretches that do not follow one another are cells of their own
    sequences: dict[int, list[tuple[int, int]]] = defaultdict(list)
    end, stretch = None, -1
    for item in ranges:
        stretch += end != (item.buffer, item.first)
        end = item.buffer, item.first + item.bits
        outcomes, positions = (part[item.first : item.first + item.bits] for part in places[item.buffer])
        for x, position in zip(outcomes.tolist(), positions.tolist(), strict=True):
            pulse, cell = divmod(position, count)
            sequences[stretch * count + cell].append((stretch * 1000 + pulse, x))
    assert found == plain(sequences, depth)


@pytest.mark.parametrize(
    ("cells", "pulses", "depth"), [(1, 10, 1), (1, 12, 3), (2, 5, 2), (3, 4, 2), (2, 6, 3)]
)
def test_the_output_of_independent_outcomes_is_exactly_uniform(cells, pulses, depth):
    """Over all inputs, each cell with a P(1) of its own: strings of equal length are equally probable."""
    p = np.array([0.3, 0.85, 0.5])[:cells]
    law: dict[tuple[int, ...], float] = defaultdict(float)
    for outcomes in product((0, 1), repeat=cells * pulses):
        x = np.array(outcomes, np.uint8)
        chance = np.where(x.reshape(pulses, cells), p, 1 - p).prod()
        law[tuple(bits_of(extract([(block(x, cells), 0, len(x))], depth)))] += chance
    assert sum(law.values()) == pytest.approx(1)
    by_length: dict[int, list[float]] = defaultdict(list)
    for string, chance in law.items():
        by_length[len(string)].append(chance)
    assert max(by_length) >= 3
    for length, chances in by_length.items():
        assert len(chances) == 2**length
        np.testing.assert_allclose(chances, chances[0], rtol=1e-9)


@pytest.mark.parametrize("p", [0.5, 0.42, 0.2])
@pytest.mark.parametrize("depth", [1, 3, 5])
def test_as_many_bits_come_out_as_its_rate_says(p, depth):
    rng = np.random.default_rng(1)
    x = (rng.random(1 << 20) < p).astype(np.uint8)
    _, bits = extract([(block(x, 16), 0, len(x))], depth)
    # 6 standard errors of the pairs that differ, and what 16 cells leave unpaired
    assert bits / len(x) == pytest.approx(Peres(depth).rate(p), abs=6 * 0.5 / np.sqrt(len(x)))


def test_the_rates_are_those_of_the_papers():
    assert VonNeumann().rate(0.5) == 0.25
    assert VonNeumann().rate(0.1) == pytest.approx(0.09)
    shannon = -0.3 * np.log2(0.3) - 0.7 * np.log2(0.7)
    rates = [Peres(depth).rate(0.3) for depth in range(1, 9)]
    assert rates == sorted(rates)
    assert shannon * 0.88 < rates[-1] < shannon


@pytest.mark.parametrize("conditioning", [VonNeumann(), Peres()])
@pytest.mark.parametrize("bits_out", [32, 100_000])
def test_what_it_reserves_is_enough_for_an_array_that_is_off(store, made, conditioning, bits_out):
    """P(1) = 0.4 in two buffers; one read of it fails with a probability below 1e-9."""
    rng = np.random.default_rng(2)
    needed = conditioning.bits_in(bits_out)
    pulses = -(-needed // 2 // 4096) + 1
    for _ in range(2):
        with made.recording(store, cells=4096) as record:
            made.append(record, (rng.random(pulses * 4096) < 0.4).astype(np.uint8))
    with store.lease(needed, purpose="test") as lease:
        out = conditioning.read(lease, bits_out)
        left = lease.remaining
    # 6 standard errors of fair bits
    assert abs(np.unpackbits(out, count=bits_out).mean() - 0.5) < 6 * 0.5 / np.sqrt(bits_out)
    accounts = store.accounts()
    assert accounts.consumed == needed - left
    assert accounts.burned == 0


def test_too_few_bits_say_what_came_out_of_them(store, made):
    made.fill(store, [16])
    with store.lease(4096, purpose="test") as lease:
        with pytest.raises(
            NotEnoughBits, match=r"5,000 bits were wanted and .* are what von-neumann makes of the 4,096"
        ):
            VonNeumann().read(lease, 5000)
    assert store.accounts().consumed == 4096


def test_the_credit_rests_on_independence():
    assert VonNeumann().output_min_entropy(0.3, independent=True) == 1
    assert VonNeumann().output_min_entropy(0.1, independent=True) == pytest.approx(0.4)
    assert VonNeumann().output_min_entropy(0.9) == 0
    assert Peres().output_min_entropy(0.9, independent=True) == 1


def test_depths_are_few():
    for depth in (0, 9):
        with pytest.raises(ValueError, match="from 1"):
            Peres(depth)
