"""The procedure that calibrates draws: at which voltage each cell switches with which probability, in a file."""

import contextlib
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from .._errors import BenchError
from .._new_file import refuse_unwritable
from ..array import Array, Mode, Stopped, SwitchingLaw
from ..tuning import (
    ArrayVoltagePulser,
    Cells,
    DrawCalibration,
    DrawConditions,
    calibrate,
    find_voltages,
    measure_states,
    now,
    spread_over,
    warm_up,
)
from ._parameters import Choice, Real, Text, Whole
from ._pulsed_procedure import PulsedProcedure

_LEAST = 0.002  # probability, and 1 less that, which the volts of draws reach in all cells that can
_AT = (0.1, 0.5, 0.9)  # the probabilities whose volts are in the rows


@dataclass(frozen=True)
class CalibrationProgress:
    """How far a calibration is: what it does, and the pulses that each cell has had of those it may get."""

    stage: str = "preparing"
    given: int = 0
    pulses: int = 0


class CalibrateDraws(PulsedProcedure):
    """Finds V(P) of each cell, from P and from AP, with at most `pulses` pulses a cell, and writes the file `out`.

    First each cell's two resistances are measured, by pulses of `voltage`; cells that are shorted, open or stuck, or
    whose states overlap, are quarantined. Then the volts in question are looked for, from 0 to what the limits leave
    beside the hold, and all cells are calibrated at once, without resets. Between pulses they are held at `hold` volts.
    One row of DATA_COLUMNS for each cell and direction. Set `bench` before it is run; afterwards `calibration` is what
    the file holds, or None where it was stopped: then there is no file.
    """

    width = Real("Pulse width", units="s", minimum=0, default=0.58e-9)
    mode = Choice[Mode]("Sequence", choices=["toggle"], default="toggle")
    pulses = Whole("Pulses of a cell, at most", minimum=3000, maximum=10_000_000, default=60_000)
    hold = Real("Hold voltage", units="V", default=0.0)
    out = Text("File of the calibration", default="draws.npz")

    DATA_COLUMNS: ClassVar[list[str]] = [
        "Row",
        "Column",
        "From",
        *(f"V({p:g}) (V)" for p in _AT),
        *(f"Standard error at {p:g} (V)" for p in _AT),
        "Threshold (ohm)",
        "R_P (ohm)",
        "R_AP (ohm)",
        "Quarantined",
    ]

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.progress = CalibrationProgress()
        self.calibration: DrawCalibration | None = None
        self._measured: tuple[Array, Cells] | None = None

    def prepare(self) -> None:
        """Check limits and the file's name, arm the watchdog, switch on, and measure each cell's resistances."""
        refuse_unwritable(Path(self.out))
        warm_up()
        array = self._set_up()
        array.require_all_trims()
        if self.hold:
            array.require_draws()
        array.set_mask(True)
        self._switch_on(array)
        if self.hold:
            array.hold(self.hold)
        self.progress = CalibrationProgress("measuring the cells: thresholds")
        with contextlib.suppress(Stopped):  # the Worker asks itself whether to go on
            cells = measure_states(array, self.should_stop)
            cells.refuse_if_none()
            cells.apply_to(array)
            self._measured = array, cells

    def measure_all(self) -> None:
        """Calibrate all cells, and write the file."""
        if self._measured is None:
            return
        array, cells = self._measured
        pulser = ArrayVoltagePulser(array, cells.used, self.should_stop)
        try:
            law = self._law(array, pulser)
        except Stopped:
            return
        except ValueError as error:
            raise BenchError(str(error)) from error
        conditions = self._conditions(array, law, pulser.given)
        try:
            self.make_safe()
        finally:
            found = DrawCalibration(
                conditions, now(), spread_over(law, cells.used), cells.r_p, cells.r_ap, cells.threshold, cells.reason
            )  # fmt: skip
            self.calibration = found.keep(self.out)
        self._emit_rows(self.calibration)

    def _law(self, array: Array, pulser: ArrayVoltagePulser) -> SwitchingLaw:
        def report(_: int) -> None:
            self.progress = CalibrationProgress("calibrating", pulser.given, self.pulses)
            self.emit("progress", min(99.0, 100 * pulser.given / self.pulses))

        most = array.trim_range()[1] + array.point.voltage - abs(self.hold)
        self.progress = CalibrationProgress("looking for the voltages at which cells begin to switch")
        lowest, highest = find_voltages(pulser, 0.0, most)
        law = calibrate(pulser, lowest, highest, self.pulses - pulser.given, report=report)
        return law.narrowed(_LEAST)

    def _conditions(self, array: Array, law: SwitchingLaw, pulses: int) -> DrawConditions:
        rows, columns = array.shape
        return DrawConditions(
            **asdict(array.point), hold=self.hold, lowest=law.lowest, highest=law.highest, pulses=pulses,
            temperature=array.temperature(), rows=rows, columns=columns, identity=array.identity,
            device=array.device, simulated=array.simulated,
        )  # fmt: skip

    def _emit_rows(self, found: DrawCalibration) -> None:
        for antiparallel, state in enumerate(("P", "AP")):
            volts, sigma = zip(*(found.law.voltage(p, bool(antiparallel)) for p in _AT), strict=True)
            table = np.stack([*volts, *sigma, found.threshold, found.r_p, found.r_ap], axis=1)
            for cell, values in enumerate(table):
                row = (*divmod(cell, found.conditions.columns), state, *values, found.reason[cell])
                self.emit("results", dict(zip(self.DATA_COLUMNS, row, strict=True)))
