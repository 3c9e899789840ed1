"""What a procedure wants of an array, whatever boxes are behind it; and how acquisitions are read to their end."""

from collections.abc import Callable, Iterator
from typing import Protocol, TypeVar

import numpy as np

from entropy import DrawMode

from ..bench import DacScale, Trims
from ._block import Block, Losses
from ._working_point import WorkingPoint

Stop = Callable[[], bool]
_Item = TypeVar("_Item", covariant=True)
_Delivered = TypeVar("_Delivered")


class Stopped(Exception):
    """The user stopped a measurement."""


class Acquisition(Protocol[_Item]):
    """One acquisition: `next` gives its blocks in their order, None where there is none at the moment.

    `ended`: everything of it was handed out.
    """

    ended: bool

    def __next__(self) -> _Item | None:
        """Give the next one; raises BoardError or BenchError where it ended early, or too little can be read."""
        ...

    def abort(self) -> None:
        """End it; needed after its last block too, which does not say that the array is idle again."""


class Array(Protocol):
    """An array of cells at a working point; all volts are volts at the device, tables are (cells,), row by row.

    Settings go to the array at once, and raise BenchError above a limit of the bench. One thread at a time acquires;
    trims may be set from another one meanwhile, where `has_all_trims`.
    """

    name: str  # on the bench
    identity: str
    device: str  # the devices, as the bench file names them
    shape: tuple[int, int]  # rows, columns
    simulated: bool
    has_all_trims: (
        bool  # each direction has its own, of volts and of seconds, and they may change while it acquires
    )
    point: WorkingPoint
    most_pulses: int  # of a block, so that one comes every few seconds

    @property
    def pulse_seconds(self) -> float:
        """Seconds that a pulse takes by the array's clock, NaN where that is not known yet."""
        ...

    @property
    def losses(self) -> Losses:
        """What was lost so far."""
        ...

    def require_all_trims(self) -> None:
        """Raise BenchError, which says what to do, where it does not have them."""

    def temperature(self) -> float:
        """Measure its temperature, kelvin, once a second at most."""
        ...

    # Settings

    def set_working_point(self, point: WorkingPoint) -> None:
        """Set the pulses, the reading and the mode."""

    def set_mask(self, used: np.ndarray | bool) -> None:
        """Set which cells are pulsed and read: bool, (cells,) or one for all."""

    def set_thresholds(self, thresholds: np.ndarray) -> None:
        """Set the ohms above which a reading is a 1, (cells,)."""

    def set_trims(self, trims: Trims) -> int:
        """Set what each cell's write pulse has more; returns by how much the generation of later blocks grows."""
        ...

    def trim_range(self) -> tuple[float, float]:
        """Give the volts by which the write pulse may be trimmed."""
        ...

    def longest_pulse(self) -> float:
        """Give the seconds that a write pulse may last at the period of the working point."""
        ...

    # Output

    def switch_on(self, watchdog: float, hold: float = 0.0) -> None:
        """Have pulses and read voltage reach the cells, and stop where nothing is heard for `watchdog` seconds.

        `hold`: volts as `hold` sets them, before the cells are in the field.
        """

    def switch_off(self) -> bool:
        """Switch off at once, and give whether the array confirms that everything is off, hold and field too.

        Logs what fails and does not raise it: the bench does it again when it is left.
        """
        ...

    def keep_alive(self) -> None:
        """Feed the watchdog while nothing is fetched; raises an error, switched off, where the output is not on."""

    def reconnect(self) -> None:
        """Have a lost connection back, the array safe and its settings unknown; see `Bench.reconnect`."""

    # Draws: one pulse of a voltage of its own for each cell

    def require_draws(self) -> None:
        """Raise BenchError, which says what to do, where the array has no pulse table, hold and field to switch."""

    def dac(self) -> DacScale:
        """Give the volts at the device that the codes of a pulse table stand for."""
        ...

    def set_dac_range(self, lowest: float, highest: float) -> DacScale:
        """Have the codes 1 to the highest span so many volts at the device; no cell has a code thereafter."""
        ...

    def set_pulse_table(self, codes: np.ndarray) -> None:
        """Set the code of each cell's pulse in draws, integers (cells,), 0 = no pulse; whole, or not at all.

        Raises BenchError where a pulse and the hold voltage together are above a limit.
        """

    def draw_once(self, mode: DrawMode) -> Block:
        """Draw once with each cell's code, from a reset ("write") or what is stored ("flip"), or only "read".

        Gives the outcome as a block of one pulse; a failed reset is not valid in it, nor is a masked cell. The width
        is the working point's. Raises BoardError where the outcome cannot be read: then the cells have had their pulse.
        """
        ...

    def hold(self, volts: float) -> None:
        """Hold the cells at so many volts at the device between pulses; needs the output on and goes off with it."""

    def field(self, on: bool) -> None:
        """Switch the field that the cells are in; on needs the output on, and goes off with it."""

    # Pulses and readings

    def acquire(
        self, pulses: int, pulses_per_block: int, *, strict: bool = False, mode: DrawMode | None = None
    ) -> Acquisition[Block]:
        """Start an acquisition of so many pulses of each cell, 0 = without end, in the working point's mode or another.

        Blocks that stay damaged are left out and counted, and what is missing at the end is; where `strict`, raised.
        """
        ...

    def toggle_readings(self, pulses: int, stop: Stop) -> np.ndarray:
        """Give write pulses without resets and read each time: ohm, float32, (pulses, cells); may raise Stopped."""
        ...

    def resistances(self) -> np.ndarray:
        """Read each cell once, without a pulse: ohm, float32, (cells,)."""
        ...


def read_to_the_end(acquisition: Acquisition[_Delivered], stop: Stop) -> Iterator[_Delivered]:
    """Give all blocks of a finite acquisition, and abort it in any case; raises Stopped when `stop` says so."""
    try:
        while not acquisition.ended:
            if stop():
                raise Stopped
            block = next(acquisition)
            if block is not None:
                yield block
    finally:
        acquisition.abort()


_MOST_BITS = 1 << 23  # of a block, far below the protocol's, so that a stop is heard soon


def blocks_of(array: Array, pulses: int, stop: Stop) -> Iterator[Block]:
    """Run one finite acquisition and give its blocks; raises Stopped when `stop` says so."""
    rows, columns = array.shape
    per_block = max(2, min(pulses, _MOST_BITS // (rows * columns)))
    return read_to_the_end(array.acquire(pulses, per_block, strict=True), stop)
