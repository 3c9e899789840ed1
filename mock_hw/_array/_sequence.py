"""What a run of pulses does: which cells, which pulses, how they are read."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mock_hw._arguments import Count, Real, take_fields
from mock_hw._device import Floats


@dataclass(frozen=True)
class Selection:
    """A rectangle of cells, ends included."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int

    def __post_init__(self) -> None:
        take_fields(self, first_row=Count(), last_row=Count(), first_column=Count(), last_column=Count())

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.last_row - self.first_row + 1

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * (self.last_column - self.first_column + 1)

    @property
    def rectangle(self) -> tuple[slice, slice]:
        """Its cells, as an index of an array (rows, columns)."""
        return slice(self.first_row, self.last_row + 1), slice(self.first_column, self.last_column + 1)


@dataclass(frozen=True)
class Trims:
    """What is added to the write pulse of each cell; arrays (rows, columns) in seconds, volts, seconds.

    `width` counts for every pulse; `voltage_from_ap` and `width_from_ap` are added where the cell was last read as
    antiparallel. None: nothing.
    """

    width: NDArray[np.float64] | None = None
    voltage_from_ap: NDArray[np.float64] | None = None
    width_from_ap: NDArray[np.float64] | None = None

    @property
    def by_state(self) -> bool:
        """Whether pulses from P and from AP differ."""
        return self.voltage_from_ap is not None or self.width_from_ap is not None


@dataclass(frozen=True)
class Sequence:
    """Everything that decides what one pulse does; arrays have the shape (rows, columns) of the whole array.

    `voltage` in volts per cell (trims included), `thresholds` in ohms per cell, `mask` True = use; widths
    and `settle` in seconds, `temperature` in kelvin, `field` in tesla. `trims` are what the write pulse of a cell
    has beside `voltage` and `width`. Between pulses the cells are held at `hold` volts; `field_on` says whether they
    are in the field that the lab applies. Without `pulses` they are only read. `coded`: no pulse depends on what was
    read, so there are no `trims`.
    """

    selection: Selection
    mask: NDArray[np.bool_]
    toggle: bool
    voltage: NDArray[np.float64]
    width: float
    reset_voltage: float
    reset_width: float
    thresholds: NDArray[np.float64]
    read_voltage: float
    settle: float
    temperature: float = 300.0
    field: float = 0.0
    period: float = 6e-9
    trims: Trims = Trims()
    hold: float = 0.0
    field_on: bool = True
    pulses: bool = True
    coded: bool = False

    def __post_init__(self) -> None:
        take_fields(
            self,
            width=Real(0),
            reset_voltage=Real(),
            reset_width=Real(0),
            read_voltage=Real(),
            settle=Real(above=0),
            temperature=Real(above=0),
            field=Real(),
            period=Real(above=0),
            hold=Real(),
        )

    def write_pulse(self, antiparallel: bool) -> tuple[Floats, Floats | float]:
        """Volts and seconds of each cell's write pulse, (cells,), for a cell whose last reading was that."""
        trims, voltage, width = self.trims, self.voltage, self.width
        if trims.width is not None:
            width = width + trims.width
        if antiparallel and trims.voltage_from_ap is not None:
            voltage = voltage + trims.voltage_from_ap
        if antiparallel and trims.width_from_ap is not None:
            width = width + trims.width_from_ap
        return voltage.ravel(), np.ravel(width) if isinstance(width, np.ndarray) else width

    def selected(self, per_cell: NDArray) -> NDArray:
        """Values of the selected cells, a copy: (cells,) from one value per cell of the whole array."""
        return per_cell.reshape(self.mask.shape)[self.selection.rectangle].flatten()

    @property
    def seconds_per_pulse(self) -> float:
        """Board time of one pulse: rows one after another; a reset doubles it (docs/array-board-protocol.md)."""
        if not self.pulses:
            return self.selection.rows * self.settle
        return self.selection.rows * (self.period + self.settle) * (1 if self.toggle else 2)
