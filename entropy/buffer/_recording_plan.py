"""What a recording is to be, as it is known before its first block."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..arguments import Count, Real, take_fields, text
from ._format import CELL_DTYPE, TUNING_DTYPE


@dataclass(frozen=True, eq=False)
class RecordingPlan:
    """What `Store.record` is to record.

    `cells`: CELL_DTYPE, one for every position of one pulse; `bench` and `procedure`: JSON-able, kept as
    snapshots in every segment; `rotate_bytes`: size of `/bits` at which the next segment begins;
    `resistances`: how many raw readings to make room for in every segment; `expected_bits`: how many usable bits it
    will bring in all, on which reservations may build (None: that is unknown, or it has no end); `durable`: at most so
    many seconds of it can be lost by a power cut (None: it is left to the operating system when blocks reach the disk).
    `tuning`: TUNING_DTYPE, one for each cell, and under which `conditions` (JSON-able), kept in every segment;
    `actions`: whether blocks may come with changes of the trims. The arrays are copied. `drawn`: the bits are draws of
    the run that records them, made with probabilities of their own and used as they are made: they are entered as
    consumed, and are never free, leased or assessed. `commanded`: of draws, whether every block comes with the
    probabilities that they were asked for.

    Raises ValueError where cells or tuning are not what they should be, RefusedArgument for what is no such number.
    """

    cells: np.ndarray
    bench: Mapping[str, Any]
    procedure: Mapping[str, Any]
    simulated: bool
    device: str = ""
    rotate_bytes: int = 2**30
    resistances: int = 0
    expected_bits: int | None = None
    durable: float | None = 5.0
    tuning: np.ndarray | None = None
    conditions: Mapping[str, Any] | None = None
    actions: bool = False
    drawn: bool = False
    commanded: bool = False

    def __post_init__(self) -> None:
        """Check it, and keep copies of the arrays."""
        take_fields(
            self, device=text, rotate_bytes=Count(1), resistances=Count(), expected_bits=Count(), durable=Real(above=0)
        )  # fmt: skip
        if self.commanded and not self.drawn:
            raise ValueError("draws alone have probabilities that they were asked for")
        if self.cells.dtype != CELL_DTYPE or self.cells.ndim != 1 or not len(self.cells):
            raise ValueError(
                "cells must be elements of entropy.CELL_DTYPE, one for every position of a pulse"
            )
        object.__setattr__(self, "cells", self.cells.copy())
        if self.tuning is not None:
            if self.tuning.dtype != TUNING_DTYPE or self.tuning.shape != self.cells.shape:
                raise ValueError(f"tuning must be {len(self.cells)} elements of entropy.TUNING_DTYPE")
            object.__setattr__(self, "tuning", self.tuning.copy())
