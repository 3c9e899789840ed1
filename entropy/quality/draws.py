"""The health of draws: bits that were each asked for with a probability of its own are held against it.

Sums of x - p over the draws of a cell are a martingale whose steps are below 1; Freedman's inequality (Ann. Probab. 3,
100, 1975) bounds the chance that it is ever beyond t while its variance, the sum of p(1 - p), is at most v, by
exp(-t² / (2(v + t / 3))). So a cell may be judged after every draw.

What does not switch at all is found sooner: by the repetition count of SP 800-90B section 4.4.1, with each repeat worth
the probability it had. That a cell, or every cell of a line, shows from step k on what it showed before has a chance of
the product of these at most; 1/(k(k + 1)) of the alarms are for runs that begin at k.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._errors import StoreError
from ..arguments import Count, Real, takes
from ..store._store import Store


@dataclass(frozen=True, eq=False)
class DrawVerdict:
    """What fails after a step: `cells`, int (failed,), those that did not before; `stream`: whether all together do."""

    cells: np.ndarray
    stream: bool


class DrawHealth:
    """Holds the outcomes of each cell, and of all together, against the probabilities they were drawn with.

    `cell_error` and `stream_error`: by how much P may be off on average, of one cell and of the mean over the cells
    that draw; calibration is never exact. Where outcomes repeat, each P may be off by 4 P (1 - P) of `cell_error`, as
    curves are whose volts are off, and by `rare_error` more. `exponent`: of the false-alarm rate 2^-a, for one cell,
    one line or the stream, over the whole run. A cell that is stuck fails after some 60 draws at P = 1/2, and after
    60 / P where P is 0.02 to 0.1. `lines`: int (cells,) each, such as the column of each cell; all cells of one fail
    where none of them switches any more, so that it is found by the draws of them all.
    """

    @takes(
        cells=Count(1),
        cell_error=Real(0, 1),
        stream_error=Real(0, 1),
        rare_error=Real(0, 1),
        exponent=Real(above=0),
    )
    def __init__(
        self,
        cells: int,
        *,
        cell_error: float = 0.1,
        stream_error: float = 0.01,
        rare_error: float = 0.002,
        exponent: float = 40,
        lines: Sequence[np.ndarray] = (),
    ) -> None:
        self.excess = np.zeros(cells)  # sum of x - p, per cell
        self.variance = np.zeros(cells)  # sum of p(1 - p)
        self.draws = np.zeros(cells, np.int64)
        self._failed = np.zeros(cells, bool)
        self._errors = cell_error, stream_error, rare_error
        self._exponent = exponent + 2  # half of the alarms for sums, of either sign, and half for repeats
        self._shown: np.ndarray | None = None
        self._repeats = [_Repeats(each, exponent + 1) for each in (np.arange(cells), *lines)]

    @property
    def failed(self) -> np.ndarray:
        """The cells that have failed, int (failed,)."""
        return np.flatnonzero(self._failed)

    def take(self, p: np.ndarray, ones: np.ndarray, drawn: np.ndarray) -> DrawVerdict:
        """Judge a step: commanded probabilities, outcomes and who drew, float, bool and bool, each (cells,).

        The outcome of a cell that did not draw is what it holds.

        Raises ValueError for what is no such array, or a probability outside 0 to 1.
        """
        if not (
            p.shape == ones.shape == drawn.shape == self.excess.shape
            and drawn.dtype == ones.dtype == np.bool_
        ):
            raise ValueError(f"a step is p, ones and drawn of {len(self.excess)} cells, the last two bool")
        if not bool(((p >= 0) & (p <= 1))[drawn].all()):
            raise ValueError("a probability lies between 0 and 1")
        self.excess += np.where(drawn, ones - p, 0)
        self.variance += np.where(drawn, p * (1 - p), 0)
        self.draws += drawn
        of_cell, of_stream, _ = self._errors
        beyond = np.abs(self.excess) > self._most(self.variance, self.draws, of_cell)
        beyond |= self._repeat(p, ones, drawn)
        fresh = np.flatnonzero(beyond & ~self._failed)
        self._failed |= beyond
        return DrawVerdict(fresh, self._stream_fails(of_stream))

    def _repeat(self, p: np.ndarray, ones: np.ndarray, drawn: np.ndarray) -> np.ndarray:
        """Say of which cells, that have drawn, the outcome repeats beyond chance, alone or with their line."""
        of_cell, _, rare = self._errors
        shown = ones if self._shown is None else self._shown
        chance = np.where(ones, p, 1 - p) + 4 * of_cell * p * (1 - p) + rare
        worth = np.zeros(len(p))
        # Before the first step it is not known what a cell shows.
        if self._shown is not None:
            with np.errstate(divide="ignore"):
                worth[drawn] = -np.log2(np.minimum(chance[drawn], 1))
        self._shown = ones.copy()
        beyond = [each.take(worth, drawn & (ones != shown)) for each in self._repeats]
        return np.logical_or.reduce(beyond) & (self.draws > 0)

    def _stream_fails(self, error: float) -> bool:
        kept = ~self._failed  # what a bad cell did says nothing of the others
        total, variance, draws = (
            each[kept].sum(keepdims=True) for each in (self.excess, self.variance, self.draws)
        )
        return bool(abs(total) > self._most(variance, draws, error))

    def _most(self, variance: np.ndarray, draws: np.ndarray, error: float) -> np.ndarray:
        """How far a sum may be from 0 at a variance, both signs and every variance up to it allowed for.

        The bound is for one v; variances are taken by powers of two, and the k-th of them has 1/(k(k + 1)) of the
        alarms. `draws` that are each off by `error` move the sum by their product, and the variance by no more.
        """
        v = variance + draws * error * (1 - error)
        power = np.ceil(np.log2(np.maximum(v, 1))) + 1
        a = self._exponent * math.log(2) + np.log(power * (power + 1))
        third = a / 3
        return error * draws + third + np.sqrt(third**2 + 2 * a * 2.0 ** (power - 1))


@dataclass(frozen=True, eq=False)
class DrawAudit:
    """What recorded draws are, held against what they were asked for.

    `blocks`, `draws`: looked at; `cells`: those that fail, int (failed,); `stream`: whether all together do.
    """

    blocks: int
    draws: int
    cells: np.ndarray
    stream: bool


def audit_draws(store: Store, recording: str) -> DrawAudit:
    """Judge the draws of a recording (uuid) again, from its files alone, as `DrawHealth` does while they are made.

    Rows and columns of the array are its lines. Raises StoreError where the recording is not there, a block is damaged,
    or a buffer does not say with which probability its draws were to be 1.
    """
    buffers = sorted(
        (each for each in store.buffers() if each.recording == recording), key=lambda each: each.segment
    )
    if not buffers:
        raise StoreError(f"{store.path} has no recording {recording}: 'memtj store ls' lists them")
    cells = store.cells(buffers[0].uuid)
    health = DrawHealth(len(cells), lines=(cells["row"].astype(int), cells["column"].astype(int)))
    held, stream = np.zeros(len(cells), bool), False
    for buffer in buffers:
        for index in range(buffer.blocks):
            asked = store.commanded(buffer.uuid, index)
            if asked is None or len(asked.p) != len(cells):
                raise StoreError(
                    f"{buffer.path} does not say what its draws were asked for, so they cannot be judged"
                )
            data, mask = store.read_block(buffer.uuid, index)
            valid = (
                np.ones(len(cells), bool)
                if mask is None
                else np.unpackbits(mask, count=len(cells)).astype(bool)
            )
            held[valid] = np.unpackbits(data, count=int(valid.sum()))
            stream |= health.take(asked.p, held, asked.drawn).stream
    return DrawAudit(sum(each.blocks for each in buffers), int(health.draws.sum()), health.failed, stream)


class _Repeats:
    """The repetition count of lines of cells: bits that the repeats so far are worth, and the step they began at."""

    def __init__(self, line: np.ndarray, exponent: float) -> None:
        self._line, self._exponent = line, exponent
        self._worth = np.zeros(int(line.max()) + 1)
        self._began = np.ones(len(self._worth))
        self._steps = 0

    def take(self, worth: np.ndarray, changed: np.ndarray) -> np.ndarray:
        """Take a step, bits and whether it changed by cell; says of which cells the line fails, bool (cells,)."""
        self._steps += 1
        lines = len(self._worth)
        ended = np.bincount(self._line, changed, lines) > 0
        self._worth = np.where(ended, 0, self._worth + np.bincount(self._line, worth, lines))
        self._began[ended] = self._steps + 1
        beyond = self._worth > self._exponent + np.log2(self._began * (self._began + 1))
        return beyond[self._line]
