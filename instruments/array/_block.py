"""A block: what an acquisition delivers of an array, whichever box it came from."""

from dataclasses import dataclass
from typing import Self

import numpy as np


class Sums:
    """Counts that are added and subtracted field by field: a base of frozen dataclasses."""

    def __add__(self, other: Self) -> Self:
        return self._with(other, 1)

    def __sub__(self, other: Self) -> Self:
        return self._with(other, -1)

    def _with(self, other: Self, sign: int) -> Self:
        mine, theirs = vars(self), vars(other)
        return type(self)(**{name: mine[name] + sign * theirs[name] for name in mine})


@dataclass(frozen=True)
class Losses(Sums):
    """What went wrong between array and host so far, in blocks.

    `again`: arrived damaged at first; `corrupt`: stayed damaged and were left out; `lost`: never arrived;
    `duplicates`: came twice and were dropped; `stalls` counts times that the array waited for room.
    """

    again: int = 0
    corrupt: int = 0
    lost: int = 0
    duplicates: int = 0
    stalls: int = 0


@dataclass(frozen=True, eq=False)
class Block:
    """Outcomes of whole pulses of an array; positions run through time first, then row, then column.

    `sequence`: number in its acquisition, from 0; `time`: the array's clock at the first pulse, s; `stalled`: the array
    waited for room just before it; `generation`: changes of trims in this acquisition that took effect before it;
    `bits`: packed uint8, one bit per position, first bit most significant; `valid`: packed mask of the same order, 1 =
    valid (None: all are); `losses`: all of the array up to this block. The arrays are read-only views of what arrived.
    """

    sequence: int
    pulses: int
    cells: int
    time: float
    bits: np.ndarray
    valid: np.ndarray | None = None
    failed_resets: int = 0
    stalled: bool = False
    generation: int = 0
    losses: Losses = Losses()

    @property
    def positions(self) -> int:
        """Pulses times cells."""
        return self.pulses * self.cells
