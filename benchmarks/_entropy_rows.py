"""What a row of `python -m benchmarks.entropy` is, and how two works are measured side by side."""

import statistics
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple


class Row(NamedTuple):
    """A rate in bits a second, and its ratio to the rate of what is named `beside` (both in one run)."""

    name: str
    bits_per_s: float
    beside: str = ""
    ratio: float | None = None


def side_by_side(name: str, bits: int, ours: Callable[[], object], *others: tuple[str, int, Callable[[], object]],
                 rounds: int = 5) -> list[Row]:  # fmt: skip
    """Measure `ours` and what stands beside it in turn, there and back; medians, and medians of the rounds' ratios.

    `bits`: of one call of `ours`; `others`: (name, bits of one call, the call). Each is called once beforehand.
    """
    works = [(name, bits, ours), *others]
    for _, _, work in works:
        work()
    rates: list[list[float]] = [[] for _ in works]
    for turn in range(rounds):
        for index in range(len(works)) if turn % 2 == 0 else reversed(range(len(works))):
            _, size, work = works[index]
            start = time.perf_counter()
            work()
            rates[index].append(size / (time.perf_counter() - start))
    rows = [Row(name, statistics.median(rates[0]))]
    if others:
        rows = [
            Row(name, statistics.median(rates[0]), other, _ratio(rates[0], rates[index]))
            for index, (other, _, _) in enumerate(others, 1)
        ]
    return [
        *rows,
        *(
            Row(f"  {other}", statistics.median(rates[index]))
            for index, (other, _, _) in enumerate(others, 1)
        ),
    ]


def _ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
