"""The faults of a lab file: one table each, and how they are brought to a board (docs/simulated-lab.md)."""

from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, model_validator

from mock_hw._scpi import ERRORS, ScpiError
from mock_hw.faults._board import (
    FASTEST_DRIFT,
    FEWEST_FIFO_BLOCKS,
    HOTTEST,
    LATEST_ANSWER,
    LONGEST_REFUSAL,
    MODEL,
    MOST_BLOCKS,
    SLOWEST_WIRE,
    BoardFaults,
)

Blocks = Annotated[int, Field(ge=0, le=MOST_BLOCKS)]


class Strict(BaseModel):
    """A table of the lab file: a key that does not belong there, or a value of another type, is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _OfCells(Strict):
    """A fault of one cell, or of `cells` of them that the lab's seed chooses."""

    row: int | None = Field(default=None, ge=0)
    column: int | None = Field(default=None, ge=0)
    cells: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _one_way_or_the_other(self) -> Self:
        named = (self.row is not None, self.column is not None)
        if any(named) == (self.cells is not None) or any(named) != all(named):
            raise ValueError("give 'row' and 'column' of one cell, or 'cells' = how many the seed chooses")
        return self

    def inflict(self, faults: BoardFaults, cell: int) -> None:
        """Break one cell."""
        raise NotImplementedError


class Short(_OfCells):
    """Shorted cells."""

    kind: Literal["short"]

    def inflict(self, faults: BoardFaults, cell: int) -> None:
        """Short one cell."""
        faults.cells.short(cell)


class Open(_OfCells):
    """Open cells."""

    kind: Literal["open"]

    def inflict(self, faults: BoardFaults, cell: int) -> None:
        """Interrupt one cell."""
        faults.cells.interrupt(cell)


class Stuck(_OfCells):
    """Cells that read one state for ever."""

    kind: Literal["stuck"]
    state: Literal["P", "AP"]

    def inflict(self, faults: BoardFaults, cell: int) -> None:
        """Stick one cell."""
        faults.cells.stick(cell, self.state == "AP")


class _Timed(Strict):
    """A fault that begins once so many blocks have been fetched."""

    after_blocks: Blocks = 0

    def inflict(self, faults: BoardFaults) -> None:
        """Bring it to the board."""
        raise NotImplementedError


class Drift(_Timed):
    """The pulses' voltage runs away."""

    kind: Literal["drift"]
    volts_per_hour: float = Field(ge=-FASTEST_DRIFT, le=FASTEST_DRIFT, allow_inf_nan=False)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        text = f"DRIFt {self.volts_per_hour:g}"
        faults.after(self.after_blocks, text, lambda: faults.cells.drift(self.volts_per_hour))


class Drop(_Timed):
    """The connection is cut in the middle of a block."""

    kind: Literal["drop"]

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.drop(self.after_blocks)


class Corrupt(_Timed):
    """Blocks arrive damaged."""

    kind: Literal["corrupt"]
    count: int = Field(default=1, ge=1, le=MOST_BLOCKS)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.corrupt(self.after_blocks, self.count)


class Duplicate(_Timed):
    """A block comes twice."""

    kind: Literal["duplicate"]

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.repeat(self.after_blocks)


class Skip(_Timed):
    """Blocks are lost before they are fetched."""

    kind: Literal["skip"]
    count: int = Field(default=1, ge=1, le=MOST_BLOCKS)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.skip(self.after_blocks, self.count)


class Refuse(_Timed):
    """No new connection is taken for a while."""

    kind: Literal["refuse"]
    seconds: float = Field(gt=0, le=LONGEST_REFUSAL)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.after(self.after_blocks, f"REFuse {self.seconds:g}", lambda: faults.refuse(self.seconds))


class Fifo(_Timed):
    """The FIFO holds fewer blocks."""

    kind: Literal["fifo"]
    blocks: int = Field(ge=FEWEST_FIFO_BLOCKS, le=MOST_BLOCKS)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.after(self.after_blocks, f"FIFO {self.blocks}", lambda: faults.limit_fifo(self.blocks))


class Rate(_Timed):
    """A wire as slow as a slow host makes it."""

    kind: Literal["rate"]
    bytes_per_second: float = Field(ge=SLOWEST_WIRE, allow_inf_nan=False)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        rate = self.bytes_per_second
        faults.after(self.after_blocks, f"RATE {rate:g}", lambda: faults.slow_down(rate))


class Error(_Timed):
    """An entry in the error queues; without `after_blocks`, in that of every connection when it opens."""

    kind: Literal["error"]
    number: int

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.number or self.number not in ERRORS:
            known = ", ".join(str(number) for number in ERRORS if number)
            raise ValueError(f"{self.number} is no error of the board's: use one of {known}")
        return self

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        if self.after_blocks:
            faults.after(self.after_blocks, f"ERRor {self.number}", lambda: faults.error(self.number))
        else:
            faults.first_errors.append(ScpiError(self.number, "simulated fault"))


class Temperature(_Timed):
    """Another temperature at the array, over-temperature above 358.15 K."""

    kind: Literal["temperature"]
    kelvin: float = Field(ge=0, le=HOTTEST)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.after(self.after_blocks, f"TEMPerature {self.kelvin:g}", lambda: faults.heat(self.kelvin))


class Interlock(_Timed):
    """The interlock is open."""

    kind: Literal["interlock"]

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.after(self.after_blocks, "INTerlock 0", lambda: faults.interlock(False))


class Delay(_Timed):
    """Answers come late."""

    kind: Literal["delay"]
    seconds: float = Field(gt=0, le=LATEST_ANSWER)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.after(self.after_blocks, f"DELay {self.seconds:g}", lambda: faults.delay(self.seconds))


class Mute(_Timed):
    """The board hangs."""

    kind: Literal["mute"]
    answers: int = Field(ge=1, le=MOST_BLOCKS)

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.after(self.after_blocks, f"MUTE {self.answers}", lambda: faults.hang(self.answers))


class Identity(Strict):
    """The board says that it is another model."""

    kind: Literal["identity"]
    model: str = Field(pattern=f"^{MODEL}$")

    def inflict(self, faults: BoardFaults) -> None:
        """See `BoardFaults`."""
        faults.model = self.model


OfTheWire = Drop | Corrupt | Duplicate | Skip | Refuse | Rate | Delay | Mute
OfTheBoard = Drift | Fifo | Error | Temperature | Interlock | Identity | OfTheWire
OfCells = Short | Open | Stuck
Fault = Annotated[OfCells | OfTheBoard, Field(discriminator="kind")]


def fit(faults: list[Fault], rows: int, columns: int) -> str | None:
    """Say which of the faults does not fit an array of this size, or None."""
    chosen = 0
    for index, fault in enumerate(faults):
        if not isinstance(fault, OfCells):
            continue
        chosen += fault.cells or 0
        outside = (fault.row or 0) >= rows or (fault.column or 0) >= columns
        if outside or chosen > rows * columns:
            return f"faults.{index} ({fault.kind}) does not fit an array of {rows} × {columns} cells"
    return None


def inflict(tables: list[Fault], faults: BoardFaults, rows: int, columns: int, seed: int) -> None:
    """Bring the faults of a lab file to a board; `seed` chooses the cells that are not named."""
    named, counted = set[int](), list[tuple[int, OfCells]]()
    for index, table in enumerate(tables):
        if not isinstance(table, OfCells):
            table.inflict(faults)
        elif table.row is None or table.column is None:
            counted.append((index, table))
        else:
            cell = table.row * columns + table.column
            named.add(cell)
            table.inflict(faults, cell)
    for index, table in counted:
        free = [cell for cell in range(rows * columns) if cell not in named]
        draw = np.random.default_rng([seed, 0xCE11, index])
        for cell in draw.choice(free, min(table.cells or 0, len(free)), replace=False).tolist():
            named.add(cell)
            table.inflict(faults, cell)
