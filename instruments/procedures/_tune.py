"""The procedure that tunes an array: the pulse at which each cell and direction switches as wanted, in a file."""

import contextlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .._new_file import refuse_unwritable
from ..array import Array, BoardError, Stopped
from ..tuning import ArrayPulser, Cells, Conditions, Points, Tuned, Tuning, measure_states, now, tune, warm_up
from ._parameters import Real, Text
from ._pulsed_procedure import PulsedProcedure


@dataclass(frozen=True)
class TuningProgress:
    """How far a tuning is: what it does, pulses of a cell so far, columns (cells and directions) done of all."""

    stage: str = "preparing"
    pulses: int = 0
    done: int = 0
    columns: int = 0


class Tune(PulsedProcedure):
    """Tunes each cell, in a toggle each cell and direction, to switch with `target`, and writes the file `out`.

    First each cell's two resistances are measured, from which follow thresholds; cells that are shorted, open or stuck,
    or whose states overlap, are quarantined. Then all others are tuned at once by a `Search`, by trims of the voltage
    or of the width. One row of DATA_COLUMNS for each cell and direction. Set `bench` before it is run; afterwards
    `tuning` is what the file holds, or None where it was stopped: then there is no file. Where a finished tuning cannot
    be written as `out`, it is kept elsewhere, and what is raised says where.
    """

    target = Real("Target probability", minimum=0.02, maximum=0.98, default=0.5)
    tolerance = Real("Tolerance", minimum=0.001, maximum=0.1, default=0.01)
    out = Text("File of the tuning", default="tuning.json")

    DATA_COLUMNS: ClassVar[list[str]] = [
        "Row",
        "Column",
        "From",
        "P",
        "P low",
        "P high",
        "Voltage trim (V)",
        "Width trim (s)",
        "Threshold (ohm)",
        "R_P (ohm)",
        "R_AP (ohm)",
        "Pulses",
        "Quarantined",
    ]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.progress = TuningProgress()
        self.tuning: Tuning | None = None
        self._measured: _Measured | None = None

    def prepare(self) -> None:
        """Check limits and the file's name, arm the watchdog, switch on, and measure each cell's resistances."""
        refuse_unwritable(Path(self.out))
        warm_up()
        array = self._set_up()
        if self.mode == "toggle":
            array.require_all_trims()
        conditions = self._conditions(array)
        array.set_mask(True)
        self._switch_on(array)
        self.progress = TuningProgress("measuring the cells: thresholds")
        with contextlib.suppress(Stopped):  # the Worker asks itself whether to go on
            cells = measure_states(array, self.should_stop)
            cells.refuse_if_none()
            array.set_thresholds(np.where(cells.used, cells.threshold, 1e9))
            self._measured = _Measured(array, cells, conditions)

    def measure_all(self) -> None:
        """Tune all cells, and write the file."""
        if self._measured is None:
            return
        array, cells = self._measured.array, self._measured.cells
        try:
            found, pulses = tune(
                array,
                cells,
                self.should_stop,
                target=self.target,
                tolerance=self.tolerance,
                report=self._report,
            )
        except Stopped:
            return
        cells.refuse_if_none()
        # What is found is kept, whatever becomes of the array now, or of the folder.
        self.tuning = _tuning(self._measured, found, pulses)
        try:
            self.make_safe()
        finally:
            self.tuning.keep(self.out)
        self._emit_rows(self.tuning)

    def _report(self, stage: str, done: int, pulser: ArrayPulser) -> None:
        self.progress = TuningProgress(stage, pulser.given, done, pulser.columns)
        self.emit("progress", min(99.0, 100 * done / pulser.columns))

    def _conditions(self, array: Array) -> Conditions:
        """Say what the tuning will hold for; asked for while the array is there."""
        rows, columns = array.shape
        return Conditions(
            target=self.target, tolerance=self.tolerance, temperature=array.temperature(), rows=rows, columns=columns,
            identity=array.identity, device=array.device, simulated=array.simulated, **asdict(array.point),
        )  # fmt: skip

    def _emit_rows(self, tuning: Tuning) -> None:
        columns = tuning.conditions.columns
        for cell in range(len(tuning.reason)):
            for index, state in enumerate(("P", "AP") if self.mode == "toggle" else ("P",)):
                values = (
                    *divmod(cell, columns), state, tuning.p[index, cell], tuning.low[index, cell],
                    tuning.high[index, cell], tuning.voltage[index, cell], tuning.width[index, cell],
                    tuning.threshold[cell], tuning.r_p[cell], tuning.r_ap[cell], tuning.pulses[cell],
                    tuning.reason[cell],
                )  # fmt: skip
                self.emit("results", dict(zip(self.DATA_COLUMNS, values, strict=True)))


@dataclass(frozen=True, eq=False)
class _Measured:
    """An array whose output is on and whose thresholds are set: its cells, and what a tuning will hold for."""

    array: Array
    cells: Cells
    conditions: Conditions


def _tuning(measured: _Measured, found: Tuned, pulses: np.ndarray) -> Tuning:
    conditions, cells = measured.conditions, measured.cells
    with contextlib.suppress(BoardError, ValueError):  # then that at its beginning stands
        conditions = replace(conditions, temperature=measured.array.temperature())
    trims = [np.where(cells.used, each, 0.0) for each in (found.voltage, found.width)]
    values = [
        np.where(cells.used, each, np.nan)
        for each in (found.p, found.low, found.high, found.per_volt, found.per_second)
    ]
    return Tuning(
        conditions, now(), cells.r_p, cells.r_ap, cells.threshold, cells.reason, pulses, *trims, *values,
        curves=_curves(found.points, len(cells.used)),
    )  # fmt: skip


def _curves(points: Points, cells: int) -> list[list[list[tuple[float, float, float, float]]]]:
    """Give the measured points by state and cell; a state that was not tuned has none."""
    table = np.stack([np.stack(each) for each in (points.voltage, points.width, points.n, points.k)], axis=-1)
    table = table.reshape(len(points.n), -1, cells, 4)
    curves = [
        [
            [(a, b, n, k) for a, b, n, k in column.tolist() if n > 0]
            for column in table[:, state].swapaxes(0, 1)
        ]
        for state in range(table.shape[1])
    ]
    return curves if len(curves) == 2 else [*curves, [[] for _ in range(cells)]]
