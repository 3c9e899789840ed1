"""The state of a simulated array, and the pulses that change it. Knows nothing of SCPI, boxes or wires."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mock_hw import _draws
from mock_hw._device import Device

# Positions drawn between two looks at whether to stop: a few milliseconds at most.
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Selection:
    """A rectangle of cells, ends included."""

    first_row: int
    last_row: int
    first_column: int
    last_column: int

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.last_row - self.first_row + 1

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.rows * (self.last_column - self.first_column + 1)


@dataclass(frozen=True)
class Sequence:
    """Everything that decides what one pulse does; arrays have the shape (rows, columns) of the whole array.

    `voltage` in volts per cell (trims included), `thresholds` in ohms per cell, `mask` True = use; widths
    and `settle` in seconds, `temperature` in kelvin, `field` in tesla.
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


class Clock:
    """A board's clock: follows the computer's, and advances by the pulses' time while they are simulated."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._time = 0.0
        self._since: float | None = time.monotonic()

    def now(self) -> float:
        """Seconds since power-on."""
        with self._lock:
            return self._now()

    def freeze(self) -> None:
        """Stop following the computer's clock."""
        with self._lock:
            self._time, self._since = self._now(), None

    def advance(self, seconds: float) -> None:
        """Let simulated `seconds` pass."""
        with self._lock:
            self._time += seconds

    def thaw(self) -> None:
        """Follow the computer's clock again."""
        with self._lock:
            self._time, self._since = self._now(), time.monotonic()

    def _now(self) -> float:
        return self._time if self._since is None else self._time + time.monotonic() - self._since


class SimulatedArray:
    """Cells with a magnetisation that stays: it survives `*RST` and a power cycle of the board around it.

    The initial state is random. Not safe for use by several threads at once.
    """

    def __init__(self, device: Device, rows: int, columns: int, seed: int) -> None:
        if device.cells != rows * columns:
            raise ValueError(f"the device has {device.cells} cells, not {rows} × {columns}")
        self.device = device
        self.rows = rows
        self.columns = columns
        self._seed = seed
        self._epoch = 0
        self._antiparallel = np.random.default_rng([seed, 0x57A7E]).random((rows, columns)) < 0.5

    @property
    def antiparallel(self) -> NDArray[np.bool_]:
        """The magnetisation, a copy: bool (rows, columns), True = AP."""
        return self._antiparallel.copy()

    def begin(self, sequence: Sequence) -> "Run":
        """Start a run of pulses; the seed and how many runs and readings came before decide its draws."""
        self._epoch += 1
        return Run(self, sequence, _draws.keys(self._seed, self._epoch))

    def read(self, sequence: Sequence) -> NDArray[np.float32]:
        """One reading of every selected cell without a pulse, masked cells too: float32 (cells,), ohms."""
        self._epoch += 1
        antiparallel = self.selected(self._antiparallel, sequence.selection)
        return _Readout(self, sequence).readings(antiparallel, _draws.keys(self._seed, self._epoch), 0)

    def selected(self, per_cell: NDArray, selection: Selection) -> NDArray:
        """Values of the selected cells, a copy: (cells,) from one value per cell of the whole array."""
        return per_cell.reshape(self.rows, self.columns)[_rectangle(selection)].flatten()


class _Readout:
    """What the selected cells read in P and in AP: `levels` and `noise` in ohms, two arrays (cells,) each."""

    def __init__(self, array: SimulatedArray, sequence: Sequence) -> None:
        device = array.device
        both = device.resistances(sequence.read_voltage)
        noise = [
            device.read_noise(r, sequence.read_voltage, sequence.settle, sequence.temperature) for r in both
        ]
        self.levels = [array.selected(r, sequence.selection) for r in both]
        self.noise = [array.selected(sigma, sequence.selection) for sigma in noise]

    def readings(
        self, antiparallel: NDArray[np.bool_], key: tuple[np.uint64, np.uint64], first: int
    ) -> NDArray[np.float32]:
        """Readings of states (pulses · cells,); `first` counts the readings taken before under this key."""
        noise = np.empty(len(antiparallel))
        # The keys are exchanged so that these numbers are not those of the draws.
        _draws.gaussian(key[1], key[0], first, noise)
        at = antiparallel.reshape(-1, len(self.levels[0]))
        noise = noise.reshape(at.shape)
        noise *= np.where(at, self.noise[1], self.noise[0])
        noise += np.where(at, self.levels[1], self.levels[0])
        return noise.ravel().astype(np.float32)


class Run:
    """One run of pulses under one sequence; `end` gives the cells' state back to the array.

    Bits come time-major, then row, then column, as `numpy.packbits` packs them.
    """

    def __init__(self, array: SimulatedArray, sequence: Sequence, key: tuple[np.uint64, np.uint64]) -> None:
        self._array = array
        self._sequence = sequence
        self._key = key
        self._pulse = 0
        self.cells = sequence.selection.cells
        self._state = _draws.pack_lanes(array.selected(array._antiparallel, sequence.selection))
        mask = array.selected(sequence.mask, sequence.selection)
        self._used = _draws.pack_lanes(mask)
        self.all_used = bool(mask.all())
        self.can_be_invalid = not (sequence.toggle and self.all_used)
        self._readout = _Readout(array, sequence)
        self._laws()

    def _laws(self) -> None:
        seq, device = self._sequence, self._array.device

        def flip(voltage: NDArray[np.float64], width: float) -> _draws.Law:
            both = (
                device.switching_probability(voltage, width, seq.temperature, seq.field, antiparallel)
                for antiparallel in (False, True)
            )
            return _draws.Law.from_probabilities(*(self._array.selected(p, seq.selection) for p in both))

        self._write = flip(seq.voltage.ravel(), seq.width)
        self._reset = flip(np.full(device.cells, seq.reset_voltage), seq.reset_width)
        thresholds = self._array.selected(seq.thresholds, seq.selection)
        above = [
            ndtr((level - thresholds) / noise)
            for level, noise in zip(self._readout.levels, self._readout.noise, strict=True)
        ]
        self._read = _draws.Law.from_probabilities(above[0], above[1])
        self._look = _draws.Law.from_probabilities(np.zeros(self.cells), np.ones(self.cells))

    def bits(
        self,
        pulses: int,
        out: NDArray[np.uint64],
        valid: NDArray[np.uint64],
        *,
        go_on: Callable[[], bool] = lambda: True,
        advance: Callable[[int], None] = lambda _: None,
    ) -> int | None:
        """Apply `pulses` pulses; the packed outcomes go to `out`, their validity to `valid`.

        Both are zeroed uint64 streams, one word longer than needed, and hold `numpy.packbits` bytes
        afterwards. `valid` is left alone where nothing can be invalid (toggle, no cell masked). `go_on` is
        asked now and then, `advance` told the pulses done. Returns the failed resets, None when stopped.
        """
        return self._pulses(pulses, out, valid, self._read, go_on, advance)

    def resistances(
        self,
        pulses: int,
        valid: NDArray[np.uint64],
        *,
        go_on: Callable[[], bool] = lambda: True,
        advance: Callable[[int], None] = lambda _: None,
    ) -> tuple[NDArray[np.float32], int] | None:
        """Apply pulses, read in ohms: float32 (pulses · cells,), NaN where invalid, and failed resets."""
        states = np.zeros(len(valid), np.uint64)
        first = self._pulse * self.cells
        failed = self._pulses(pulses, states, valid, self._look, go_on, advance)
        if failed is None:
            return None
        count = pulses * self.cells
        antiparallel = np.unpackbits(states.view(np.uint8), count=count).astype(bool)
        readings = self._readout.readings(antiparallel, self._key, first)
        if self.can_be_invalid:
            readings[np.unpackbits(valid.view(np.uint8), count=count) == 0] = np.nan
        return readings, failed

    def end(self) -> None:
        """Give the state of the cells back to the array."""
        where = _rectangle(self._sequence.selection)
        shape = self._array._antiparallel[where].shape
        self._array._antiparallel[where] = _draws.unpack_lanes(self._state, self.cells).reshape(shape)

    def _pulses(
        self,
        pulses: int,
        out: NDArray[np.uint64],
        valid: NDArray[np.uint64],
        outcome: _draws.Law,
        go_on: Callable[[], bool],
        advance: Callable[[int], None],
    ) -> int | None:
        failed = 0
        step = max(1, _CHUNK // self.cells)
        for done in range(0, pulses, step):
            if not go_on():
                return None
            now = min(step, pulses - done)
            failed += self._chunk(now, done * self.cells, out, valid, outcome)
            self._pulse += now
            advance(now)
        _draws.to_packbits(out)
        if self.can_be_invalid:
            _draws.to_packbits(valid)
        return failed

    def _chunk(
        self,
        pulses: int,
        position: int,
        out: NDArray[np.uint64],
        valid: NDArray[np.uint64],
        outcome: _draws.Law,
    ) -> int:
        start = (self._state, self._used, self.cells, pulses, self._pulse, position, *self._key, out)
        write = (self._write.planes, self._write.sure, self._write.unsure)
        seen = (outcome.planes, outcome.sure, outcome.unsure)
        if self._sequence.toggle:
            _draws.toggle(*start, *write, *seen)
            if self.can_be_invalid:
                _draws.repeat(self._used, self.cells, pulses, position, valid)
            return 0
        reset = (self._reset.planes, self._reset.sure, self._reset.unsure)
        read = (self._read.planes, self._read.sure, self._read.unsure)
        return _draws.reset_write(*start, valid, *write, *reset, *read, *seen)


def _rectangle(selection: Selection) -> tuple[slice, slice]:
    return (
        slice(selection.first_row, selection.last_row + 1),
        slice(selection.first_column, selection.last_column + 1),
    )


def stream_words(bits: int) -> int:
    """Length in words of the uint64 stream that `Run.bits` needs for `bits` positions."""
    return -(-bits // 64) + 1
