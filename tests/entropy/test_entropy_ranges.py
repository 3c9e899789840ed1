"""Ranges of bits: every function against sets of bits."""

from itertools import pairwise

import hypothesis.strategies as st
from hypothesis import given

from entropy.ledger._ranges import Range, choose, join_adjacent, slice_ranges, subtract


def bits_of(ranges):
    return [(item.buffer, bit) for item in ranges for bit in range(item.first, item.first + item.bits)]


@st.composite
def free_ranges(draw):
    found, at = [], 0
    for _ in range(draw(st.integers(0, 8))):
        at += draw(st.integers(1, 20))
        bits = draw(st.integers(1, 40))
        found.append(Range(draw(st.sampled_from("ab")) if not found else found[-1].buffer, at, bits))
        at += bits
    return found


@given(free_ranges(), st.integers(1, 200))
def test_choosing_takes_exactly_what_is_wanted_out_of_what_is_free(free, wanted):
    chosen = choose(free, wanted, lambda item: -item.first % 8)
    there = bits_of(free)
    if wanted > len(there):
        assert chosen is None
        return
    taken = bits_of(chosen)
    assert len(taken) == len(set(taken)) == wanted
    assert set(taken) <= set(there)


@given(free_ranges(), st.integers(1, 200))
def test_choosing_begins_on_bytes_where_that_is_possible(free, wanted):
    chosen = choose(free, wanted, lambda item: -item.first % 8)
    on_bytes = sum(max(0, (item.bits - -item.first % 8)) // 8 * 8 for item in free)
    if chosen is not None and wanted <= on_bytes:
        assert all(item.first % 8 == 0 for item in chosen)


def test_one_range_that_holds_all_is_preferred_to_earlier_scraps():
    free = [Range("a", 0, 64), Range("a", 100, 1000)]
    assert choose(free, 512, lambda item: -item.first % 8) == [Range("a", 104, 512)]


@given(free_ranges(), st.integers(0, 300), st.integers(0, 300))
def test_a_slice_is_the_slice_of_the_bits(ranges, first, bits):
    assert bits_of(slice_ranges(ranges, first, bits)) == bits_of(ranges)[first : first + bits]


@given(free_ranges())
def test_joining_keeps_the_bits_and_leaves_no_neighbours(ranges):
    split = [part for item in ranges for part in (Range(*item[:2], 0), item._replace(bits=item.bits))]
    halves = [
        half
        for item in split
        for half in (item._replace(bits=item.bits // 2),
                     Range(item.buffer, item.first + item.bits // 2, item.bits - item.bits // 2))
    ]  # fmt: skip
    joined = join_adjacent(halves)
    assert bits_of(joined) == bits_of(ranges)
    assert len(joined) <= len(ranges)


@given(st.integers(0, 50), st.integers(1, 100), st.data())
def test_what_is_left_and_what_was_taken_make_the_whole(first, bits, data):
    whole = Range("a", first, bits)
    cuts = sorted(data.draw(st.sets(st.integers(first, first + bits), max_size=6)))
    parts = [Range("a", low, high - low) for low, high in list(pairwise(cuts))[::2]]
    left = subtract(whole, parts)
    assert sorted(bits_of(left) + bits_of(parts)) == bits_of([whole])
    assert all(item.bits > 0 for item in left)
