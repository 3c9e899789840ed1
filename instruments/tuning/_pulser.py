"""Gives pulses to the cells of a board for the search, and counts by the state that each pulse started from."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from drivers import ArrayBlock, ArrayBoard
from entropy.quality.cell_counts import count_cells, count_pairs
from entropy.quality.statistics import PairSums

from ..array._acquisition import ended_early, fetch, is_over
from ..bench._roles import BoardRole, Trims

_MOST_READINGS = 1 << 21  # of one block: protocol, "Commands"
_MOST_BITS = 1 << 23  # far below the protocol's, so that a stop is heard soon

Stop = Callable[[], bool]


class Stopped(Exception):
    """The user stopped a measurement."""


class BoardPulser:
    """A `Pulser` over a board, whose columns are cells from P, then (in `toggle`) cells from AP.

    With `by_state=False` (a board that knows one trim for both) a toggle has one set of columns, whose switchings are
    the changes. The output must be on and thresholds set; `pulses` counts those that each cell was given.
    """

    def __init__(
        self, role: BoardRole, voltage: float, width: float, *, toggle: bool, by_state: bool, stop: Stop
    ) -> None:
        board: Any = role.board
        self._role, self._voltage, self._width, self._stop = role, voltage, width, stop
        self._toggle, self._states = toggle, 2 if toggle and by_state else 1
        self._shape = rows, columns = board.size
        self.cells = rows * columns
        self.columns = self._states * self.cells
        self.pulses = np.zeros(self.cells, np.int64)
        self.given = 0
        self._mask: np.ndarray | None = None
        board.payload = "bits"
        board.mode = "toggle" if toggle else "reset"

    def run(
        self, voltage: np.ndarray, width: np.ndarray, active: np.ndarray, pulses: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """See `Pulser`; raises Stopped where the user wants to stop."""
        board: Any = self._role.board
        mask = np.any(active.reshape(self._states, -1), axis=0)
        if self._mask is None or not np.array_equal(mask, self._mask):
            board.mask = mask.reshape(self._shape)
            self._mask = np.asarray(mask)
        volts, seconds = (
            np.where(mask, each.reshape(self._states, -1), 0.0).reshape(self._states, *self._shape)
            for each in (voltage, width)
        )
        trims = Trims(volts[0], seconds[0], volts[-1], seconds[-1])
        self._role.apply_trims(trims, self._voltage, self._width)
        many = pulses * self._states + 1
        n, k = count(acquire(self._role.board, many, self.cells, self._stop), self.cells, self._toggle)
        self.pulses += many * mask
        self.given += many
        if self._toggle and self._states == 1:
            n, k = n.sum(0, keepdims=True), k.sum(0, keepdims=True)
        return n[: self._states].ravel(), k[: self._states].ravel()


def count(blocks: Iterable[ArrayBlock], cells: int, toggle: bool) -> tuple[np.ndarray, np.ndarray]:
    """Count each cell's usable pulses and its switchings, by the state it came from: P, AP; float64 (2, cells) each.

    With a reset every pulse that counts starts from P. The first pulse of a block is not counted where `toggle`.
    """
    n, k = np.zeros((2, cells)), np.zeros((2, cells))
    for block in blocks:
        assert block.bits is not None
        if not toggle:
            counts = count_cells(block.bits, block.valid, cells, block.pulses)
            n[0] += counts.usable
            k[0] += counts.ones
            continue
        trials, hits = by_state(count_pairs(block.bits, block.valid, cells, block.pulses))
        n += trials
        k += hits
    return n, k


def by_state(sums: PairSums) -> tuple[np.ndarray, np.ndarray]:
    """Give the pulses of a toggle and their switchings by the state that they came from: P, AP; (2, cells) each."""
    return (
        np.stack([sums.pairs - sums.first, sums.first]),
        np.stack([sums.second - sums.both, sums.first - sums.both]),
    )


def acquire(board: ArrayBoard, pulses: int, cells: int, stop: Stop) -> Iterator[ArrayBlock]:
    """Run one finite acquisition and give its blocks; raises Stopped when `stop` says so."""
    settings: Any = board
    most = _MOST_READINGS if settings.payload == "resistances" else _MOST_BITS
    settings.pulses = pulses
    settings.pulses_per_block = max(2, min(pulses, most // cells))
    board.start()
    done = 0
    try:
        while done < pulses:
            if stop():
                raise Stopped
            block = fetch(board).block
            if block is None:
                if is_over(board):
                    raise ended_early(board)
                continue
            done += block.pulses
            yield block
            if (
                block.last
            ):  # one before it may have been lost: what is measured here needs no block in particular
                return
    finally:
        # After the last block too: that it was fetched does not say that the board is idle again.
        if not board.lost:
            board.abort()
