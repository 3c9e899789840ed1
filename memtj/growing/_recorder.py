"""What becomes of each draw of a growing run: recorded as consumed, judged, followed, and paid for."""

import time
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from entropy import CELL_DTYPE, BlockFacts, Commanded, Recording, RecordingPlan
from entropy.quality.draws import DrawHealth
from entropy.quality.health import HealthFlag
from instruments import Bench, DrawCalibration
from instruments.array import Array, BernoulliArray, Draw, DrawDrift, WorkingPoint, array_of
from memtj._errors import CommandError
from memtj.growing._energy import DrawEnergy


def calibrated_array(bench: Bench, calibration: DrawCalibration) -> Array:
    """Give the array of an open bench, set as a calibration says; raises BenchError where it is of another."""
    known = calibration.conditions
    point = WorkingPoint(**{each.name: getattr(known, each.name) for each in fields(WorkingPoint)})
    array = array_of(bench, point)
    array.require_draws()
    calibration.refuse_other(array)
    array.set_working_point(point)
    array.set_thresholds(np.where(calibration.used, calibration.threshold, 1e9))
    return array


def draws_plan(
    bench: Bench, array: Array, known: DrawCalibration, name: str, *, hidden: bool = False, **parameters: Any
) -> RecordingPlan:
    """Give the plan of a recording of draws with a calibration, by a procedure of that name and parameters.

    `hidden`: no bit is kept, and nothing that one could be guessed from.
    """
    table = np.zeros(len(known.reason), CELL_DTYPE)
    table["row"], table["column"] = np.divmod(np.arange(len(table)), array.shape[1])
    for field in ("r_p", "r_ap", "threshold"):
        table[field] = getattr(known, field)
    table["p_sw"], table["quarantined"] = np.nan, ~known.used
    procedure = {
        "name": name, **asdict(known.conditions), "hold_voltage": known.conditions.hold, **parameters
    }  # fmt: skip
    return RecordingPlan(
        cells=table, bench=bench.snapshot(), procedure=procedure, simulated=array.simulated,
        device=array.device, drawn=True, commanded=not hidden, **known.record(),
    )  # fmt: skip


class DrawRecorder:
    """Takes each draw of an array; what it reads is in the store, and used by this run, before it is judged.

    `block`: buffer and index of the last one. `hidden`: no bit is kept, since what is read is to be in the junctions
    alone; counts and health are.
    """

    def __init__(
        self,
        recording: Recording,
        draws: BernoulliArray,
        drift: DrawDrift,
        energy: DrawEnergy,
        columns: int,
        *,
        hidden: bool = False,
    ) -> None:
        self.block = ("", -1)
        self._recording, self._draws, self._drift, self._energy = recording, draws, drift, energy
        self._health = DrawHealth(drift.law.cells, lines=np.divmod(np.arange(drift.law.cells), columns))
        self._columns, self._hidden = columns, hidden

    def take(self, draw: Draw) -> None:
        """Record and judge; raises CommandError where a cell, or all cells together, do not draw as asked."""
        verdict = self._health.take(draw.p, draw.after, draw.drawn)
        flags = HealthFlag.CELL_PROPORTION if len(verdict.cells) else HealthFlag(0)
        self._append(draw, int(flags | (HealthFlag.STREAM_PROPORTION if verdict.stream else 0)))
        self._energy.take(draw)
        if draw.drawn.any():
            switched = draw.after != draw.antiparallel
            self._drift.take(draw.volts, switched, draw.drawn, draw.antiparallel)
        if len(verdict.cells):
            row, column = divmod(int(verdict.cells[0]), self._columns)
            raise CommandError(
                f"{len(verdict.cells)} cells do not draw with the probabilities that they are asked for, the first in "
                f"row {row}, column {column}: the run is stopped; calibrate again, so that they are left out"
            )
        if verdict.stream:
            raise CommandError(
                "the cells together do not draw with the probabilities that they are asked for: the run is stopped; "
                "the array has changed since its calibration, so calibrate again"
            )

    def _append(self, draw: Draw, health: int) -> None:
        block, point = draw.block, self._draws.array.point
        mask = np.zeros((block.cells + 7) // 8, np.uint8) if self._hidden else block.valid
        valid = None if mask is None else np.unpackbits(mask, count=block.cells).astype(bool)
        outcomes = np.unpackbits(block.bits, count=block.cells)
        usable = outcomes if valid is None else outcomes[valid]
        pulsed = draw.volts != 0
        facts = BlockFacts(
            sequence=block.sequence,
            positions=block.positions,
            pulses=block.pulses,
            host_time=time.time(),
            board_time=block.time,
            voltage=float(draw.volts[pulsed].mean()) if pulsed.any() else 0.0,
            width=point.width if draw.mode != "read" else 0.0,
            read_voltage=point.read_voltage,
            field=0.0,
            temperature=self._draws.array.temperature(),
            failed_resets=block.failed_resets,
            health=health,
        )
        commit = self._recording.append(
            np.packbits(usable),
            len(usable),
            facts,
            valid=mask,
            commanded=None if self._hidden else Commanded(draw.mode, draw.p, draw.drawn),
        )
        self.block = commit.buffer, commit.index
