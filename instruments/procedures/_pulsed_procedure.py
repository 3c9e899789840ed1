"""What procedures that pulse a whole array have in common: the working point, the watchdog, and how it is made safe."""

from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from ..array import Array, Mode, WorkingPoint, array_of
from ._bench_procedure import BenchProcedure
from ._parameters import Choice, Real

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Values = TypeVar("_Values", bound="DataclassInstance")


class PulsedProcedure(BenchProcedure):
    """A procedure that pulses the whole array at one point."""

    voltage = Real("Pulse voltage", units="V", default=0.85)
    width = Real("Pulse width", units="s", minimum=0, default=0.30e-9)
    period = Real("Pulse period", units="s", minimum=6e-9, maximum=1, default=6e-9)
    reset_voltage = Real("Reset voltage", units="V", default=1.28)
    reset_width = Real("Reset width", units="s", minimum=0, default=0.58e-9)
    mode = Choice[Mode]("Sequence", choices=["reset", "toggle"], default="reset")
    read_voltage = Real("Read voltage", units="V", default=0.1)
    settle = Real("Settle time", units="s", minimum=1e-9, maximum=1, default=1e-6)
    field = Real("Field", units="T", default=0)
    watchdog = Real("Watchdog time-out", units="s", minimum=1, maximum=60, default=5.0)

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._array: Array | None = None  # once there was something to set

    def rehearse(self) -> None:
        """Set the pulses with the output off: what bench or board refuse is refused here.

        `prepare` begins with it; a program that wants to know before it makes anything else may call it earlier.
        """
        self._set_up()

    def make_safe(self) -> None:
        """Switch off and ask whether it is, and take the field down; the bench does so once more when it is left."""
        if self._array is not None:
            self._array.switch_off()
            if self.field:
                self.open_bench().set_field(0.0)

    def _set_up(self) -> Array:
        """Bring the array of the bench to the working point, with the output off."""
        self.check_parameters()
        point = self._as(WorkingPoint)
        self.open_bench().check_field(self.field)
        self._array = array = array_of(self.open_bench(), point)
        array.set_working_point(point)
        return array

    def _switch_on(self, array: Array) -> None:
        """Bring the field there, then have pulses and read voltage reach the cells."""
        self.open_bench().set_field(self.field)
        array.switch_on(self.watchdog)

    def _as(self, kind: type[_Values]) -> _Values:
        """Make a value of a dataclass whose fields are named like parameters of this procedure."""
        return kind(**{each.name: getattr(self, each.name) for each in fields(kind)})
