"""The array board of docs/array-board-protocol.md: pulses an array of junctions and reads it back."""

import contextlib
import logging
import re
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyvisa
from pymeasure.adapters import Adapter, SerialAdapter, VISAAdapter
from pymeasure.instruments import Instrument
from pymeasure.instruments.validators import strict_discrete_set, strict_range
from pyvisa.constants import ResourceAttribute, StatusCode
from pyvisa.resources import MessageBasedResource

from ._array_block import ArrayBlock, parse_block
from ._errors import BoardError, CorruptBlock, LostBlocks

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

TIMEOUT = 2.0  # s; a board answers within 0.5 s, and a stuck one must not hold up a safe shutdown
_CHUNK = 1 << 16
_QUIET = 0.6  # s of silence after which nothing more is on its way: FETCh? waits 0.5 s
_LONGEST_REST = 5.0  # s for which the rest of an answer is thrown away; a wire slower than that is of no use
_WATCHDOG_EXPIRED = (
    "; it heard nothing for the time of its watchdog, as when this computer is busy with other programs or the wire is "
    "slow: see to that, and start again"
)
_ERROR = re.compile(r'\s*([+-]?\d+)\s*,\s*"(.*)"\s*')


class _NoAnswer(BoardError):
    """Nothing, or only a part of an answer, came within the time-out."""


class _BadFrame(BoardError):
    """What arrived is not framed as the answer that was asked for."""


def _within(quantity: str, unit: str) -> Callable[[float, Sequence[float]], float]:
    """Make a validator that names the quantity in what it raises; refuses NaN too."""

    def validate(value: float, values: Sequence[float]) -> float:
        try:
            return float(strict_range(value, values))
        except ValueError:
            raise ValueError(
                f"a {quantity} of {value:g} {unit} is not within {min(values):g} to {max(values):g} {unit}"
            ) from None

    return validate


def _watchdog(value: float, values: Sequence[float]) -> float:
    return 0.0 if value == 0 else _within("watchdog time-out", "s")(value, values)


def _rectangle(value: Sequence[int], values: object) -> tuple[int, ...]:
    first_row, last_row, first_column, last_column = (int(number) for number in value)
    if not (0 <= first_row <= last_row and 0 <= first_column <= last_column):
        raise ValueError(f"{tuple(value)} is not first row, last row, first column, last column")
    return first_row, last_row, first_column, last_column


def _origin(answer: str) -> str:
    word = answer.strip().upper()
    for origin, form in (("device", "DEV"), ("simulation", "SIM")):
        if word.startswith(form):
            return origin
    raise ValueError(f"{answer!r} is no origin: a board says DEVice or SIMulation")


def _integers(values: Sequence[float]) -> tuple[int, ...]:
    return tuple(int(value) for value in values)


class ArrayBoard(Instrument):
    """Represents a board that pulses an array of magnetoelectric tunnel junctions and reads it back.

    .. code-block:: python

        board = ArrayBoard("TCPIP::192.168.0.7::5025::SOCKET")
        board.voltage, board.width, board.read_voltage = 1.34, 0.34e-9, 0.1
        board.pulses_per_block = 100
        board.output_enabled = True
        board.start()
        block = board.fetch()
        board.shutdown()

    Every setting is followed by a look at the error queue. One thread at a time talks to the board; hold
    `lock` around exchanges that belong together. Raises BoardError where the board refuses, is silent or is
    gone, and ValueError where a value is outside the range of a property (ranges are dynamic:
    ``board.voltage_values = (-1.8, 1.8)``).

    :param adapter: A VISA resource name (``TCPIP::host::port::SOCKET``, ``ASRL/dev/ttyACM0::INSTR``) or an
        adapter. A serial port is opened by pyserial, since pyvisa-py reads it byte by byte.
    :param name: The name of the instrument.
    :param \\**kwargs: Arguments of the VISA connection, `visa_library` and `timeout` (ms) among them; of a
        serial port: `baud_rate` and `timeout` (ms).
    """

    def __init__(self, adapter: Adapter | str, name: str = "array board", **kwargs: Any) -> None:
        self.lock = threading.RLock()
        self.resource = adapter if isinstance(adapter, str) else _resource_of(adapter)
        self.lost = False  # whether this connection was found dead: only another one can help
        self.duplicates = 0  # blocks of this connection that came again and were dropped
        self._last_command = ""
        self._out_of_step = False
        self._expected: int | None = None  # sequence number of the next block
        self._owed = False  # whether the block fetched last was damaged, so that nobody has it
        self._shape: tuple[int, int] | None = None
        self._version: tuple[int, int] | None = None
        super().__init__(_open(adapter, name, kwargs), name, includeSCPI=False)
        # A serial line has no beginning: a program that ended before may have left half a block on it.
        self._out_of_step = isinstance(self.adapter, SerialAdapter)

    # Common commands

    id = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride]
        "*IDN?",
        """Get the identification of the board: maker, model, serial number, firmware version (str).""",
        cast=str,
        maxsplit=0,
    )

    complete = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride]
        "*OPC?",
        """Get whether everything sent before is done (bool); waits until it is.""",
        cast=bool,
    )

    status = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride]
        "*STB?",
        """Get the status byte: bit 2 errors are queued, bit 4 a block waits, bit 5 event summary (int).""",
        cast=int,
    )

    event_status = Instrument.measurement(
        "*ESR?",
        """Get the event status register of this connection, and clear it (int).""",
        cast=int,
    )

    event_status_enable = Instrument.control(
        "*ESE?",
        "*ESE %d",
        """Control which bits of the event status register count in the status byte (int, 0 to 255).""",
        validator=strict_range,
        values=(0, 255),
        cast=int,
        check_set_errors=True,
    )

    service_request_enable = Instrument.control(
        "*SRE?",
        "*SRE %d",
        """Control which bits of the status byte make its master summary (int, 0 to 255).""",
        validator=strict_range,
        values=(0, 255),
        cast=int,
        check_set_errors=True,
    )

    # System

    error_count = Instrument.measurement(
        "SYST:ERR:COUN?",
        """Get how many errors are queued for this connection (int).""",
        cast=int,
    )

    scpi_version = Instrument.measurement(
        "SYST:VERS?",
        """Get the version of SCPI that the board follows (str).""",
        cast=str,
        maxsplit=0,
    )

    protocol_version = Instrument.measurement(
        "SYST:PROT?",
        """Get the version of the array board's dialect (str); this driver follows 1.1.""",
        cast=str,
        maxsplit=0,
    )

    origin = Instrument.measurement(
        "SYST:ORIG?",
        """Get where the bits come from: "device" (physical junctions) or "simulation" (str).""",
        cast=str,
        get_process=_origin,
    )

    clock = Instrument.measurement(
        "SYST:TIME?",
        """Get the board's clock: seconds since power-on (float).""",
    )

    temperature = Instrument.measurement(
        "SYST:TEMP?",
        """Measure the temperature at the array in kelvin (float).""",
    )

    interlock_closed = Instrument.measurement(
        "SYST:INT?",
        """Get whether the interlock is closed, so that the output is possible (bool).""",
        cast=bool,
    )

    watchdog = Instrument.control(
        "SYST:WATC?",
        "SYST:WATC %.12g",
        """Control after how many seconds without a line from the owner the board switches off
        (float from 0.1 to 60, or 0 to disarm).""",
        validator=_watchdog,
        values=(0.1, 60),
        check_set_errors=True,
        dynamic=True,
    )

    watchdog_trips = Instrument.measurement(
        "SYST:WATC:TRIP?",
        """Get how often the watchdog has switched off since power-on (int).""",
        cast=int,
    )

    # Limits

    voltage_limit = Instrument.control(
        "LIM:VOLT?",
        "LIM:VOLT %.12g",
        """Control the board's own limit in volts on pulses, trims and reset pulses included
        (float; can only be lowered until the next power cycle).""",
        validator=_within("voltage limit", "V"),
        values=(0, 100),
        check_set_errors=True,
        dynamic=True,
    )

    width_limit = Instrument.control(
        "LIM:WIDT?",
        "LIM:WIDT %.12g",
        """Control the board's own limit in seconds on the widths of pulses and reset pulses
        (float; can only be lowered until the next power cycle).""",
        validator=_within("width limit", "s"),
        values=(0, 1),
        check_set_errors=True,
        dynamic=True,
    )

    read_voltage_limit = Instrument.control(
        "LIM:READ?",
        "LIM:READ %.12g",
        """Control the board's own limit in volts on the read voltage
        (float; can only be lowered until the next power cycle).""",
        validator=_within("read voltage limit", "V"),
        values=(0, 100),
        check_set_errors=True,
        dynamic=True,
    )

    # Array

    size = Instrument.measurement(
        "ARR:SIZE?",
        """Get the number of rows and of columns of the array (tuple of int).""",
        get_process_list=_integers,
    )

    selection = Instrument.control(
        "ARR:SEL?",
        "ARR:SEL %d,%d,%d,%d",
        """Control the rectangle of cells that is pulsed and read: first row, last row, first column, last
        column, counted from 0, ends included (tuple of int).""",
        validator=_rectangle,
        get_process_list=_integers,
        check_set_errors=True,
    )

    @property
    def mask(self) -> np.ndarray:
        """Control which cells are used: bool, (rows, columns) or one value for all."""
        rows, columns = self._array_shape()
        packed = np.frombuffer(self._ask_block("ARR:MASK?"), np.uint8)
        self._expect("ARR:MASK?", len(packed), (rows * columns + 7) // 8)
        return np.unpackbits(packed, count=rows * columns).reshape(rows, columns).astype(bool)

    @mask.setter
    def mask(self, value: Any) -> None:
        used = np.broadcast_to(np.asarray(value, bool), self._array_shape())
        self._write_block("ARR:MASK", np.packbits(used).tobytes())

    @property
    def trims(self) -> np.ndarray:
        """Control the volts added to each cell's write pulse: float32, (rows, columns) or one for all.

        This and the other three trims may be set while an acquisition is running: they take effect with the block
        that the board begins next, and `ArrayBlock.generation` counts the settings that have.
        """
        return self._ask_cells("ARR:TRIM?")

    @trims.setter
    def trims(self, value: Any) -> None:
        self._write_cells("ARR:TRIM", value)

    @property
    def antiparallel_trims(self) -> np.ndarray:
        """Control the volts added further where a cell last read AP: float32, (rows, columns) or one for all.

        Like the trims of the width, not on a board of protocol 1.0.
        """
        return self._ask_cells(self._since_1_1("ARR:TRIM:ANT?"))

    @antiparallel_trims.setter
    def antiparallel_trims(self, value: Any) -> None:
        self._write_cells(self._since_1_1("ARR:TRIM:ANT"), value)

    @property
    def width_trims(self) -> np.ndarray:
        """Control the seconds added to each cell's write pulse: float32, (rows, columns) or one for all."""
        return self._ask_cells(self._since_1_1("ARR:TRIM:WIDT?"))

    @width_trims.setter
    def width_trims(self, value: Any) -> None:
        self._write_cells(self._since_1_1("ARR:TRIM:WIDT"), value)

    @property
    def antiparallel_width_trims(self) -> np.ndarray:
        """Control the seconds added further where a cell last read AP: float32, (rows, columns) or one for all."""
        return self._ask_cells(self._since_1_1("ARR:TRIM:WIDT:ANT?"))

    @antiparallel_width_trims.setter
    def antiparallel_width_trims(self, value: Any) -> None:
        self._write_cells(self._since_1_1("ARR:TRIM:WIDT:ANT"), value)

    @property
    def has_all_trims(self) -> bool:
        """Get whether the board has more than trims of the voltage, and takes them in an acquisition: protocol 1.1."""
        if self._version is None:
            match = re.match(r"(\d+)\.(\d+)", str(self.protocol_version).strip())
            self._version = (int(match[1]), int(match[2])) if match else (1, 0)
        return self._version >= (1, 1)

    @property
    def thresholds(self) -> np.ndarray:
        """Control the ohms above which a cell's reading is a 1: float32, (rows, columns) or one for all."""
        return self._ask_cells("ARR:THR?")

    @thresholds.setter
    def thresholds(self, value: Any) -> None:
        self._write_cells("ARR:THR", value)

    @property
    def resistances(self) -> np.ndarray:
        """Measure the resistance in ohms of each selected cell, without a pulse: float32, (rows, columns).

        Needs the output on and no acquisition.
        """
        selection: Any = self.selection
        first_row, last_row, first_column, last_column = selection
        shape = last_row - first_row + 1, last_column - first_column + 1
        readings = np.frombuffer(self._ask_block("ARR:RES?"), np.uint8)
        self._expect("ARR:RES?", len(readings), 4 * shape[0] * shape[1])
        return readings.view("<f4").reshape(shape)

    # Pulses

    voltage = Instrument.control(
        "PULS:VOLT?",
        "PULS:VOLT %.12g",
        """Control the voltage of the write pulse in volts, either sign (float).""",
        validator=_within("pulse voltage", "V"),
        values=(-10, 10),
        check_set_errors=True,
        dynamic=True,
    )

    width = Instrument.control(
        "PULS:WIDT?",
        "PULS:WIDT %.12g",
        """Control the width of the write pulse at half maximum in seconds (float).""",
        validator=_within("pulse width", "s"),
        values=(0, 1e-3),
        check_set_errors=True,
        dynamic=True,
    )

    period = Instrument.control(
        "PULS:PER?",
        "PULS:PER %.12g",
        """Control the seconds from the start of a pulse to the start of its read (float, at least 6 ns).""",
        validator=_within("pulse period", "s"),
        values=(6e-9, 1),
        check_set_errors=True,
        dynamic=True,
    )

    reset_voltage = Instrument.control(
        "RES:VOLT?",
        "RES:VOLT %.12g",
        """Control the voltage of the reset pulse in volts (float).""",
        validator=_within("reset voltage", "V"),
        values=(-10, 10),
        check_set_errors=True,
        dynamic=True,
    )

    reset_width = Instrument.control(
        "RES:WIDT?",
        "RES:WIDT %.12g",
        """Control the width of the reset pulse in seconds (float).""",
        validator=_within("reset width", "s"),
        values=(0, 1e-3),
        check_set_errors=True,
        dynamic=True,
    )

    mode = Instrument.control(
        "SEQ:MODE?",
        "SEQ:MODE %s",
        """Control the sequence of a pulse: "reset" (reset, read, write, read) or "toggle" (write, read).""",
        validator=strict_discrete_set,
        values={"reset": "RES", "toggle": "TOGG"},
        map_values=True,
        cast=str,
        check_set_errors=True,
    )

    read_voltage = Instrument.control(
        "SENS:VOLT?",
        "SENS:VOLT %.12g",
        """Control the read voltage in volts (float).""",
        validator=_within("read voltage", "V"),
        values=(-10, 10),
        check_set_errors=True,
        dynamic=True,
    )

    settle = Instrument.control(
        "SENS:SETT?",
        "SENS:SETT %.12g",
        """Control how many seconds the read voltage is applied before a reading (float from 1 ns to 1 s).""",
        validator=_within("settle time", "s"),
        values=(1e-9, 1),
        check_set_errors=True,
        dynamic=True,
    )

    # Output

    output_enabled = Instrument.control(
        "OUTP?",
        "OUTP %d",
        """Control whether pulses and read voltage reach the array (bool); the connection that switches it on
        owns the board.""",
        validator=strict_discrete_set,
        values={True: 1, False: 0},
        map_values=True,
        cast=int,
        check_set_errors=True,
    )

    # Acquisition

    pulses = Instrument.control(
        "ACQ:COUN?",
        "ACQ:COUN %d",
        """Control the number of pulses per cell of an acquisition (int; 0 = until it is aborted).""",
        validator=strict_range,
        values=(0, 10**15),
        cast=int,
        check_set_errors=True,
        dynamic=True,
    )

    pulses_per_block = Instrument.control(
        "ACQ:BLOC?",
        "ACQ:BLOC %d",
        """Control the number of pulses per cell in a block (int; 2**26 bits or 2**21 readings at most).""",
        validator=strict_range,
        values=(1, 2**26),
        cast=int,
        check_set_errors=True,
        dynamic=True,
    )

    payload = Instrument.control(
        "ACQ:FORM?",
        "ACQ:FORM %s",
        """Control what blocks hold: "bits", or "resistances" in ohms (str).""",
        validator=strict_discrete_set,
        values={"bits": "BITS", "resistances": "RES"},
        map_values=True,
        cast=str,
        check_set_errors=True,
    )

    state = Instrument.measurement(
        "ACQ:STAT?",
        """Get the state of the acquisition: "idle", "running", or "stalled" by a full FIFO (str).""",
        values={"idle": "IDLE", "running": "RUN", "stalled": "STALL"},
        map_values=True,
        cast=str,
    )

    stalls = Instrument.measurement(
        "ACQ:STAL?",
        """Get how often and for how many seconds the acquisition stalled (tuple of int and float).""",
        get_process_list=lambda values: (int(values[0]), float(values[1])),
    )

    fifo = Instrument.measurement(
        "ACQ:FIFO?",
        """Get how many blocks are in the FIFO and how many it can hold (tuple of int).""",
        get_process_list=_integers,
    )

    def start(self) -> None:
        """Start an acquisition; empties the FIFO, and the sequence of blocks begins at 0."""
        with self.lock:
            self.write("INIT")
            self.check_errors()
            self._expected = 0

    def abort(self) -> None:
        """End the acquisition; complete blocks stay in the FIFO."""
        with self.lock:
            self.write("ABOR")
            self.check_errors()

    def fetch(self) -> ArrayBlock | None:
        """Take the oldest block out of the FIFO; None where none came within the board's 0.5 s.

        A block that comes a second time is dropped and counted (`duplicates`). Raises CorruptBlock (then
        `fetch_again` has it once more) and LostBlocks, which holds the block, where the sequence has a gap.
        """
        while True:
            block = self._fetch("FETC?")
            if block is None:
                return None
            if not self._is_duplicate(block):
                return self._in_sequence(block)

    def fetch_again(self) -> ArrayBlock | None:
        """Ask for the block of the last `fetch` once more; what is raised is the same.

        After a damaged block, what comes is dropped like any other where it was handed out before, and the
        next one is fetched: else a repetition that was damaged on its way would be recorded twice.
        """
        owed = self._owed
        block = self._fetch("FETC:AGA?")
        if block is None:
            return None
        if owed and self._is_duplicate(block):
            return self.fetch()
        return self._in_sequence(block)

    # Housekeeping

    def clear(self) -> None:
        """Clear the error queue and the event status register of this connection."""
        self.write("*CLS")

    def reset(self) -> None:
        """Switch the output off, abort, and bring all settings but the limits to their reset values."""
        with self.lock:
            self.write("*RST")
            self.check_errors()

    def self_test(self) -> int:
        """Run the self-test; returns 0 when it passed, else a number that the maker documents."""
        return int(self.ask("*TST?"))

    def request_completion(self) -> None:
        """Have bit 0 of the event status register set when everything sent before is done."""
        self.write("*OPC")

    def wait_for_completion(self) -> None:
        """Have the board wait with what follows until everything sent before is done."""
        self.write("*WAI")

    @property
    def next_error(self) -> tuple[int, str]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Get the oldest queued error and remove it: number and text, (0, "No error") when there is none."""
        answer = self.ask("SYST:ERR?")
        match = _ERROR.fullmatch(answer)
        if match is None:
            raise self._lost_step(f"answered {answer[:60]!r} when asked for its errors")
        return int(match[1]), match[2]

    def check_errors(self) -> list:
        """Empty the error queue; raises BoardError with the first error's number if there was one."""
        with self.lock:
            command = self._last_command
            errors = []
            while len(errors) < 40:
                number, text = self.next_error
                if number == 0:
                    break
                errors.append((number, text))
        if errors:
            listed = "; then ".join(f'{number} "{text}"' for number, text in errors)
            why = _WATCHDOG_EXPIRED if any(number == 101 for number, _ in errors) else ""
            raise BoardError(
                f"{self._who()} reports error {listed} (after {command!r}){why}",
                number=errors[0][0],
                text=errors[0][1],
            )
        return []

    def switch_off(self) -> bool:
        """Abort and switch the output off, whatever errors are queued; returns whether it is off."""
        with self.lock:
            self.write("ABOR;:OUTP OFF")
            return not self.output_enabled

    def shutdown(self) -> None:
        """Abort and switch the output off; logs what fails and never raises."""
        try:
            if not self.switch_off():
                log.critical("%s says that its output is still on: switch it off by hand", self._who())
        except Exception as error:
            log.critical("%s may still be on until its watchdog trips: %s", self._who(), error)
        super().shutdown()

    def close(self) -> None:
        """Close the connection; an output that it owns goes off, where the wire has a close."""
        with self.lock:
            self.adapter.close()

    # The wire

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one line; see `Instrument.write`."""
        with self.lock, self._watched(command):
            super().write(command, **kwargs)

    def write_bytes(self, content: bytes, **kwargs: Any) -> None:
        """Write bytes as they are; see `Instrument.write_bytes`."""
        with self.lock, self._watched(content[:40].split(b"#")[0].decode("ascii", "replace").strip()):
            super().write_bytes(content, **kwargs)

    def read(self, **kwargs: Any) -> str:
        """Read one line; see `Instrument.read`."""
        with self.lock, self._watched(None):
            if not isinstance(self.adapter, SerialAdapter):
                self._await_input()
                return super().read(**kwargs)
            line = self.adapter.read_bytes(-1, break_on_termchar=True)  # pyserial tells no time-out apart
            if not line.endswith(b"\n"):
                raise self._silent(partial=bool(line))
            return line.decode("ascii", "replace").rstrip("\r\n")

    def ask(self, command: str, query_delay: float | None = None) -> str:
        """Write a query and read its answer; raises BoardError, with the board's reason where it has one."""
        with self.lock:
            self._be_in_step()
            try:
                with self._in_step():
                    return super().ask(command, query_delay)
            except _NoAnswer as silence:
                raise self._explained(command, silence) from silence

    def _fetch(self, command: str) -> ArrayBlock | None:
        self._owed = True
        try:
            payload = self._ask_block(command)
        except _BadFrame as error:
            raise CorruptBlock(str(error)) from error
        block = parse_block(payload, self._who()) if len(payload) else None
        self._owed = False
        return block

    def _is_duplicate(self, block: ArrayBlock) -> bool:
        """Say whether a block was handed out before, by its number; counts it, and warns of the first."""
        if self._expected is None or block.sequence >= self._expected:
            return False
        self.duplicates += 1
        log.log(
            logging.WARNING if self.duplicates == 1 else logging.DEBUG,
            "%s sent block %d again; repeated blocks are dropped",
            self._who(),
            block.sequence,
        )
        return True

    def _in_sequence(self, block: ArrayBlock) -> ArrayBlock:
        expected, self._expected = self._expected, max(self._expected or 0, block.sequence + 1)
        if expected is not None and block.sequence > expected:
            missing = block.sequence - expected
            raise LostBlocks(
                f"{missing} block{'s are' if missing > 1 else ' is'} missing before block {block.sequence} "
                f"of {self._who()}: is something else fetching from it?",
                missing=missing,
                block=block,
            )
        return block

    def _ask_block(self, command: str) -> memoryview:
        """Send a query that answers a definite-length block; returns its content."""
        with self.lock:
            self._be_in_step()
            try:
                with self._in_step(), self._watched(command), _as_bytes(_visa(self.adapter)):
                    super().write(command)
                    return self._read_block()
            except _NoAnswer as silence:
                raise self._explained(command, silence) from silence

    def _read_block(self) -> memoryview:
        head = self._read_exactly(2)
        digits = head[1] - ord("0")
        if head[:1] != b"#" or not 1 <= digits <= 9:
            raise self._lost_step(f"answered {bytes(head)!r} where a block begins")
        self._out_of_step = True  # until its last byte is here
        length = bytes(self._read_exactly(digits))
        if not length.isdigit():
            raise self._lost_step(f"sent a block of length {length!r}")
        content = self._read_exactly(int(length) + 1)
        if content[-1:] != b"\n":
            raise self._lost_step("sent a block that does not end where its length says")
        self._out_of_step = False
        return memoryview(content).toreadonly()[:-1]

    def _read_exactly(self, count: int) -> bytes | bytearray:
        connection = _visa(self.adapter)
        if connection is not None:
            return self._read_visa(connection, count)
        content = bytearray()
        while len(content) < count:
            part = self.adapter.read_bytes(min(count - len(content), _CHUNK))
            if not part:
                raise self._silent(partial=self._out_of_step or bool(content))
            content += part
        return content

    def _read_visa(self, connection: MessageBasedResource, count: int) -> bytes:
        content = b""
        while len(content) < count:
            self._await_input()
            # With no termination character, breaking means to return what there is where no more comes.
            part = connection.read_bytes(count - len(content), chunk_size=_CHUNK, break_on_termchar=True)
            content = content + part if content else part
        return content

    def _await_input(self) -> None:
        """Wait until something arrives; raises BoardError where nothing does, and at once where the wire is closed.

        pyvisa-py takes a close for silence, and asks for more without a pause until the time-out is over.
        """
        connection = _visa(self.adapter)
        wire = _socket(connection)
        if connection is None or wire is None or getattr(_python_session(connection), "_pending_buffer", b""):
            return
        if not select.select([wire], [], [], _patience(self.adapter))[0]:
            raise self._silent(partial=self._out_of_step)
        if _hung_up(connection):
            raise self._gone(ConnectionResetError("the other end closed it"))

    def _ask_cells(self, command: str) -> np.ndarray:
        rows, columns = self._array_shape()
        values = np.frombuffer(self._ask_block(command), np.uint8)
        self._expect(command, len(values), 4 * rows * columns)
        return values.view("<f4").reshape(rows, columns)

    def _write_cells(self, command: str, value: Any) -> None:
        values = np.broadcast_to(np.asarray(value, "<f4"), self._array_shape())
        if not np.isfinite(values).all():
            raise ValueError(f"{command}: every cell needs a finite number")
        self._write_block(command, values.tobytes())

    def _write_block(self, command: str, content: bytes) -> None:
        length = str(len(content)).encode()
        with self.lock:
            self.write_bytes(command.encode() + b" #%d" % len(length) + length + content + b"\n")
            self.check_errors()

    def _since_1_1(self, command: str) -> str:
        """Give the command back; raises BoardError where the board does not have it."""
        if not self.has_all_trims:
            raise BoardError(
                f"{self._who()} follows protocol {self.protocol_version}, in which only the voltage can be trimmed, "
                "for both directions alike and between acquisitions: update its firmware to protocol 1.1"
            )
        return command

    def _array_shape(self) -> tuple[int, int]:
        if self._shape is None:
            size: Any = self.size
            self._shape = (size[0], size[1])
        return self._shape

    def _expect(self, command: str, got: int, wanted: int) -> None:
        if got != wanted:
            raise BoardError(f"{self._who()} answered {command} with {got} bytes instead of {wanted}")

    # What goes wrong

    def _who(self) -> str:
        return f"{self.name} at {self.resource}"

    def _silent(self, *, partial: bool) -> _NoAnswer:
        self._out_of_step = self._out_of_step or partial
        how = "stopped in the middle of its answer" if partial else "did not answer"
        return _NoAnswer(
            f"{self._who()} {how} to {self._last_command!r} within {_patience(self.adapter):g} s",
            partial=partial,
        )

    def _lost_step(self, what: str) -> _BadFrame:
        self._out_of_step = True
        return _BadFrame(f"{self._who()} {what}: is it a board of this protocol, and is nobody else reading?")

    def _explained(self, command: str, silence: _NoAnswer) -> BoardError:
        """Find out why an answer failed to come, or its rest: from the error queue, where there is an answer."""
        partial = self._out_of_step
        if partial and not self._resynchronise():
            return BoardError(f"{silence}; its rest still arrives: the wire is too slow")
        match = None
        try:
            with self._in_step():
                match = _ERROR.fullmatch(super().ask("SYST:ERR?"))
        except _NoAnswer:
            self.lost = True
            return BoardError(f"{silence}; check its power and the wire", lost=True, partial=partial)
        except BoardError as error:
            if error.lost:
                return error
            # Something did answer: what was asked for before, too late.
        if partial and match is not None and int(match[1]) == 0:
            return _BadFrame(f"{silence}, and goes on answering: check the wire")
        if match is None or int(match[1]) == 0:
            self._out_of_step = True
            return BoardError(f"{self._who()} did not answer {command!r} in time, and reports no error")
        return BoardError(
            f'{self._who()} refused {command!r}: error {match[1]} "{match[2]}"',
            number=int(match[1]),
            text=match[2],
        )

    @contextlib.contextmanager
    def _in_step(self) -> Iterator[None]:
        """Remember that an answer may still be on its way when a query is left by anything unexpected."""
        try:
            yield
        except _NoAnswer:
            raise
        except BaseException:
            self._out_of_step = True
            raise

    @contextlib.contextmanager
    def _watched(self, command: str | None) -> Iterator[None]:
        """Turn what the wire raises into BoardError."""
        if command is not None:
            self._last_command = command
        try:
            yield
        except pyvisa.errors.VisaIOError as error:
            if error.error_code == StatusCode.error_timeout and not _hung_up(_visa(self.adapter)):
                raise self._silent(partial=self._out_of_step) from error
            raise self._gone(error) from error
        except (pyvisa.errors.Error, OSError, ValueError) as error:
            if isinstance(error, UnicodeError):
                raise self._lost_step("sent bytes where a line of text belongs") from error
            if isinstance(error, ValueError):
                raise
            raise self._gone(error) from error

    def _gone(self, error: Exception) -> BoardError:
        self.lost = True
        return BoardError(
            f"the connection to {self._who()} is lost ({error}): check its power and the wire",
            lost=True,
            partial=self._out_of_step,
        )

    def _be_in_step(self) -> None:
        if not self._resynchronise():
            raise BoardError(f"the rest of an answer of {self._who()} still arrives: the wire is too slow")

    def _resynchronise(self) -> bool:
        """Throw away what is left of an answer that was not read to its end; returns whether it ended."""
        if not self._out_of_step:
            return True
        if self._last_command:
            log.warning("%s: discarding what is left of an interrupted answer", self._who())
        with self._watched(None):
            self._out_of_step = not _drain(self.adapter)
        return not self._out_of_step


def _open(adapter: Adapter | str, name: str, kwargs: dict[str, Any]) -> Adapter:
    if not isinstance(adapter, str):
        return adapter
    port = _serial_port(adapter)
    try:
        if port is not None:
            return SerialAdapter(
                port,
                write_termination="\n",
                read_termination="\n",
                baudrate=kwargs.get("baud_rate", 115200),
                timeout=kwargs.get("timeout", 1000 * TIMEOUT) / 1000,
                write_timeout=TIMEOUT,
            )
        terminations = {"read_termination": "\n", "write_termination": "\n"}
        opened = VISAAdapter(
            adapter, **{"timeout": int(1000 * TIMEOUT), "open_timeout": 3000, **terminations, **kwargs}
        )
    except Exception as error:  # pyvisa-py raises a bare Exception where a host cannot be reached
        raise BoardError(
            f"{name} cannot be reached at {adapter} ({error}): check the resource, its power and the wire",
            lost=True,
        ) from error
    connection = _visa(opened)
    if connection is not None:
        _quicken(connection)
    return opened


def _serial_port(resource: str) -> str | None:
    """Return the port that pyserial knows by another name as a VISA resource, or None for any other wire."""
    match = re.fullmatch(r"ASRL(.+?)(::INSTR)?", resource, re.IGNORECASE)
    if match is None:
        return None
    if match[1].isdigit():
        return f"COM{match[1]}" if sys.platform == "win32" else None
    return match[1]


def _visa(adapter: Adapter) -> MessageBasedResource | None:
    """Return the VISA session behind an adapter, or None where it is another wire."""
    connection = adapter.connection if isinstance(adapter, VISAAdapter) else None
    return connection if isinstance(connection, MessageBasedResource) else None


def _quicken(connection: MessageBasedResource) -> None:
    """Let pyvisa-py's socket session take more than 4 KiB at a time, and send short lines without delay.

    It offers no attribute for either; another VISA library, or another version of this one, is left alone.
    """
    session = _python_session(connection)
    if session is not None and hasattr(session, "max_recv_size"):
        session.max_recv_size = max(session.max_recv_size, _CHUNK)
    wire = _socket(connection)
    if wire is not None:
        with contextlib.suppress(OSError):
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def _python_session(connection: MessageBasedResource) -> Any:
    """Return pyvisa-py's own session of a connection, or None where another VISA library is used."""
    sessions: Any = getattr(connection.visalib, "sessions", None)
    return sessions.get(connection.session) if isinstance(sessions, dict) else None


def _socket(connection: MessageBasedResource | None) -> socket.socket | None:
    """Return the socket below a connection of pyvisa-py's, or None where there is none to be seen."""
    wire = None if connection is None else getattr(_python_session(connection), "interface", None)
    return wire if isinstance(wire, socket.socket) else None


def _hung_up(connection: MessageBasedResource | None) -> bool:
    """Say whether the other end closed the connection, which pyvisa-py reports as a time-out."""
    wire = _socket(connection)
    if wire is None:
        return False
    try:
        return bool(select.select([wire], [], [], 0)[0]) and not wire.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


@contextlib.contextmanager
def _as_bytes(connection: MessageBasedResource | None) -> Iterator[None]:
    """Switch the termination character off while a block is read: it may occur in it, and looking is slow.

    pyvisa-py gives what it has where the wire is closed only with its ends not suppressed.
    """
    if connection is None:
        yield
        return
    ends = _socket(connection) is not None
    before = connection.read_termination
    connection.read_termination = None
    try:
        if ends:
            connection.set_visa_attribute(ResourceAttribute.suppress_end_enabled, False)
        yield
    finally:
        if ends:
            connection.set_visa_attribute(ResourceAttribute.suppress_end_enabled, True)
        connection.read_termination = before


def _patience(adapter: Adapter) -> float:
    """Return the seconds for which an answer is waited for, a day at most."""
    connection = _visa(adapter)
    if connection is not None:
        return min(connection.timeout / 1000, 86400.0)
    return (adapter.connection.timeout or TIMEOUT) if isinstance(adapter, SerialAdapter) else TIMEOUT


def _drain(adapter: Adapter) -> bool:
    """Read until the wire has been quiet; returns whether it was within `_LONGEST_REST`."""
    deadline = time.monotonic() + _LONGEST_REST
    connection = _visa(adapter)
    if connection is not None:
        before = connection.timeout
        try:
            with _as_bytes(connection):
                while _read_some(connection):
                    if time.monotonic() > deadline:
                        return False
        finally:
            connection.timeout = before
    if isinstance(adapter, SerialAdapter):
        before, adapter.connection.timeout = adapter.connection.timeout, _QUIET
        try:
            while adapter.connection.read(_CHUNK):
                if time.monotonic() > deadline:
                    return False
        finally:
            adapter.connection.timeout = before
    return True


def _read_some(connection: MessageBasedResource) -> bool:
    """Throw away what has arrived; returns whether there was anything.

    A read that times out does not say how much it got, so on a slow wire a few bytes are asked for after many.
    """
    for count, seconds in ((_CHUNK, _QUIET), (64, 0.1)):
        connection.timeout = 1000 * seconds
        try:
            connection.read_bytes(count)
            return True
        except pyvisa.errors.VisaIOError as error:
            if error.error_code != StatusCode.error_timeout:
                raise
    return False


def _resource_of(adapter: Adapter) -> str:
    connection = getattr(adapter, "connection", None)
    name = getattr(adapter, "resource_name", None) or getattr(connection, "port", None)
    return name if isinstance(name, str) else type(adapter).__name__
