"""With which probability each draw of a block was to be 1: as it is kept beside the bits."""

from dataclasses import dataclass
from typing import Literal, Self, cast, get_args

import numpy as np

DrawMode = Literal["write", "flip", "read"]
_ONE, _NOT_DRAWN = 65534, 65535


@dataclass(frozen=True, eq=False)
class Commanded:
    """What the draws of a block were asked for, by position.

    `mode`: "write" (from a reset), "flip" (from what is stored) or "read" (no pulse at all); `p`: with which
    probability the outcome was to be 1, float64; `drawn`: bool, who had a pulse and a valid outcome.
    """

    mode: DrawMode
    p: np.ndarray
    drawn: np.ndarray

    def packed(self) -> np.ndarray:
        """Give the values for the file, uint16 (1 + positions,); raises ValueError for what are no probabilities."""
        if self.p.ndim != 1 or self.p.shape != self.drawn.shape or self.drawn.dtype != np.bool_:
            raise ValueError(
                "commanded probabilities are a list, and a bool for each says whether it was drawn"
            )
        p = self.p[self.drawn]
        if not bool(((p >= 0) & (p <= 1)).all()):
            raise ValueError("a commanded probability lies between 0 and 1")
        values = np.full(1 + len(self.p), _NOT_DRAWN, "<u2")
        values[0] = 1 + get_args(DrawMode).index(self.mode)
        values[1:][self.drawn] = np.rint(p * _ONE)
        return values

    @classmethod
    def unpacked(cls, values: np.ndarray) -> Self:
        """Give what values of a file say; raises ValueError for a mode that is none."""
        modes = get_args(DrawMode)
        if not 1 <= values[0] <= len(modes):
            raise ValueError(f"there is no mode {values[0]}")
        drawn = values[1:] != _NOT_DRAWN
        p = np.where(drawn, values[1:] / _ONE, 0.0)
        return cls(cast("DrawMode", modes[values[0] - 1]), p, drawn)
