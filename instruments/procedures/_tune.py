"""The procedure that tunes an array: the pulse at which each cell and direction switches as wanted, in a file."""

import contextlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pymeasure.experiment import FloatParameter, Parameter

from drivers import BoardError

from .._errors import BenchError
from .._new_file import refuse_unwritable
from ..bench._roles import BoardRole
from ..tuning._calibration import Cells, measure_states, tune
from ..tuning._pulser import BoardPulser, Stopped
from ..tuning._search import Points, Tuned
from ..tuning._tuning import Conditions, Tuning, now
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

    target: Any = FloatParameter("Target probability", minimum=0.02, maximum=0.98, default=0.5)
    tolerance: Any = FloatParameter("Tolerance", minimum=0.001, maximum=0.1, default=0.01)
    out: Any = Parameter("File of the tuning", default="tuning.json")

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
        self._cells: Cells | None = None
        self._conditions: Conditions | None = None

    def prepare(self) -> None:
        """Check limits and the file's name, arm the watchdog, switch on, and measure each cell's resistances."""
        refuse_unwritable(Path(str(self.out)))
        role = self._role()
        board: Any = role.board
        if self.mode == "toggle" and not board.has_all_trims:
            raise BenchError(
                f"the {role.instrument!r} follows protocol {board.protocol_version}, in which both directions have the "
                "same trims: tune with a reset, or update its firmware to protocol 1.1"
            )
        self.rehearse()
        self._arm(role)
        self._conditions = self._known(role)
        board.mask = True
        board.output_enabled = True
        self.progress = TuningProgress("measuring the cells: thresholds")
        with contextlib.suppress(Stopped):  # the Worker asks itself whether to go on
            cells = measure_states(role, self._point(), self.should_stop)
            self._refuse_if_none(cells)
            board.thresholds = np.where(cells.used, cells.threshold, 1e9).reshape(board.size)
            self._cells = cells

    def measure_all(self) -> None:
        """Tune all cells, and write the file."""
        cells, role = self._cells, self._role()
        if cells is None:
            return
        try:
            found, pulses = tune(
                role, cells, self._point(), self.should_stop,
                target=self.target, tolerance=self.tolerance, report=self._report,
            )  # fmt: skip
        except Stopped:
            return
        self._refuse_if_none(cells)
        # What is found is kept, whatever becomes of the board now, or of the folder.
        self.tuning = self._tuning(role, cells, found, pulses)
        try:
            self.make_safe()
        finally:
            self.tuning.keep(str(self.out))
        self._emit_rows(self.tuning)

    def _report(self, stage: str, done: int, pulser: BoardPulser) -> None:
        self.progress = TuningProgress(stage, pulser.given, done, pulser.columns)
        self.emit("progress", min(99.0, 100 * done / pulser.columns))

    def _known(self, role: BoardRole) -> Conditions:
        """Say what the tuning will hold for; asked for while the board is there."""
        board: Any = role.board
        rows, columns = board.size
        return Conditions(
            mode=self.mode, target=self.target, tolerance=self.tolerance, voltage=self.voltage, width=self.width,
            period=self.period, reset_voltage=self.reset_voltage, reset_width=self.reset_width,
            read_voltage=self.read_voltage, settle=self.settle, temperature=float(board.temperature), rows=rows,
            columns=columns, identity=str(board.id), device=role.array.device, simulated=board.origin != "device",
        )  # fmt: skip

    def _tuning(self, role: BoardRole, cells: Cells, found: Tuned, pulses: np.ndarray) -> Tuning:
        conditions = self._conditions
        assert conditions is not None
        with contextlib.suppress(BoardError, ValueError):  # then that at its beginning stands
            board: Any = role.board
            conditions = replace(conditions, temperature=float(board.temperature))
        trims = [np.where(cells.used, each, 0.0) for each in (found.voltage, found.width)]
        values = [
            np.where(cells.used, each, np.nan)
            for each in (found.p, found.low, found.high, found.per_volt, found.per_second)
        ]
        return Tuning(
            conditions, now(), cells.r_p, cells.r_ap, cells.threshold, cells.reason, pulses, *trims, *values,
            curves=_curves(found.points, len(cells.used)),
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
