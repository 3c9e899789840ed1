"""The state of a simulated array, and the pulses that change it. Knows nothing of SCPI, boxes or wires."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from mock_hw import _draws
from mock_hw._arguments import Count, Real, take_fields, takes
from mock_hw._device import Device, Floats

# Positions drawn between two looks at whether to stop: a few milliseconds.
_CHUNK = 1 << 22
# The cells' laws follow drift and wear in steps: often enough for processes of minutes, seldom enough that a large
# array is not held up by it. Pulses, and seconds of board time.
_STEP_PULSES = 1 << 16
_SHORTEST_STEP, _LONGEST_STEP = 1.0, 60.0
# Readings in ohms show slow noise itself: steps as short as its fastest process.
_READING_STEP = 1e-3


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
    has beside `voltage` and `width`.
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

    @property
    def seconds_per_pulse(self) -> float:
        """Board time of one pulse: rows one after another; a reset doubles it (docs/array-board-protocol.md)."""
        return self.selection.rows * (self.period + self.settle) * (1 if self.toggle else 2)


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

    @takes(rows=Count(1), columns=Count(1), seed=Count())
    def __init__(self, device: Device, rows: int, columns: int, seed: int) -> None:
        if device.cells != rows * columns:
            raise ValueError(f"the device has {device.cells} cells, not {rows} × {columns}")
        self.device = device
        self.rows = rows
        self.columns = columns
        self._seed = seed
        self._epoch = 0
        self._rests = 0
        self._antiparallel = np.random.default_rng([seed, 0x57A7E]).random((rows, columns)) < 0.5

    @property
    def antiparallel(self) -> NDArray[np.bool_]:
        """The magnetisation, a copy: bool (rows, columns), True = AP."""
        return self._antiparallel.copy()

    @takes(seconds=Real(), temperature=Real(above=0), field=Real())
    def rest(
        self, seconds: float, *, powered: bool = True, temperature: float = 300.0, field: float = 0.0
    ) -> None:
        """Let `seconds` pass without pulses: retention and drift act; without power there is no field either."""
        if seconds <= 0:
            return
        self.device.advance(seconds)
        everywhere = np.ones((self.rows, self.columns), bool)
        self.decay(everywhere, seconds, powered, temperature, field)

    @takes(seconds=Real(), temperature=Real(above=0), field=Real())
    def decay(
        self,
        where: NDArray[np.bool_],
        seconds: float,
        powered: bool,
        temperature: float,
        field: float,
    ) -> None:
        """Let the magnetisation of the cells in `where` (rows, columns) forget for `seconds`."""
        rates = [
            self.device.retention_rate(temperature, field, state, powered=powered) for state in (False, True)
        ]
        flips = forgetting(rates[0], rates[1], seconds)
        probability = np.where(self._antiparallel.ravel(), flips[1], flips[0])
        # A counter of its own: what the next run draws does not depend on how often there was a rest.
        self._rests += 1
        draws = np.random.default_rng([self._seed, 0x4E57, self._rests]).random(len(probability))
        chosen = draws < probability
        self._antiparallel ^= chosen.reshape(self._antiparallel.shape) & where

    def save(self) -> dict[str, NDArray]:
        """Everything that outlives a restart of the lab, as arrays for `numpy.savez`."""
        return {
            "antiparallel": np.packbits(self._antiparallel),
            "epoch": np.array([self._epoch, self._rests]),
            "shape": np.array([self.rows, self.columns]),
            **{f"device_{name}": value for name, value in self.device.save().items()},
        }

    def load(self, saved: Mapping[str, NDArray]) -> None:
        """Take over what `save` gave; raises ValueError (one sentence) where it is of another array."""
        if tuple(saved["shape"]) != (self.rows, self.columns):
            raise ValueError(f"it holds {saved['shape'][0]} × {saved['shape'][1]} cells")
        mine = {name[7:]: value for name, value in saved.items() if name.startswith("device_")}
        self.device.load(mine)
        count = self.rows * self.columns
        state = np.unpackbits(saved["antiparallel"], count=count).astype(bool)
        self._antiparallel = state.reshape(self.rows, self.columns)
        self._epoch, self._rests = (int(count) for count in saved["epoch"])

    def begin(self, sequence: Sequence) -> "Run":
        """Start a run of pulses; the seed and how many runs and readings came before decide its draws."""
        self._epoch += 1
        return Run(self, sequence, _draws.keys(self._seed, self._epoch))

    def read(self, sequence: Sequence) -> NDArray[np.float32]:
        """One reading of every selected cell without a pulse, masked cells too: float32 (cells,), ohms."""
        self._epoch += 1
        antiparallel = self.selected(self._antiparallel, sequence.selection)
        readout = _Readout(self, sequence, after_pulse=False)
        return readout.readings(antiparallel, _draws.keys(self._seed, self._epoch), 0)

    def selected(self, per_cell: NDArray, selection: Selection) -> NDArray:
        """Values of the selected cells, a copy: (cells,) from one value per cell of the whole array."""
        return per_cell.reshape(self.rows, self.columns)[_rectangle(selection)].flatten()


def forgetting(from_parallel: Floats, from_antiparallel: Floats, seconds: float) -> tuple[Floats, Floats]:
    """Probabilities to be found in the other state after `seconds`, from P and from AP, for escape rates in 1/s."""
    total = from_parallel + from_antiparallel
    decayed = -np.expm1(-total * seconds) / np.maximum(total, np.finfo(float).tiny)
    return from_parallel * decayed, from_antiparallel * decayed


def after(first: tuple[Floats, Floats], then: tuple[Floats, Floats]) -> tuple[Floats, Floats]:
    """Probabilities to be found in the other state, from P and from AP, after two such steps."""
    (a, b), (p, q) = first, then
    return p + a * (1 - p - q), q + b * (1 - p - q)


class _Readout:
    """What the selected cells read in P and in AP: `levels` and `noise` in ohms, two arrays (cells,) each."""

    def __init__(self, array: SimulatedArray, sequence: Sequence, *, after_pulse: bool) -> None:
        device = self._device = array.device
        # Without a pulse before it the free layer is at rest.
        relaxed = max(sequence.period - sequence.width, 0.0) + sequence.settle if after_pulse else np.inf
        both = device.resistances(sequence.read_voltage, sequence.temperature, relaxed, sequence.settle)
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
        return self._device.converted(noise.ravel()).astype(np.float32)


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
        self._passed = 0  # pulses whose time and wear the device has been told of
        self._seconds = sequence.seconds_per_pulse
        # Between two pulses of a cell it may forget by itself, more easily while it is read; with a reset there are
        # two pulses, and two readings, in the time of one.
        turn = self._seconds if sequence.toggle else self._seconds / 2

        def forget(volts: float, seconds: float) -> tuple[Floats, Floats]:
            p, q = (
                array.device.retention_rate(sequence.temperature, sequence.field, state, voltage=volts)
                for state in (False, True)
            )
            return forgetting(p, q, seconds)

        rest = forget(0.0, max(turn - sequence.settle, 0.0))
        reading = forget(sequence.read_voltage, sequence.settle)
        self._forget = after(rest, reading)
        self._refresh()

    def _refresh(self) -> None:
        """Take the laws from the device as it is now."""
        seq, device = self._sequence, self._array.device
        self._readout = _Readout(self._array, seq, after_pulse=True)
        forget = self._forget

        def flip(voltage: Floats, width: Floats | float, state: bool) -> Floats:
            return device.switching_probability(voltage, width, seq.temperature, seq.field, state)

        def law(p: Floats, q: Floats) -> _draws.Law:
            p, q = after(forget, (p, q))
            return _draws.Law.from_probabilities(*(self._array.selected(x, seq.selection) for x in (p, q)))

        thresholds = self._array.selected(device.compared(seq.thresholds.ravel()), seq.selection)
        above = [
            ndtr((level - thresholds) / noise)
            for level, noise in zip(self._readout.levels, self._readout.noise, strict=True)
        ]
        self._read = _draws.Law.from_probabilities(above[0], above[1])
        p, q = (flip(*seq.write_pulse(False), state) for state in (False, True))
        if seq.trims.by_state:
            # The board goes by the last reading, which may be wrong: chances to read AP, of all cells.
            seen = np.zeros((2, self._array.rows, self._array.columns))
            where = seen[:, *_rectangle(seq.selection)]
            where[:] = np.reshape(above, where.shape)
            p, q = (
                (1 - chance) * pulse + chance * flip(*seq.write_pulse(True), state)
                for chance, pulse, state in zip(seen.reshape(2, -1), (p, q), (False, True), strict=True)
            )
        self._write = law(p, q)
        if not seq.toggle:
            reset = np.full(device.cells, seq.reset_voltage)
            self._reset = law(*(flip(reset, seq.reset_width, state) for state in (False, True)))
        self._look = _draws.Law.from_probabilities(np.zeros(self.cells), np.ones(self.cells))

    def _tell_device(self) -> None:
        """Time and wear of the pulses since the last time."""
        seq, device = self._sequence, self._array.device
        pulses, self._passed = self._pulse - self._passed, self._pulse
        if not pulses:
            return
        device.advance(pulses * self._seconds)
        pulsed = np.zeros((self._array.rows, self._array.columns), bool)
        pulsed[_rectangle(seq.selection)] = True
        pulsed &= seq.mask
        # About every other pulse of a toggle starts from AP; after a reset hardly any does.
        later = pulses // 2 if seq.toggle and seq.trims.by_state else 0
        for state, share in ((False, pulses - later), (True, later)):
            if share:
                device.wear(share, np.where(pulsed.ravel(), seq.write_pulse(state)[0], 0.0))
        if not seq.toggle:
            # About every other outcome is antiparallel and needs a reset.
            device.wear(pulses // 2, np.where(pulsed, seq.reset_voltage, 0.0).ravel())

    def _step(self, longest: float) -> int:
        """Pulses between two refreshes, of at most `longest` seconds."""
        seconds = max(self._seconds, 1e-12)
        pulses = max(_STEP_PULSES, _SHORTEST_STEP / seconds)
        return max(1, int(min(pulses, longest / seconds)))

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
        return self._pulses(pulses, out, valid, "_read", self._step(_LONGEST_STEP), go_on, advance)

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
        count, step, failed = pulses * self.cells, self._step(_READING_STEP), 0
        readings = np.empty(count, np.float32)

        def read(begin: int, end: int) -> None:
            at = np.arange(begin * self.cells, end * self.cells)
            # A stream's first bit is the most significant of its first word.
            antiparallel = (states[at >> 6] >> (63 - (at & 63)).astype(np.uint64)) & np.uint64(1) != 0
            first = (self._pulse - (end - begin)) * self.cells
            readings[at[0] : at[-1] + 1] = self._readout.readings(antiparallel, self._key, first)

        failed = self._pulses(pulses, states, valid, "_look", step, go_on, advance, read)
        if failed is None:
            return None
        if self.can_be_invalid:
            readings[np.unpackbits(valid.view(np.uint8), count=count) == 0] = np.nan
        return readings, failed

    def retrim(self, voltage: NDArray[np.float64], trims: Trims) -> None:
        """Go on with other volts (trims included) and other trims, from the next pulse on."""
        self._tell_device()
        self._sequence = replace(self._sequence, voltage=voltage, trims=trims)
        self._refresh()

    def end(self) -> None:
        """Give the state of the cells back to the array, and the time that has passed to the device."""
        self._tell_device()
        self._give_back()
        array, seq = self._array, self._sequence
        left = np.ones((array.rows, array.columns), bool)
        left[_rectangle(seq.selection)] = ~seq.mask[_rectangle(seq.selection)]
        if left.any() and self._pulse:
            seconds = self._pulse * self._seconds
            array.decay(left, seconds, True, seq.temperature, seq.field)

    def rest(self, seconds: float) -> None:
        """Let time pass between two pulses, as while the board stalls."""
        self._tell_device()
        self._give_back()
        seq = self._sequence
        self._array.rest(seconds, temperature=seq.temperature, field=seq.field)
        self._state = _draws.pack_lanes(self._array.selected(self._array._antiparallel, seq.selection))
        self._refresh()

    def _give_back(self) -> None:
        array, seq = self._array, self._sequence
        where = _rectangle(seq.selection)
        shape = array._antiparallel[where].shape
        array._antiparallel[where] = _draws.unpack_lanes(self._state, self.cells).reshape(shape)

    def _pulses(
        self,
        pulses: int,
        out: NDArray[np.uint64],
        valid: NDArray[np.uint64],
        outcome: str,
        step: int,
        go_on: Callable[[], bool],
        advance: Callable[[int], None],
        done_some: Callable[[int, int], None] = lambda begin, end: None,
    ) -> int | None:
        failed, done = 0, 0
        most = max(1, _CHUNK // self.cells)
        while done < pulses:
            if not go_on():
                return None
            # At pulses that do not depend on how the run is cut into blocks.
            if self._pulse - self._passed >= step:
                self._tell_device()
                self._refresh()
            now = min(most, pulses - done, self._passed + step - self._pulse)
            failed += self._chunk(now, done * self.cells, out, valid, getattr(self, outcome))
            self._pulse += now
            done += now
            done_some(done - now, done)
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
