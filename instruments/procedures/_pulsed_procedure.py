"""What procedures that pulse a whole array have in common: the pulses, the watchdog, and how it is made safe."""

import logging
from typing import Any

from pymeasure.experiment import FloatParameter, ListParameter

from drivers import BoardError

from .._errors import BenchError
from ..bench._roles import BoardRole
from ..tuning._calibration import Cells, Point
from ._bench_procedure import BenchProcedure

log = logging.getLogger(__name__)


class PulsedProcedure(BenchProcedure):
    """A procedure that pulses the whole array at one point: `_role` is its board, `_point` its pulses."""

    voltage: Any = FloatParameter("Pulse voltage", units="V", default=0.85)
    width: Any = FloatParameter("Pulse width", units="s", minimum=0, default=0.30e-9)
    period: Any = FloatParameter("Pulse period", units="s", minimum=6e-9, maximum=1, default=6e-9)
    reset_voltage: Any = FloatParameter("Reset voltage", units="V", default=1.28)
    reset_width: Any = FloatParameter("Reset width", units="s", minimum=0, default=0.58e-9)
    mode: Any = ListParameter("Sequence", choices=["reset", "toggle"], default="reset")
    read_voltage: Any = FloatParameter("Read voltage", units="V", default=0.1)
    settle: Any = FloatParameter("Settle time", units="s", minimum=1e-9, maximum=1, default=1e-6)
    watchdog: Any = FloatParameter("Watchdog time-out", units="s", minimum=1, maximum=60, default=5.0)

    def _role(self) -> BoardRole:
        return self.open_bench().board

    def _point(self) -> Point:
        return Point(self.mode, self.voltage, self.width, self.period, self.reset_voltage, self.reset_width)

    def rehearse(self) -> None:
        """Set the pulses with the output off: what bench or board refuse is refused here.

        `prepare` begins with it; a program that wants to know before it makes anything else may call it earlier.
        """
        self.check_parameters()
        self._set_point(self._role())

    def _set_point(self, role: BoardRole) -> None:
        role.set_write_pulse(self.voltage, self.width, self.period)
        role.set_reset_pulse(self.reset_voltage, self.reset_width)
        role.set_read(self.read_voltage, self.settle)

    def _arm(self, role: BoardRole) -> None:
        """Arm the watchdog; the output may go on after it."""
        board: Any = role.board
        board.watchdog = self.watchdog
        if not board.interlock_closed:
            raise BenchError(f"the interlock of the {role.instrument!r} is open: close it and start again")

    def _refuse_if_none(self, cells: Cells) -> None:
        if cells.used.any():
            return
        listed = ", ".join(f"{count} cells: {reason}" for reason, count in cells.reasons().items())
        raise BenchError(
            f"no cell of the array can be used ({listed}): check contacts, pulse voltage and read voltage"
        )

    def make_safe(self) -> None:
        """Switch off and ask whether it is; the bench does so once more when it is left."""
        role = self.bench.roles.get("board") if self.bench is not None else None
        try:
            if isinstance(role, BoardRole) and not role.board.lost and not role.safe_state():
                log.critical("the output of the board is still on: switch it off by hand")
        except BoardError as error:
            log.warning("%s; the bench tries again when it is left", error)
