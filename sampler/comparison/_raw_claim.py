"""What the raw bits of a run are worth, whatever its pictures look like: the other verdict of a comparison."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from entropy.arguments import Count, takes
from sampler._errors import SamplerError
from sampler.comparison._json import JsonRecord

RAW_BITS = 1 << 21  # looked at of each run, where it has so many
ESTIMATED_BITS = 1_000_000  # of those, by the ten estimators
_CLAIM = 0.8  # bit of min-entropy that the health tests' cutoffs are for
_EXPONENT = 40
_SIGMAS = 5.0


@dataclass(frozen=True)
class RawClaim(JsonRecord):
    """What tests say of raw bits, before any conditioning.

    `bits` looked at, their share of `ones` and lag-1 correlation; `min_entropy` per bit and the estimator that gave it
    (the lowest of SP 800-90B 6.3's ten, over a million bits at most); `ideal`: what the same estimators give as many
    software bits; health tests (4.4) at 0.8 bit claimed and a = 40: alarms of the stream, cells of `cells` that fail.
    `reasons`: what sets them apart from ideal bits, at 5 σ; empty where nothing does.
    """

    bits: int
    ones: float
    lag1: float
    min_entropy: float
    estimator: str
    ideal: float
    stream_alarms: int
    cells: int | None
    failed_cells: int | None
    reasons: tuple[str, ...]

    @property
    def ideal_like(self) -> bool:
        """Whether nothing sets the bits apart from ideal ones."""
        return not self.reasons


@takes(cells=Count(1))
def raw_claim(packed: npt.NDArray[np.uint8], cells: int | None = None) -> RawClaim:
    """Judge raw bits (packed uint8, first bit most significant); with `cells`, bit i is of cell i modulo `cells`.

    Raises SamplerError for fewer bits than the estimators need.
    """
    from entropy.quality.assessment import autocorrelation
    from entropy.quality.estimators import LEAST_BITS, min_entropy
    from entropy.quality.health import CellHealth, Cutoffs, StreamHealth

    count = len(packed) * 8
    if count < LEAST_BITS:
        raise SamplerError(f"{count:,} raw bits are too few to judge: it takes {LEAST_BITS:,}")
    bits = np.unpackbits(packed)
    ones = float(bits.mean())
    lag1 = float(autocorrelation(bits, 1)[0])
    lag1 = 1.0 if math.isnan(lag1) else lag1  # all bits are equal
    found = min_entropy(bits[:ESTIMATED_BITS])
    ideal = _ideal(min(count, ESTIMATED_BITS))
    cutoffs = Cutoffs.from_claim(_CLAIM, _EXPONENT)
    stream = StreamHealth(cutoffs)
    stream.check(packed, count)
    alarms = int(stream.runs[0] + stream.windows[0])
    failed = None
    if cells is not None:
        whole = count // cells * cells
        failed = len(CellHealth(cutoffs, cells).check(packed[: whole // 8], None, whole).cells)
    sigma = 1 / math.sqrt(count)
    reasons = []
    if abs(ones - 0.5) > _SIGMAS * sigma / 2:
        reasons.append(f"{ones:.4f} of them are 1")
    if abs(lag1) > _SIGMAS * sigma:
        reasons.append(f"neighbours are correlated by {lag1:.3f}")
    if found.assessed < ideal - 0.05:
        reasons.append(f"min-entropy {found.assessed:.3f} where ideal bits get {ideal:.3f} ({found.lowest})")
    if alarms:
        reasons.append(f"{alarms} alarms of the health tests")
    if failed:
        reasons.append(f"{failed} of {cells} cells fail the health tests")
    return RawClaim(
        count, ones, lag1, found.assessed, found.lowest, ideal, alarms, cells, failed, tuple(reasons)
    )


@cache
def _ideal(count: int) -> float:
    """The lowest assessment among a few sequences of software bits."""
    from entropy.quality.assessment import ideal_estimates

    return min(ideal_estimates(count, 4))
