"""What every procedure of the bench has in common."""

import reprlib
from collections.abc import Sequence
from typing import Any, ClassVar

from pymeasure.experiment import FloatParameter, IntegerParameter, Procedure

from entropy.arguments import count, real

from .._errors import BenchError
from ..bench import Bench


class BenchProcedure(Procedure):
    """A pymeasure Procedure over an open bench.

    `bench` is set when it is made, or before the Worker starts; it is no Parameter, so results files do not hold
    it. `failure` is the exception that ended the procedure: pymeasure's Worker keeps only its text.
    Subclasses write `prepare`, `measure_all` and `make_safe`.
    """

    DATA_COLUMNS: ClassVar[list[str]] = []

    def __init__(self, *, bench: Bench | None = None, **parameters: Any) -> None:
        super().__init__(**parameters)
        unknown = set(parameters) - set(self._parameters)
        if unknown:
            raise TypeError(f"{type(self).__name__} has no parameter {', '.join(sorted(unknown))}")
        self.check_parameters()
        self.bench = bench
        self.failure: BaseException | None = None

    @staticmethod
    def parse_columns(columns: Sequence[str]) -> dict[str, Any]:
        """Leave the units of the columns alone: pint reads all the units there are first, for as long as a start-up."""
        return {}

    def startup(self) -> None:
        """Prepare the bench; see `Procedure.startup`."""
        try:
            self.check_parameters()
            self.prepare()
        except BaseException as error:
            self.failure = error
            raise

    def execute(self) -> None:
        """Do the measurement; see `Procedure.execute`."""
        try:
            self.measure_all()
        except BaseException as error:
            self.failure = error
            raise

    def shutdown(self) -> None:
        """Make everything safe; never raises."""
        try:
            self.make_safe()
        except BaseException as error:  # the Worker would never end
            self.failure = self.failure or error

    def check_parameters(self) -> None:
        """Bring every parameter into its type; raises BenchError that names the one that does not fit.

        pymeasure's own says which one only where it is missing, lets NaN pass, and cuts 1.5 pulses down to 1. Called
        before anything is opened or written.
        """
        for name, parameter in self._parameters.items():
            value = getattr(self, name)
            # Not by parameter_objects(), whose error does not say which parameter it is about.
            try:
                if value is None:
                    raise ValueError("it is missing")
                if isinstance(parameter, FloatParameter):
                    value = real(value, name)
                elif isinstance(parameter, IntegerParameter):
                    value = count(value, name, least=parameter.minimum, most=parameter.maximum)
                parameter.value = value
            except (TypeError, ValueError) as error:
                low, high = getattr(parameter, "minimum", None), getattr(parameter, "maximum", None)
                span = "" if low is None or high is None else f" (it goes from {low:g} to {high:g})"
                raise BenchError(
                    f"{type(self).__name__} cannot use {name} = {_shown(value)}: {error}{span}"
                ) from None
            setattr(self, name, parameter.value)

    def prepare(self) -> None:
        """What `startup` does."""
        raise NotImplementedError

    def measure_all(self) -> None:
        """What `execute` does."""
        raise NotImplementedError

    def make_safe(self) -> None:
        """What `shutdown` does."""
        raise NotImplementedError

    def open_bench(self) -> Bench:
        """Return the bench; raises BenchError where none was given."""
        if self.bench is None:
            raise BenchError(f"{type(self).__name__} has no bench: set its 'bench' before it is run")
        return self.bench


def _shown(value: object) -> str:
    try:
        return f"{value:g}" if isinstance(value, int | float) else reprlib.repr(value)
    except (OverflowError, ValueError):
        return "a number of hundreds of digits"
