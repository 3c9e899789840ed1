"""Every fault, declared once: its table in the lab file, its command, their ranges, and what it does.

A field is a key of the table; `parameters` names those that the command gives, in order, by which it is listed, too.
"""

import time
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self, get_args, get_origin

from pydantic import Field, ValidationError, model_validator

from mock_hw._scpi import ERRORS, Converter, ScpiError, boolean, integer, number, word
from mock_hw._toml import Strict, message_of
from mock_hw.boxes import ArrayBoard
from mock_hw.faults._cells import Damage, FaultyDevice

MOST = 10**9
Blocks = Annotated[int, Field(ge=0, le=MOST)]
Place = Annotated[int | None, Field(ge=0)]


class Afflicted(Protocol):
    """What a fault acts on, while the board's lock is held."""

    board: ArrayBoard
    temperature: float
    """Kelvin without a fault."""
    refuse_until: float
    """By the computer's monotonic clock."""

    @property
    def cells(self) -> FaultyDevice:
        """The cells, to break them."""
        ...

    def queue_error(self, error: ScpiError) -> None:
        """Put an error into the queues of all connections."""
        ...


class Fault(Strict):
    """What all faults have in common; of its own kind a board has one, the last one that was set."""

    command: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]] = ()
    counts: ClassVar[str] = ""
    ended_by: ClassVar[tuple[float, ...]] = ()
    kind: str
    """The command in small letters, by which the lab file names it."""

    def __init_subclass__(cls, **said: Any) -> None:
        """`command` as the page writes it, and the `parameters` that it gives, in order.

        `ended_by` is what it gives to end the fault; `counts` the field that counts down as the fault is used up,
        without which it is used once. What a class does not say it takes from the one above it.
        """
        for name, value in said.items():
            setattr(cls, name, tuple(value.split()) if name == "parameters" else value)
        if "command" in said:
            cls.__annotations__["kind"] = Literal[cls.command.lower()]

    @classmethod
    def converters(cls) -> tuple[Converter, ...]:
        """What reads the parameters of its command."""
        return tuple(_converter(cls.model_fields[name].annotation) for name in cls.parameters)

    @classmethod
    def by_command(cls, values: tuple[Any, ...]) -> Self:
        """The fault with these parameters; −222 where one is out of range, −104 for a wrong text."""
        given = dict(zip(cls.parameters, values, strict=False))
        try:
            return cls.model_validate({"kind": cls.command.lower(), **given})
        except ValidationError as error:
            first = error.errors()[0]
            code = -104 if first["type"] == "string_pattern_mismatch" else -222
            raise ScpiError(code, message_of(first)) from None

    @property
    def values(self) -> tuple[Any, ...]:
        """The parameters of its command."""
        return tuple(getattr(self, name) for name in self.parameters)

    @property
    def text(self) -> str:
        """The command that sets it."""
        shown = (f"{value:g}" if isinstance(value, float) else str(value) for value in self.values)
        return f"{self.command} {','.join(shown)}"

    @property
    def waits(self) -> int:
        """Blocks that have to be fetched before it begins."""
        return 0

    def sooner(self) -> Self:
        """The same fault after one more block."""
        return self

    def used(self) -> Self | None:
        """What is left of it when it has been met once."""
        left = getattr(self, self.counts) - 1 if self.counts else 0
        return self.model_copy(update={self.counts: left}) if left else None

    def replaces(self, other: "Fault") -> bool:
        """Whether `other`, which the board has, ends where this one begins."""
        return type(self) is type(other)

    def begin(self, at: Afflicted) -> None:
        """Do what it does to the board."""

    def end(self, at: Afflicted) -> None:
        """Undo it."""


def _converter(kind: Any) -> Converter:
    if get_origin(kind) is Literal:
        return word(*get_args(kind))
    return {float: number, str: str}.get(kind, integer)


class OfCells(Fault, parameters="row column"):
    """A fault of one cell, or of `cells` of them that the lab's seed chooses."""

    row: Place = None
    column: Place = None
    cells: Annotated[int | None, Field(ge=1)] = None

    @model_validator(mode="after")
    def _one_way_or_the_other(self) -> Self:
        named = (self.row is not None, self.column is not None)
        if any(named) == (self.cells is not None) or any(named) != all(named):
            raise ValueError("give 'row' and 'column' of one cell, or 'cells' = how many the seed chooses")
        return self

    def at(self, row: int, column: int) -> Self:
        """The same fault of a cell that is named."""
        return self.model_copy(update={"row": row, "column": column, "cells": None})

    @property
    def place(self) -> tuple[int, int]:
        """Row and column of the cell, which is named."""
        assert self.row is not None
        assert self.column is not None
        return self.row, self.column

    @property
    def damage(self) -> Damage:
        """What is wrong with the cell: the state that it is stuck in, or what the fault is called."""
        return getattr(self, "state" if "state" in self.parameters else "kind")

    def replaces(self, other: Fault) -> bool:
        return isinstance(other, OfCells) and self.place == other.place

    def begin(self, at: Afflicted) -> None:
        row, column = self.place
        at.cells.damage(row * at.board.array.columns + column, self.damage)


class Short(OfCells, command="SHORt"):
    """A shorted cell."""


class Open(OfCells, command="OPEN"):
    """An open cell."""


class Stuck(OfCells, command="STUCk", parameters="row column state"):
    """A cell that reads one state for ever."""

    state: Literal["P", "AP"]


class Timed(Fault):
    """A fault that begins once so many blocks have been fetched."""

    after_blocks: Blocks = 0

    @property
    def waits(self) -> int:
        return self.after_blocks

    def sooner(self) -> Self:
        return self.model_copy(update={"after_blocks": max(0, self.after_blocks - 1)})


class Drift(Timed, command="DRIFt", parameters="volts_per_hour", ended_by=(0.0,)):
    """The pulses' voltage runs away."""

    volts_per_hour: float = Field(ge=-1e12, le=1e12, allow_inf_nan=False)

    def begin(self, at: Afflicted) -> None:
        at.cells.drift(self.volts_per_hour)

    def end(self, at: Afflicted) -> None:
        at.cells.drift(0.0)  # what it has gained so far stays


class OfBlocks(Timed, parameters="after_blocks"):
    """A fault that single blocks meet as they are fetched, each one once."""


class Drop(OfBlocks, command="DROP"):
    """The connection that fetches is cut in the middle of a block."""


class Corrupt(OfBlocks, command="CORRupt", parameters="after_blocks count", counts="count"):
    """Blocks arrive damaged; `FETCh:AGAin?` sends them anew."""

    count: int = Field(default=1, ge=1, le=MOST)


class Duplicate(OfBlocks, command="DUPLicate"):
    """`FETCh?` answers the block before, and takes none out of the FIFO."""


class Skip(OfBlocks, command="SKIP", parameters="after_blocks count", counts="count"):
    """Blocks are lost out of the FIFO before they are fetched."""

    count: int = Field(default=1, ge=1, le=MOST)


class Refuse(Timed, command="REFuse", parameters="seconds", ended_by=(0.0,)):
    """Every new connection is closed at once for a while; those that are open stay."""

    seconds: float = Field(gt=0, le=600)

    def begin(self, at: Afflicted) -> None:
        at.refuse_until = time.monotonic() + self.seconds

    def end(self, at: Afflicted) -> None:
        at.refuse_until = 0.0


class Fifo(Timed, command="FIFO", parameters="blocks"):
    """The FIFO holds fewer blocks."""

    blocks: int = Field(ge=2, le=MOST)

    def begin(self, at: Afflicted) -> None:
        at.board.fifo_blocks = self.blocks

    def end(self, at: Afflicted) -> None:
        at.board.fifo_blocks = None


class Rate(Timed, command="RATE", parameters="bytes_per_second"):
    """Every answer travels no faster than this: a wire as slow as a slow host makes it."""

    bytes_per_second: float = Field(ge=100, le=1e12)


class Error(Timed, command="ERRor", parameters="number"):
    """An entry in the error queues; in the lab file without `after_blocks`, in that of every connection that opens."""

    number: int

    @model_validator(mode="after")
    def _known(self) -> Self:
        if not self.number or self.number not in ERRORS:
            known = ", ".join(str(number) for number in ERRORS if number)
            raise ValueError(f"{self.number} is no error of the board's: use one of {known}")
        return self

    @property
    def error(self) -> ScpiError:
        """The entry."""
        return ScpiError(self.number, "simulated fault")

    def begin(self, at: Afflicted) -> None:
        at.queue_error(self.error)


class Temperature(Timed, command="TEMPerature", parameters="kelvin"):
    """Another temperature at the array, over-temperature above 358.15 K."""

    kelvin: float = Field(gt=0, le=1000)

    def begin(self, at: Afflicted) -> None:
        at.board.protection.set_temperature(self.kelvin)

    def end(self, at: Afflicted) -> None:
        at.board.protection.set_temperature(at.temperature)


class Interlock(Timed, command="INTerlock", ended_by=(True,)):
    """The interlock is open."""

    @classmethod
    def converters(cls) -> tuple[Converter, ...]:
        return (boolean,)

    @property
    def text(self) -> str:
        return f"{self.command} 0"

    def begin(self, at: Afflicted) -> None:
        at.board.protection.set_interlock(False)

    def end(self, at: Afflicted) -> None:
        at.board.protection.set_interlock(True)


class Delay(Timed, command="DELay", parameters="seconds", ended_by=(0.0,)):
    """Every answer is sent so much later; meanwhile its connection is not listened to."""

    seconds: float = Field(gt=0, le=60)


class Mute(Timed, command="MUTE", parameters="answers", counts="answers", ended_by=(0,)):
    """The board hangs: it neither acts nor answers until so many lines that ask something have come."""

    answers: int = Field(ge=1, le=MOST)


class Identity(Fault, command="IDENtity", parameters="model"):
    """The board says that it is another model."""

    model: str = Field(pattern=r"^[A-Za-z0-9._-]{1,32}$")

    def begin(self, at: Afflicted) -> None:
        at.board.model = self.model

    def end(self, at: Afflicted) -> None:
        at.board.model = ArrayBoard.model


_OfBlocksAndCells = Short | Open | Stuck | Drift | Drop | Corrupt | Duplicate | Skip
_OfTheBoard = Refuse | Fifo | Rate | Error | Temperature | Interlock | Delay | Mute | Identity
FaultTable = Annotated[_OfBlocksAndCells | _OfTheBoard, Field(discriminator="kind")]
"""One `[[boxes.NAME.faults]]` of a lab file."""
KINDS: tuple[type[Fault], ...] = get_args(get_args(FaultTable)[0])
"""In the order in which they are listed."""


def fit(faults: Sequence[Fault], rows: int, columns: int) -> str | None:
    """Say which of the faults does not fit an array of this size, or None."""
    chosen = 0
    for index, fault in enumerate(faults):
        if isinstance(fault, OfCells):
            chosen += fault.cells or 0
            if (fault.row or 0) >= rows or (fault.column or 0) >= columns or chosen > rows * columns:
                kind = fault.command.lower()
                return f"faults.{index} ({kind}) does not fit an array of {rows} × {columns} cells"
    return None
