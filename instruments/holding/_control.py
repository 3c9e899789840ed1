"""The servo of a recording: what it learns from each block, what it has the board do, and what the file says of it."""

import threading
from collections import deque
from dataclasses import dataclass

import numpy as np

from entropy import ACTION_DTYPE, FROM_AP, FROM_BOTH, FROM_P
from entropy.quality.health import CellOutcomes

from ..array import Array, Block, Trims, by_state, count_switchings
from ._response import Response
from ._servo import Counts, Servo

_FURTHEST = 0.3  # a trim never goes further than this fraction of the pulse voltage
_STEP = 0.02  # nor moves further than this fraction at once
_SAME, _SAME_TIME = 1e-12, 1e-18  # V, s
TURN = 8192  # pulses between two actions where a board takes trims between acquisitions only


@dataclass(frozen=True, eq=False)
class InitialTrims:
    """What a recording begins with: what is added to the write pulse of each cell.

    `volts`, `seconds`: (2, cells), from P and from AP; `in_file`: those that the file says anyway, (2, 2, cells);
    `used`: bool (cells,).
    """

    volts: np.ndarray
    seconds: np.ndarray
    in_file: np.ndarray
    used: np.ndarray
    response: Response


@dataclass(frozen=True, eq=False)
class _Applied:
    """Trims that hold from a settings generation on; `rows`: how they differ from those before, ACTION_DTYPE."""

    generation: int
    volts: np.ndarray  # (2, cells): from P and from AP
    rows: np.ndarray


class WorkingPointControl:
    """Keeps the cells of a recording at the target of their tuning: `take` each block, then `act`.

    One thread may take blocks while another acts; before `begin` and `restore` all must have been taken.

    In the mode "reset" the fraction of ones is held, which is P_sw from P. In "toggle" an array that can trim each
    direction has both P_sw held; another one the fraction of changes. `servo` "common" moves all cells together,
    "cells" each one as well.
    """

    def __init__(self, array: Array, start: InitialTrims, *, servo: str) -> None:
        self._array, self._start = array, start
        self._toggle = array.point.toggle
        self.in_acquisitions = array.has_all_trims
        self._each_way = self._toggle and self.in_acquisitions
        volts = abs(array.point.voltage)
        furthest, self._step = _FURTHEST * volts, _STEP * volts
        low, high = array.trim_range()
        # On its way from one pair of trims to another a cell may be off by a step.
        self._range = max(low + self._step, -furthest), min(high - self._step, furthest)
        self._set = start.volts.astype(np.float64)
        slopes = start.response.slopes
        # Where the voltage was not what cells were tuned by, it does not move them: they go along with the others.
        self._used = start.used & np.isfinite(slopes[: 2 if self._each_way else 1]).all(0)
        self._servos = [
            Servo(
                self._set[direction],
                slopes[direction],
                self._used,
                target=start.response.target,
                prior=start.response.prior,
                lowest=self._range[0],
                highest=self._range[1],
                common_only=servo == "common",
            )
            for direction in range(2 if self._each_way else 1)
        ]
        self._now = self._set
        self._waiting: deque[_Applied] = deque([_Applied(0, self._set, self._not_in_file())])
        self._generation = 0
        self._due = True  # whether some trim may differ from what is needed
        self.actions = 0
        self._lock = threading.Lock()  # one thread takes blocks while another acts

    @property
    def shift(self) -> float:
        """How far all cells have been moved together, volts; the mean of both directions."""
        return float(np.mean([servo.shift for servo in self._servos]))

    @property
    def held(self) -> np.ndarray:
        """Cells that follow their trims, bool (cells,)."""
        return np.all([servo.held for servo in self._servos], axis=0)

    @property
    def p(self) -> float:
        """P that is expected now, mean of the cells and the directions."""
        if not self._used.any():
            return float("nan")
        return float(np.mean([servo.expected(volts)[self._used] for servo, volts in self._pairs(self._set)]))

    def begin(self, pulses: int, per_block: int) -> int:
        """Another acquisition starts: what was set before holds from its first block on.

        Of `pulses` that are wanted (0: without end) returns those it may have: where the board takes no trims
        meanwhile, no more than whole blocks of TURN pulses together.
        """
        self._generation = 0
        self._waiting = deque(_Applied(0, each.volts, each.rows) for each in self._waiting)
        if self.in_acquisitions:
            return pulses
        turn = -(-TURN // per_block) * per_block
        return min(pulses, turn) if pulses else turn

    def restore(self) -> None:
        """Bring the trims that were set last to an array that has lost them."""
        self._send(self._set)

    def take(self, block: Block, outcomes: CellOutcomes) -> np.ndarray | None:
        """Learn from a block; returns the actions of which it is the first made with, ACTION_DTYPE, None if none.

        `outcomes`: what its cells did, as the health tests have counted it.
        """
        with self._lock:
            return self._take(block, outcomes)

    def act(self) -> None:
        """Have the board set the trims that are needed now, where they have changed."""
        with self._lock:
            if self._due:
                self._act()

    def _take(self, block: Block, outcomes: CellOutcomes) -> np.ndarray | None:
        rows = []
        while self._waiting and self._waiting[0].generation <= block.generation:
            applied = self._waiting.popleft()
            self._now = applied.volts
            rows.append(applied.rows)
            rows[-1]["generation"] = applied.generation
        rows = [each for each in rows if len(each)]
        for (servo, volts), counts in zip(self._pairs(self._now), self._count(block, outcomes), strict=True):
            self._due |= servo.update(counts, volts)
        return np.concatenate(rows) if rows else None

    def _act(self) -> None:
        wanted = np.stack([self._wanted(number) for number in (0, len(self._servos) - 1)])
        moved = np.clip(wanted - self._set, -self._step, self._step)
        self._due = bool((np.abs(wanted - self._set - moved) > _SAME).any())
        # Each command is an action of its own: the board may begin a block between the two. The first one moves
        # both directions, as the board adds what it has for AP to the trim of both.
        self._move(np.stack([moved[0]] * 2), FROM_BOTH)
        self._move(np.stack([np.zeros_like(moved[0]), moved[1] - moved[0]]), FROM_AP)

    def _wanted(self, number: int) -> np.ndarray:
        """Trims of a direction; masked cells go with the others, so that one action can say what all did."""
        servo = self._servos[number]
        along = np.clip(self._start.volts[number] + servo.shift, *self._range)
        return np.where(self._used, servo.trims, along)

    def _not_in_file(self) -> np.ndarray:
        """What the trims are at the beginning beyond what the file says of them, as actions of the first block."""
        start, rows = self._start, []
        for direction, state in enumerate((FROM_P, FROM_AP)):
            volts = start.volts[direction] - start.in_file[0, direction]
            seconds = start.seconds[direction] - start.in_file[1, direction]
            cells = np.flatnonzero(start.used & ((np.abs(volts) > _SAME) | (np.abs(seconds) > _SAME_TIME)))
            rows.append(np.zeros(len(cells), ACTION_DTYPE))
            rows[-1]["cell"], rows[-1]["state"] = cells, state
            rows[-1]["voltage"], rows[-1]["width"] = volts[cells], seconds[cells]
            rows[-1]["p_estimate"] = np.nan
        return np.concatenate(rows)

    def _move(self, by: np.ndarray, state: int) -> None:
        if not (np.abs(by) > _SAME).any():
            return
        before, self._set = self._set, self._set + by
        rows = self._rows(by[1], state, before)
        self._generation += self._send(self._set)
        self._waiting.append(_Applied(self._generation, self._set, rows))
        self.actions += 1

    def _send(self, volts: np.ndarray) -> int:
        seconds = self._start.seconds
        return self._array.set_trims(Trims(volts[0], seconds[0], volts[1], seconds[1]))

    def _rows(self, by: np.ndarray, state: int, before: np.ndarray) -> np.ndarray:
        """What is changed, as rows: one for what all cells have in common, and one for each cell that differs."""
        common = float(np.median(by))
        cells = np.flatnonzero(np.abs(by - common) > _SAME)
        rows = np.zeros(len(cells) + (abs(common) > _SAME), ACTION_DTYPE)
        expected = self._servos[-1 if state == FROM_AP else 0].expected(before[1 if state == FROM_AP else 0])
        rows["state"] = state
        rows["cell"][: len(cells)], rows["voltage"][: len(cells)] = cells, (by - common)[cells]
        rows["p_estimate"][: len(cells)] = np.where(self._used, expected, np.nan)[cells]
        if len(rows) > len(cells):
            rows["cell"][-1], rows["voltage"][-1] = -1, common
            rows["p_estimate"][-1] = expected[self._used].mean() if self._used.any() else np.nan
        return rows

    def _pairs(self, volts: np.ndarray) -> list[tuple[Servo, np.ndarray]]:
        return [(servo, volts[direction]) for direction, servo in enumerate(self._servos)]

    def _count(self, block: Block, outcomes: CellOutcomes) -> list[Counts]:
        if not self._toggle:
            return [Counts(outcomes.ones, outcomes.usable)]
        sums = outcomes.pairs()
        n, k = count_switchings([block], block.cells, True) if sums is None else by_state(sums)
        if not self._each_way:
            return [Counts(k.sum(0), n.sum(0))]
        return [Counts(k[direction], n[direction]) for direction in range(len(self._servos))]


def trims_at(start: np.ndarray, actions: np.ndarray, block: int, what: str = "voltage") -> np.ndarray:
    """Compute the trims of each cell at a block, (2, cells), from P and from AP; `what`: "voltage" or "width".

    `start`: trims before any action, (cells,) or (2, cells); `actions`: ACTION_DTYPE, as `Store.actions` gives them.
    """
    trims = np.array(np.broadcast_to(start, (2, np.shape(start)[-1])), np.float64)
    past = actions[actions["block"] <= block]
    for direction, state in enumerate((FROM_P, FROM_AP)):
        rows = past[past["state"] & state != 0]
        every = rows["cell"] < 0
        trims[direction] += rows[what][every].sum()
        np.add.at(trims[direction], rows["cell"][~every], rows[what][~every])
    return trims
