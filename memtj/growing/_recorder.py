"""What becomes of each draw of a growing run: recorded as consumed, judged, followed, and paid for."""

import time

import numpy as np

from entropy import BlockFacts, Commanded, Recording
from entropy.quality.draws import DrawHealth
from entropy.quality.health import HealthFlag
from instruments.array import BernoulliArray, Draw, DrawDrift
from memtj._errors import CommandError
from memtj.growing._energy import DrawEnergy


class DrawRecorder:
    """Takes each draw of an array; what it reads is in the store, and used by this run, before it is judged.

    `block`: buffer and index of the last one.
    """

    def __init__(
        self, recording: Recording, draws: BernoulliArray, drift: DrawDrift, energy: DrawEnergy, columns: int
    ) -> None:
        self.block = ("", -1)
        self._recording, self._draws, self._drift, self._energy = recording, draws, drift, energy
        self._health = DrawHealth(drift.law.cells, lines=np.divmod(np.arange(drift.law.cells), columns))
        self._columns = columns

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
        valid = (
            np.unpackbits(block.valid, count=block.cells).astype(bool) if block.valid is not None else None
        )
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
            valid=block.valid,
            commanded=Commanded(draw.mode, draw.p, draw.drawn),
        )
        self.block = commit.buffer, commit.index
