"""What the codes of a pulse table stand for."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class DacScale:
    """Volts at the device of the codes 1 to `highest`: `offset` + `scale` × code, either sign; code 0 is no pulse."""

    bits: int
    scale: float
    offset: float

    @property
    def highest(self) -> int:
        """The highest code."""
        return (1 << self.bits) - 1

    def volts(self, codes: np.ndarray) -> np.ndarray:
        """Give the volts at the device of codes, float64 of their shape; 0 where there is no pulse."""
        return np.where(codes > 0, self.offset + self.scale * codes.astype(float), 0.0)

    def codes(self, volts: np.ndarray) -> np.ndarray:
        """Give the nearest codes to volts at the device, int64 of their shape: 1 or `highest` where beyond."""
        return np.clip(np.rint((volts - self.offset) / self.scale), 1, self.highest).astype(np.int64)
