"""Arithmetic on ranges of bits: pure functions, no file and no ledger."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from ..arguments import Count, takes


class Range(NamedTuple):
    """`bits` consecutive usable bits of one buffer, from its usable bit `first` on (padding not counted)."""

    buffer: str
    first: int
    bits: int


def choose(
    free: Sequence[Range], wanted: int, to_byte: Callable[[Range], int] = lambda _: 0
) -> list[Range] | None:
    """Pick `wanted` bits out of the free ranges, or None where there are not that many.

    One range that holds them all is preferred to several, and starts and joins on byte boundaries to odd
    ones, because then reading is copying; odd leftovers are used when nothing else is left. `to_byte` says
    how many bits of a range precede its first byte boundary.
    """
    if sum(item.bits for item in free) < wanted:
        return None
    for item in free:
        if item.bits >= wanted:
            skip = to_byte(item)
            if item.bits - skip >= wanted:
                return [Range(item.buffer, item.first + skip, wanted)]
    return _take(free, wanted, to_byte, 8) or _take(free, wanted, lambda _: 0, 1)


def _take(
    free: Sequence[Range], wanted: int, to_byte: Callable[[Range], int], unit: int
) -> list[Range] | None:
    """Pick from each range, behind what `to_byte` says, all whole `unit`s of bits, until there are enough."""
    chosen: list[Range] = []
    left = wanted
    for item in free:
        if item.bits < unit:
            continue
        skip = to_byte(item)
        usable = item.bits - skip
        bits = left if usable >= left else usable // unit * unit
        if bits <= 0:
            continue
        chosen.append(Range(item.buffer, item.first + skip, bits))
        left -= bits
        if left == 0:
            return chosen
    return None


@takes(first=Count(), bits=Count())
def slice_ranges(ranges: Iterable[Range], first: int, bits: int) -> list[Range]:
    """Give the part of a sequence of ranges that lies at [first, first + bits) of its concatenation."""
    found: list[Range] = []
    start = 0
    for item in ranges:
        low = max(first, start)
        high = min(first + bits, start + item.bits)
        if low < high:
            found.append(Range(item.buffer, item.first + low - start, high - low))
        start += item.bits
        if start >= first + bits:
            break
    return found


def join_adjacent(ranges: Iterable[Range]) -> list[Range]:
    """Join ranges that follow one another without a gap, keeping their order."""
    joined: list[Range] = []
    for item in ranges:
        if item.bits == 0:
            continue
        last = joined[-1] if joined else None
        if last is not None and last.buffer == item.buffer and last.first + last.bits == item.first:
            joined[-1] = Range(last.buffer, last.first, last.bits + item.bits)
        else:
            joined.append(item)
    return joined


def subtract(whole: Range, parts: Iterable[Range]) -> list[Range]:
    """Give what is left of `whole` without `parts` (disjoint, inside it, in any order)."""
    left: list[Range] = []
    at = whole.first
    for part in sorted(parts, key=lambda item: item.first):
        if part.first > at:
            left.append(Range(whole.buffer, at, part.first - at))
        at = part.first + part.bits
    end = whole.first + whole.bits
    if at < end:
        left.append(Range(whole.buffer, at, end - at))
    return left
