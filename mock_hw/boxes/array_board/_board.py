"""The simulated array board: docs/array-board-protocol.md as firmware would implement it."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mock_hw._arguments import Count, OutOfRange, Real, take_fields, takes
from mock_hw._array import Clock, Selection, Sequence, SimulatedArray, Trims
from mock_hw._scpi import (
    Answer,
    Assembler,
    Command,
    InputClosed,
    Line,
    ScpiError,
    Status,
    Table,
    Unit,
    arguments,
    block,
    boolean,
    definite_block,
    integer,
    number,
    units,
    word,
)
from mock_hw.boxes.array_board._acquisition import Acquisition, Plan, fifo_capacity
from mock_hw.boxes.array_board._idle import IdleTime
from mock_hw.boxes.array_board._pace import AsFastAsPossible, Pace
from mock_hw.faults import _commands
from mock_hw.faults._board import BoardFaults, Piece
from mock_hw.faults._cells import FaultyDevice

MODEL = "ARRAY-BOARD-SIM"
FIRMWARE = "1.1"
PROTOCOL = "1.1"
TRIMS = ("trim", "trim_ap", "width_trim", "width_trim_ap")
LARGEST_BLOCK_BITS = 1 << 26
LARGEST_BLOCK_READINGS = 1 << 21
LARGEST_COUNT = 10**15
SHORTEST_WIDTH = 1e-12
SHORTEST_PERIOD = 6e-9
HOTTEST = 358.15
FETCH_WAIT = 0.5


@dataclass(frozen=True)
class Limits:
    """Hard limits: pulse voltage and read voltage (magnitudes in volts), pulse width in seconds."""

    voltage: float = 2.0
    width: float = 10e-9
    read: float = 0.5

    def __post_init__(self) -> None:
        take_fields(self, voltage=Real(0), width=Real(0), read=Real(0))


@dataclass(frozen=True)
class Settings:
    """What `*RST` resets; arrays have the shape (rows, columns); `…_ap` is added where a cell last read AP."""

    selection: Selection
    mask: NDArray[np.bool_]
    trim: NDArray[np.float32]
    trim_ap: NDArray[np.float32]
    width_trim: NDArray[np.float32]
    width_trim_ap: NDArray[np.float32]
    threshold: NDArray[np.float32]
    watchdog: float = 5.0
    voltage: float = 0.0
    width: float = 0.3e-9
    period: float = SHORTEST_PERIOD
    reset_voltage: float = 0.0
    reset_width: float = 0.6e-9
    toggle: bool = False
    read_voltage: float = 0.0
    settle: float = 1e-6
    count: int = 0
    block: int = 1
    resistances: bool = False

    def __post_init__(self) -> None:
        take_fields(
            self,
            watchdog=Real(0),
            voltage=Real(),
            width=Real(0),
            period=Real(above=0),
            reset_voltage=Real(),
            reset_width=Real(0),
            read_voltage=Real(),
            settle=Real(above=0),
            count=Count(),
            block=Count(),
        )

    @classmethod
    @takes(rows=Count(1), columns=Count(1))
    def after_reset(cls, rows: int, columns: int, limits: Limits) -> "Settings":
        """The reset values; where a limit is lower, the limit."""
        zeros = np.zeros((rows, columns), np.float32)
        return cls(
            selection=Selection(0, rows - 1, 0, columns - 1),
            mask=np.ones((rows, columns), bool),
            trim=zeros,
            trim_ap=zeros,
            width_trim=zeros,
            width_trim_ap=zeros,
            threshold=np.full((rows, columns), 100e3, np.float32),
            width=min(cls.width, limits.width),
            reset_width=min(cls.reset_width, limits.width),
        )


class ArrayBoard:
    """One board over one simulated array; any number of `Session`s (connections) talk to it at once.

    `serial_number` goes into `*IDN?`; `limits` are those at power-on; `temperature` in kelvin; `pace` makes
    what decides how board time passes; `seed` is that of the faults; `on_rest` is called when the array has been
    used and is left alone again (by holders of the board's lock: it must not wait).
    """

    @takes(temperature=Real(above=0), seed=Count())
    def __init__(
        self,
        array: SimulatedArray,
        *,
        serial_number: str = "0",
        limits: Limits | None = None,
        temperature: float = 300.0,
        pace: Callable[[Clock], Pace] = AsFastAsPossible,
        seed: int = 0,
        on_rest: Callable[[], None] = lambda: None,
    ) -> None:
        self.array = array
        self.serial_number = serial_number
        self._power_on_limits = limits or Limits()
        self.temperature = temperature
        self.interlock_closed = True
        self._pace = pace
        self._on_rest = on_rest
        cells = array.device if isinstance(array.device, FaultyDevice) else None
        self.faults = BoardFaults(self, array.columns, cells, seed)
        # One lock for everything that commands touch; nothing slow happens under it.
        self.changed = threading.Condition(threading.RLock())
        self.sessions: list[Session] = []
        self.acquisition: Acquisition | None = None
        self.owner: Session | None = None
        self._closed = False
        self.clock = Clock()
        self.idle = IdleTime(self.clock)
        self._look = threading.Event()
        self._power_on()
        self._watcher = threading.Thread(target=self._watch, name="array-board-watchdog", daemon=True)
        self._watcher.start()

    def _power_on(self) -> None:
        self.limits = self._power_on_limits
        self.settings = Settings.after_reset(self.array.rows, self.array.columns, self.limits)
        self.clock = Clock()
        self.idle.go_on(self.clock)
        self.faults.power_cycled()
        self.trips = 0
        self._fed = time.monotonic()

    # --- the world outside the wire ---

    def open_session(self, hang_up: Callable[[], None] | None = None) -> "Session":
        """A new connection; `hang_up` is called when the board drops it, None where a wire has no close.

        Raises `mock_hw._scpi.InputClosed` while a fault has it refuse connections.
        """
        with self.changed:
            if self.faults.refusing and hang_up is not None:
                raise InputClosed("a simulated fault refuses it")
            session = Session(self, hang_up)
            self.sessions.append(session)
            for error in self.faults.first_errors:
                session.status.push(error)
            return session

    def power_cycle(self) -> None:
        """Lose everything but the array's magnetisation: connections, settings, limits, clock, FIFO."""
        with self.changed:
            self._stop()
            self._power_on()
            sessions = list(self.sessions)
            for session in sessions:
                session.forget()
        for session in sessions:
            if session.hang_up is not None:
                session.hang_up()

    def close(self) -> None:
        """Switch off for good and end the board's threads."""
        with self.changed:
            self._closed = True
            self._stop()
        self._look.set()
        self._watcher.join()

    def set_interlock(self, closed: bool) -> None:
        """Open or close the interlock; opening it switches the output off."""
        with self.changed:
            self.interlock_closed = closed
            if not closed and self.output:
                self._trip(102, "output switched off")

    @takes(kelvin=Real(above=0))
    def set_temperature(self, kelvin: float) -> None:
        """Set the temperature at the array; above 358.15 K the output switches off."""
        with self.changed:
            self.temperature = kelvin
            if kelvin > HOTTEST and self.output:
                self._trip(103, "output switched off")

    def queue_error(self, error: ScpiError) -> None:
        """Put an error into the queues of all connections."""
        with self.changed:
            for session in self.sessions:
                session.status.push(error)

    def fifo_changed(self) -> None:
        """The FIFO holds another number of blocks now: a stall may be over."""
        with self.changed:
            self.changed.notify_all()

    def rested(self) -> tuple[dict[str, NDArray], float] | None:
        """What of the array is to be kept, and for how many seconds it has rested; None while it is pulsed."""
        with self.changed:
            if self.acquisition is not None and self.acquisition.pulsing:
                return None
            return self.array.save(), self.idle.seconds

    # --- the rules (callers hold `changed`) ---

    @property
    def output(self) -> bool:
        """Whether pulses and read voltage reach the array; true while a session owns the board."""
        return self.owner is not None

    @property
    def running(self) -> bool:
        """Whether an acquisition is running or stalled."""
        return self.acquisition is not None and self.acquisition.state != "IDLE"

    def permit(self, session: "Session", command: Command, query: bool) -> None:
        """Raise what forbids this command to this session now."""
        foreign = self.owner is not None and self.owner is not session
        if foreign and (command.owner_query if query else not command.anyone):
            raise ScpiError(-203, "the output is on and another connection owns the board")
        if self.running and (command.idle_query if query else command.idle):
            raise ScpiError(-221, "an acquisition is running")

    def feed_watchdog(self, session: "Session") -> None:
        """A complete line has come from this session."""
        if session is self.owner:
            self._fed = time.monotonic()

    def switch_on(self, session: "Session") -> None:
        """Give the output, and the board with it, to this session."""
        if self.owner is session:
            return
        if self.owner is not None:
            raise ScpiError(-203, "another connection owns the board")
        if not self.interlock_closed:
            raise ScpiError(102, "refused")
        if self.temperature > HOTTEST:
            raise ScpiError(103, "refused")
        if self.settings.watchdog == 0:
            raise ScpiError(-221, "the watchdog is not armed")
        self.owner = session
        self._fed = time.monotonic()
        self._look.set()

    def switch_off(self) -> None:
        """`ABORt;OUTPut OFF`."""
        self.abort()
        self.owner = None
        self._on_rest()

    def abort(self) -> None:
        """End the acquisition, if there is one."""
        if self.acquisition is not None:
            self.acquisition.abort()

    def wait_until_still(self) -> None:
        """Wait the few milliseconds until an aborted acquisition has let go of the array."""
        while self.acquisition is not None and self.acquisition.pulsing:
            self.changed.wait()

    def _stop(self) -> None:
        """Output off, FIFO empty. Others may switch on while this waits (without the lock): off again."""
        self.switch_off()
        while self.acquisition is not None and self.acquisition.pulsing:
            self.changed.wait()
            self.switch_off()
        self.acquisition = None

    def reset(self) -> None:
        """`*RST`."""
        self._stop()
        self.settings = Settings.after_reset(self.array.rows, self.array.columns, self.limits)

    def change(self, **values: Any) -> None:
        """Change settings, or raise and change nothing."""
        try:
            new = replace(self.settings, **values)
        except OutOfRange as error:
            raise ScpiError(-222, str(error)) from None
        self._check(new, set(values))
        self.settings = new
        self._look.set()
        if self.acquisition is not None and self.running and values.keys() & set(TRIMS):
            sequence = self.sequence()
            self.acquisition.retrim(sequence.voltage, sequence.trims)

    def _check(self, new: Settings, changed: set[str]) -> None:
        """−222 where a changed value is out of range, −221 where it conflicts with another setting."""
        if _largest_pulse(new) > self.limits.voltage or abs(new.reset_voltage) > self.limits.voltage:
            raise ScpiError(-222, f"the pulse voltage limit is {self.limits.voltage:g} V, trims included")
        shortest, longest = _widths(new)
        if max(longest, new.reset_width) > self.limits.width:
            raise ScpiError(-222, f"the pulse width limit is {self.limits.width:g} s, trims included")
        if shortest < SHORTEST_WIDTH:
            raise ScpiError(-222, f"a pulse is at least {SHORTEST_WIDTH:g} s wide, trims included")
        if abs(new.read_voltage) > self.limits.read:
            raise ScpiError(-222, f"the read voltage limit is {self.limits.read:g} V")
        for name in changed & _RANGES.keys():
            low, high = _RANGES[name]
            if not low <= getattr(new, name) <= high:
                raise ScpiError(-222, f"from {low:g} to {high:g}")
        if new.period < max(longest, new.reset_width):
            number = -222 if "period" in changed else -221
            raise ScpiError(number, "the period is shorter than a pulse")
        largest = LARGEST_BLOCK_READINGS if new.resistances else LARGEST_BLOCK_BITS
        if new.block * new.selection.cells > largest:
            number = -222 if "block" in changed else -221
            raise ScpiError(number, f"a block holds at most {largest} positions; lower ACQuire:BLOCk")

    @takes(value=Real())
    def limit(self, name: str, value: float) -> None:
        """Lower one of the limits."""
        if value < 0:
            raise ScpiError(-222, "a limit is a magnitude")
        if value > getattr(self.limits, name):
            raise ScpiError(-203, "a limit is raised only by a power cycle")
        if self.output:
            raise ScpiError(-221, "the output is on")
        new, now = replace(self.limits, **{name: value}), self.settings
        in_use = {
            "voltage": max(_largest_pulse(now), abs(now.reset_voltage)),
            "width": max(_widths(now)[1], now.reset_width),
            "read": abs(now.read_voltage),
        }
        if in_use[name] > value:
            raise ScpiError(-221, f"the present setting is {in_use[name]:g}: lower it first")
        self.limits = new

    def initiate(self, session: "Session") -> None:
        """Start an acquisition."""
        if not self.running:
            self.wait_until_still()
        # Only now: waiting lets go of the lock, and others may act meanwhile.
        if self.owner is not session:
            raise ScpiError(-221, "the output is off")
        if self.running:
            raise ScpiError(-213)
        now = self.settings
        plan = Plan(self.sequence(), now.count, now.block, now.resistances)
        positions = now.block * now.selection.cells
        self.acquisition = Acquisition(
            self.array,
            plan,
            self.changed,
            pace=self._pace(self.clock),
            idle=self.idle,
            capacity=lambda: self.fifo_capacity(positions, now.resistances),
            ended=self._on_rest,
            failed=lambda why: self.queue_error(_beyond(why)),
        )

    @takes(positions=Count(1))
    def fifo_capacity(self, positions: int, resistances: bool) -> int:
        """Blocks of `positions` positions that the FIFO holds at the moment."""
        capacity = fifo_capacity(positions, resistances)
        return capacity if self.faults.fifo is None else min(capacity, self.faults.fifo)

    def sequence(self) -> Sequence:
        """The present settings as the array wants them."""
        now = self.settings
        return Sequence(
            selection=now.selection,
            mask=now.mask,
            toggle=now.toggle,
            voltage=now.voltage + now.trim.astype(np.float64),
            width=now.width,
            trims=Trims(
                _unless_zero(now.width_trim), _unless_zero(now.trim_ap), _unless_zero(now.width_trim_ap)
            ),
            reset_voltage=now.reset_voltage,
            reset_width=now.reset_width,
            thresholds=now.threshold.astype(np.float64),
            read_voltage=now.read_voltage,
            settle=now.settle,
            temperature=self.temperature,
            period=now.period,
        )

    def read_resistances(self) -> NDArray[np.float32]:
        """One reading of every selected cell."""
        self.wait_until_still()
        if not self.output:
            raise ScpiError(-221, "the output is off")
        try:
            self.array.rest(self.idle.take(), temperature=self.temperature)
            readings = self.array.read(self.sequence())
        except ValueError as error:
            raise _beyond(str(error)) from error
        self.idle.used()
        return readings

    def forget(self, session: "Session") -> None:
        """A connection has closed; its output goes off with it (a board that hangs does not notice)."""
        if session is self.owner and not self.faults.hung:
            self.switch_off()
        if session in self.sessions:
            self.sessions.remove(session)

    def _trip(self, number: int, detail: str) -> None:
        self.switch_off()
        self.queue_error(ScpiError(number, detail))

    def _watch(self) -> None:
        while True:
            with self.changed:
                if self._closed:
                    return
                left = None
                if self.output:
                    left = self._fed + self.settings.watchdog - time.monotonic()
                    if left <= 0:
                        self.trips += 1
                        self._trip(101, "output switched off")
                        left = None
            self._look.wait(left)
            self._look.clear()


def _beyond(why: str) -> ScpiError:
    """The model of the device does not go so far; an answer on the wire is ASCII."""
    return ScpiError(-221, why.encode("ascii", "replace").decode().replace('"', "'"))


def _largest_pulse(settings: Settings) -> float:
    volts = settings.voltage + settings.trim.astype(np.float64)
    return float(np.maximum(np.abs(volts), np.abs(volts + settings.trim_ap)).max())


def _widths(settings: Settings) -> tuple[float, float]:
    """The shortest and the longest write pulse."""
    seconds = settings.width + settings.width_trim.astype(np.float64)
    both = seconds, seconds + settings.width_trim_ap
    return float(np.minimum(*both).min()), float(np.maximum(*both).max())


def _unless_zero(trim: NDArray[np.float32]) -> NDArray[np.float64] | None:
    return trim.astype(np.float64) if trim.any() else None


_RANGES = {
    "width": (SHORTEST_WIDTH, 1.0),
    "reset_width": (SHORTEST_WIDTH, 1.0),
    "period": (SHORTEST_PERIOD, 1.0),
    "settle": (1e-9, 1.0),
    "count": (0, LARGEST_COUNT),
    "block": (1, LARGEST_BLOCK_BITS),
}


class Session:
    """One connection to the board: its input, its status and error queue, the block it fetched last."""

    def __init__(self, board: ArrayBoard, hang_up: Callable[[], None] | None) -> None:
        self.board = board
        self.hang_up = hang_up
        self.status = Status()
        self.last_block: memoryview | None = None
        self.cut = False
        self._dropped = False
        self._input = Assembler(4 * board.array.rows * board.array.columns + 64)

    def feed(self, data: bytes | memoryview) -> Iterator[Iterable[Piece]]:
        """Act on received bytes; each item is one response message, in pieces to send one after the other.

        A number among them is a pause in seconds. Raises `mock_hw._scpi.InputClosed` when the connection should
        be closed.
        """
        for item in self._input.feed(data):
            if isinstance(item, ScpiError):
                with self.board.changed:
                    self.status.push(item)
            elif response := self._execute(item):
                yield self.board.faults.on_the_wire(item.text, response)
                if self.cut:
                    self.cut = False
                    raise InputClosed("a simulated fault cuts it")

    def forget(self) -> None:
        """The board was without power: status, last block and the connection, where the wire has one, are lost.

        What the connection had sent before must not reach the board any more, even if it is still on its way.
        """
        self.status = Status()
        self.last_block = None
        self._dropped = self.hang_up is not None

    def close(self) -> None:
        """The connection is gone."""
        with self.board.changed:
            self.board.forget(self)
        self.last_block = None

    def _execute(self, line: Line) -> list[bytes | memoryview]:
        with self.board.changed:
            if self.board.faults.swallows(line.text):
                return []
            self.board.feed_watchdog(self)
        answers: list[Answer] = []
        for unit in units(line.text, line.block):
            with self.board.changed:
                if self._dropped:
                    raise InputClosed("the board lost its power")
                try:
                    answer = self._perform(unit)
                except ScpiError as error:
                    self.status.push(error)
                else:
                    answers += [] if answer is None else [answer]
        texts = ";".join(a for a in answers if isinstance(a, str))
        blocks = [a for a in answers if not isinstance(a, str)]
        if not blocks:
            return [texts.encode() + b"\n"] if texts else []
        return [texts.encode() + b";", *blocks] if texts else [*blocks]

    def _perform(self, unit: Unit | ScpiError) -> Answer | None:
        if isinstance(unit, ScpiError):
            raise unit
        command = _EVERYTHING.find(unit.header)
        action = command.read if unit.query else command.write
        if action is None:
            raise ScpiError(-113, unit.header[:40] + ("?" if unit.query else ""))
        values = arguments(command, unit)
        if unit.query and command.block_answer and not unit.last:
            raise ScpiError(-440, "ask for a block in the last unit of a line")
        self.board.permit(self, command, unit.query)
        return action(self, *values)


# --- the table ---------------------------------------------------------------------------------------------


def _setting(
    header: str,
    name: str,
    convert: Callable[[str], Any],
    show: Callable[[Any], str] = repr,
    idle: bool = True,
) -> Command:
    return Command(
        header,
        read=lambda s: show(getattr(s.board.settings, name)),
        write=lambda s, value: s.board.change(**{name: value}),
        parameters=(convert,),
        idle=idle,
    )


def _limit(header: str, name: str) -> Command:
    return Command(
        header,
        read=lambda s: repr(getattr(s.board.limits, name)),
        write=lambda s, value: s.board.limit(name, value),
        parameters=(number,),
    )


def _cell_floats(header: str, name: str, idle: bool = False) -> Command:
    def write(s: Session, data: bytes) -> None:
        values = _whole_array(s, data, "<f4")
        if not np.isfinite(values).all():
            raise ScpiError(-222, "every value must be finite")
        s.board.change(**{name: values.astype(np.float32)})

    def read(s: Session) -> memoryview:
        return definite_block(getattr(s.board.settings, name).astype("<f4").tobytes())

    return Command(header, read, write, (block,), idle=idle, block_answer=True)


def _whole_array(s: Session, data: bytes, dtype: str) -> NDArray[Any]:
    array = s.board.array
    cells = array.rows * array.columns
    wanted = -(-cells // 8) if dtype == "u1" else 4 * cells
    if len(data) != wanted:
        raise ScpiError(-161, f"{wanted} bytes are wanted, not {len(data)}")
    values = np.frombuffer(data, dtype)
    if dtype == "u1":
        values = np.unpackbits(values, count=cells).astype(bool)
    return values.reshape(array.rows, array.columns)


def _set_mask(s: Session, data: bytes) -> None:
    s.board.change(mask=_whole_array(s, data, "u1"))


def _select(s: Session, first_row: int, last_row: int, first_column: int, last_column: int) -> None:
    array = s.board.array
    if not (0 <= first_row <= last_row < array.rows and 0 <= first_column <= last_column < array.columns):
        raise ScpiError(-222, f"the array has {array.rows} rows and {array.columns} columns")
    s.board.change(selection=Selection(first_row, last_row, first_column, last_column))


def _selected(s: Session) -> str:
    where = s.board.settings.selection
    return f"{where.first_row},{where.last_row},{where.first_column},{where.last_column}"


def _set_watchdog(s: Session, seconds: float) -> None:
    if seconds != 0 and not 0.1 <= seconds <= 60:
        raise ScpiError(-222, "0, or 0.1 to 60 s")
    if seconds == 0 and s.board.output:
        raise ScpiError(-221, "the output is on")
    s.board.change(watchdog=seconds)


def _set_output(s: Session, on: bool) -> None:
    if on:
        s.board.switch_on(s)
    else:
        s.board.switch_off()


def _register(header: str, name: str) -> Command:
    def write(s: Session, value: int) -> None:
        if not 0 <= value <= 255:
            raise ScpiError(-222, "0 to 255")
        setattr(s.status, name, value)

    return Command(header, lambda s: str(getattr(s.status, name)), write, (integer,), anyone=True)


def _event_status(s: Session) -> str:
    value, s.status.event_status = s.status.event_status, 0
    return str(value)


def _complete(s: Session) -> None:
    s.status.event_status |= 1


def _status_byte(s: Session) -> str:
    acquisition = s.board.acquisition
    return str(s.status.byte(acquisition is not None and acquisition.blocks > 0))


def _state(s: Session) -> str:
    return "IDLE" if s.board.acquisition is None else s.board.acquisition.state


def _stalls(s: Session) -> str:
    count, seconds = (0, 0.0) if s.board.acquisition is None else s.board.acquisition.stalls
    return f"{count},{seconds!r}"


def _fifo(s: Session) -> str:
    now = s.board.settings
    blocks = 0 if s.board.acquisition is None else s.board.acquisition.blocks
    return f"{blocks},{s.board.fifo_capacity(now.block * now.selection.cells, now.resistances)}"


def _fetch(s: Session) -> memoryview:
    answer = _oldest_block(s)
    if answer is None:
        s.last_block = _NO_BLOCK
        return _NO_BLOCK
    s.last_block = answer
    sent, s.cut = s.board.faults.fetched(answer)
    return sent


def _oldest_block(s: Session) -> memoryview | None:
    acquisition, faults = s.board.acquisition, s.board.faults
    if acquisition is None:
        return None
    if s.last_block is not None and s.last_block is not _NO_BLOCK and faults.repeats():
        return s.last_block
    while (block := acquisition.take(FETCH_WAIT)) is not None and faults.skips():
        pass
    return block


def _fetch_again(s: Session) -> memoryview:
    if s.last_block is None:
        raise ScpiError(-230, "no block was fetched on this connection")
    return s.last_block if s.last_block is _NO_BLOCK else s.board.faults.fetched_again(s.last_block)


_NO_BLOCK = memoryview(b"#10\n")


def _resistances(s: Session) -> memoryview:
    return definite_block(s.board.read_resistances().astype("<f4").tobytes())


def _identity(s: Session) -> str:
    return f"MEMTJ,{s.board.faults.model or MODEL},{s.board.serial_number},{FIRMWARE}"


def _temperature(s: Session) -> str:
    return repr(s.board.temperature + s.board.array.device.temperature_offset)


TABLE = Table(
    (
        Command("*IDN", _identity),
        Command("*RST", write=lambda s: s.board.reset()),
        Command("*CLS", write=lambda s: s.status.clear(), anyone=True),
        Command("*OPC", lambda s: "1", _complete, anyone=True),
        Command("*ESR", _event_status),
        _register("*ESE", "event_enable"),
        _register("*SRE", "service_enable"),
        Command("*STB", _status_byte),
        Command("*TST", lambda s: "0"),
        Command("*WAI", write=lambda s: None, anyone=True),
        Command("SYSTem:ERRor[:NEXT]", lambda s: s.status.pop()),
        Command("SYSTem:ERRor:COUNt", lambda s: str(s.status.errors)),
        Command("SYSTem:VERSion", lambda s: "1999.0"),
        Command("SYSTem:PROTocol", lambda s: PROTOCOL),
        Command("SYSTem:ORIGin", lambda s: "SIM"),
        Command("SYSTem:TIME", lambda s: repr(s.board.clock.now())),
        Command("SYSTem:TEMPerature", _temperature),
        Command("SYSTem:INTerlock", lambda s: str(int(s.board.interlock_closed))),
        Command(
            "SYSTem:WATChdog", lambda s: repr(s.board.settings.watchdog), _set_watchdog, parameters=(number,)
        ),
        Command("SYSTem:WATChdog:TRIPs", lambda s: str(s.board.trips)),
        _limit("LIMit:VOLTage", "voltage"),
        _limit("LIMit:WIDTh", "width"),
        _limit("LIMit:READ", "read"),
        Command("ARRay:SIZE", lambda s: f"{s.board.array.rows},{s.board.array.columns}"),
        Command("ARRay:SELect", _selected, _select, (integer,) * 4, idle=True),
        Command(
            "ARRay:MASK",
            lambda s: definite_block(np.packbits(s.board.settings.mask).tobytes()),
            _set_mask,
            (block,),
            idle=True,
            block_answer=True,
        ),
        _cell_floats("ARRay:TRIM", "trim"),
        _cell_floats("ARRay:TRIM:ANTiparallel", "trim_ap"),
        _cell_floats("ARRay:TRIM:WIDTh", "width_trim"),
        _cell_floats("ARRay:TRIM:WIDTh:ANTiparallel", "width_trim_ap"),
        _cell_floats("ARRay:THReshold", "threshold", idle=True),
        Command("ARRay:RESistance", _resistances, idle_query=True, block_answer=True),
        _setting("PULSe:VOLTage", "voltage", number),
        _setting("PULSe:WIDTh", "width", number),
        _setting("PULSe:PERiod", "period", number),
        _setting("RESet:VOLTage", "reset_voltage", number),
        _setting("RESet:WIDTh", "reset_width", number),
        Command(
            "SEQuence:MODE",
            lambda s: "TOGG" if s.board.settings.toggle else "RES",
            lambda s, mode: s.board.change(toggle=mode == "TOGG"),
            (word("RESet", "TOGGle"),),
            idle=True,
        ),
        _setting("SENSe:VOLTage", "read_voltage", number),
        _setting("SENSe:SETTle", "settle", number),
        Command(
            "OUTPut[:STATe]",
            lambda s: str(int(s.board.output)),
            _set_output,
            parameters=(boolean,),
            anyone=True,
        ),
        _setting("ACQuire:COUNt", "count", integer, str),
        _setting("ACQuire:BLOCk", "block", integer, str),
        Command(
            "ACQuire:FORMat",
            lambda s: "RES" if s.board.settings.resistances else "BITS",
            lambda s, form: s.board.change(resistances=form == "RES"),
            (word("BITS", "RESistance"),),
            idle=True,
        ),
        Command("ACQuire:STATe", _state),
        Command("ACQuire:STALls", _stalls),
        Command("ACQuire:FIFO", _fifo),
        Command("INITiate[:IMMediate]", write=lambda s: s.board.initiate(s)),
        Command("ABORt", write=lambda s: s.board.abort(), anyone=True),
        Command("FETCh[:BLOCk]", _fetch, owner_query=True, block_answer=True),
        Command("FETCh:AGAin", _fetch_again, owner_query=True, block_answer=True),
    )
)

# What the board answers to: the dialect, and what no other board has.
_EVERYTHING = Table((*TABLE.commands, *_commands.TABLE.commands))
