"""A run that is suspended: its pictures are in the junctions alone, and sentinels beside them say what was lost."""

import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.stats
from pydantic import TypeAdapter, ValidationError

from instruments.array import DrawCounts
from memtj._errors import CommandError
from memtj._quantities import duration
from memtj.energy import DrawAccount
from sampler import write_whole

SENTINELS = 2048
"""Cells beside the pictures that hold a known pattern: with fewer no run is suspended."""
MOST_LOST = 1e-3
"""The share of the sentinels that may have flipped."""
_MANY = 16_384  # more sentinels would tell no more that matters
_LEVEL = 0.95
_ATTEMPT = 1e-9  # s, between two attempts of a cell to leave its state
_FILE = "suspended.json"
_FORMAT = {"format": "memtj-suspended", "format_version": 1}


@dataclass(frozen=True)
class SoFar:
    """What a run took before it was suspended: its draws, its cells that flip by themselves, and each picture."""

    counts: DrawCounts
    straying: float
    account: DrawAccount


@dataclass(frozen=True)
class SentinelLoss:
    """How many of the `sentinels` flipped, of them `from_p` and `from_ap`, and what `expected` has for it, if any.

    `low`, `high`: the 95 % interval of the share that flips (Clopper and Pearson); `seconds`: since the suspension.
    """

    sentinels: int
    from_p: int
    from_ap: int
    share: float
    low: float
    high: float
    seconds: float
    expected: float | None

    def sentence(self) -> str:
        """Say what was found."""
        flipped = self.from_p + self.from_ap
        law = "no thermal stability (bench file, or --delta) was named to hold that against"
        if self.expected is not None:
            place = "inside" if self.low <= self.expected <= self.high else "outside"
            law = f"the retention law expects {self.expected:.2g}, which is {place}"
        return (
            f"{flipped} of {self.sentinels:,} sentinels flipped in {duration(self.seconds)}: a share of "
            f"{self.share:.2g}, 95 % interval {self.low:.2g} to {self.high:.2g}; {law}"
        )


@dataclass(frozen=True)
class RetentionLaw:
    """What sentinels are held against: the `delta` of the cells with everything off, and the `most` that may be lost.

    `spread`: standard deviation of delta from cell to cell, over delta.
    """

    delta: float | None = None
    spread: float = 0.0
    most: float = MOST_LOST

    def flipped_share(self, seconds: float) -> float | None:
        """Give the share of the cells whose state is another one after so many seconds; None without a delta.

        Each leaves its state every exp(delta) ns on average.
        """
        if self.delta is None:
            return None
        nodes, weights = np.polynomial.hermite_e.hermegauss(64)
        rate = np.exp(-self.delta * (1 + self.spread * nodes)) / _ATTEMPT
        return float(weights @ -np.expm1(-2 * seconds * rate) / 2 / weights.sum())

    def refuse_lost(self, loss: SentinelLoss) -> None:
        """Raise CommandError where the sentinels have lost too much."""
        if loss.share > self.most:
            enough = math.ceil(loss.share * 1e4) / 1e4
            raise CommandError(
                f"{loss.sentence()}; {self.most:g} is the most, so the pictures are not gone on with: begin anew with "
                f"another --out, and resume sooner and colder next time, or take them as they are by --most-lost "
                f"{enough:g}."
            )


@dataclass(frozen=True)
class Suspended:
    """What resumes a run, beside the junctions: `cells` hold the pictures after `step` steps, one row a picture.

    `model`: SHA-256 of its weights; `board`: identity; `pattern`: what the sentinels hold, a digit each; `off`: whether
    the board said that all is off, the field too; `resumed`: when, after which nothing else can resume it. Times: UTC.
    """

    step: int
    model: str
    process: dict[str, Any]
    board: str
    cells: list[list[int]]
    sentinels: list[int]
    pattern: str
    time: str
    temperature: float
    off: bool
    so_far: SoFar
    resumed: str | None = None

    def save(self, folder: Path) -> None:
        """Write it, whole, and on the disk when this returns."""
        told = TypeAdapter(type(self)).dump_python(self, mode="json")
        write_whole(folder / _FILE, json.dumps({**_FORMAT, **told}).encode(), durable=True)

    @staticmethod
    def is_in(folder: Path) -> bool:
        """Whether the run of a folder was suspended."""
        return (folder / _FILE).exists()

    @classmethod
    def load(cls, folder: Path) -> "Suspended":
        """Read the one of a run; raises CommandError where it cannot be read."""
        file = folder / _FILE
        try:
            told = json.loads(file.read_text("utf-8"))
            if {name: told.pop(name, None) for name in _FORMAT} != _FORMAT:
                raise ValueError("its format is another")
            return TypeAdapter(cls).validate_python(told)
        except (OSError, ValueError, AttributeError, ValidationError) as error:
            raise CommandError(f"{file} cannot be read ({str(error).splitlines()[0]}).") from None

    def refuse_resumed(self, missing: int) -> None:
        """Raise CommandError where it was resumed before; `missing`: how many pictures it has not come to."""
        if self.resumed is not None:
            left = (
                "and is finished: its pictures are there."
                if not missing
                else "and ended early: its cells have had pulses since, so begin anew with another --out."
            )
            raise CommandError(f"the run was resumed at {self.resumed}, {left}")

    def lost(self, read: np.ndarray, now: datetime, law: RetentionLaw) -> SentinelLoss:
        """Hold what the sentinels read, uint8 (sentinels,), against their pattern and the retention law."""
        pattern = np.array(list(self.pattern), np.uint8)
        flipped = read != pattern
        count = int(flipped.sum())
        interval = scipy.stats.binomtest(count, len(read)).proportion_ci(_LEVEL, method="exact")
        seconds = max(0.0, (now - datetime.fromisoformat(self.time)).total_seconds())
        return SentinelLoss(
            len(read), int(flipped[pattern == 0].sum()), int(flipped[pattern == 1].sum()), count / len(read),
            float(interval.low), float(interval.high), seconds,
            law.flipped_share(seconds),
        )  # fmt: skip


def place_sentinels(used: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Give cells that are used and hold no picture, an even number all over the array, int (sentinels,).

    Raises CommandError where there are too few.
    """
    spare = used.copy()
    spare[cells] = False
    free = np.flatnonzero(spare)
    if len(free) < SENTINELS:
        raise CommandError(
            f"a run that is suspended needs {SENTINELS:,} cells beside its pictures as sentinels, and {len(free):,} "
            "are left: grow fewer pictures, or without --suspend-at."
        )
    count = min(len(free) - len(free) % 2, _MANY)
    return free[np.linspace(0, len(free) - 1, count).round().astype(int)]


def known_pattern(sentinels: int) -> np.ndarray:
    """Give numbers that hold both states equally, in no order of the array's; uint8 (sentinels,)."""
    return np.random.default_rng().permutation(np.arange(sentinels) % 2).astype(np.uint8)


def utc() -> datetime:
    """Give the time, UTC, to the second's fraction."""
    return datetime.now(UTC)
