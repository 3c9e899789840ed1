"""The driver: what pymeasure declares of the board, and acquisitions."""

import logging
import math
import re
import time
from typing import Any

import numpy as np
from pymeasure.adapters import Adapter
from pymeasure.instruments import Instrument

from drivers._errors import BoardError, CorruptBlock

from . import _answers as answers
from . import _settings as settings
from ._block import ArrayBlock, LostBlocks, parse_block
from ._conversation import Conversation
from ._link import BadFrame

log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())

_OFF = "ABOR;:OUTP OFF"
# What a running acquisition does not forbid, so that nothing waits for its end.
_ANY_TIME = re.compile(r"\*|ABOR|OUTP", re.IGNORECASE)


class ArrayBoard(Conversation):
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
        self.duplicates = 0  # blocks of this connection that came again and were dropped
        self._expected: int | None = None  # sequence number of the next block
        self._latest = math.nan  # board time of the block that was handed out last
        self._owed = False  # whether the block fetched last was damaged, so that nobody has it
        self._ending = False  # whether the last block was fetched and nobody has seen the board idle since
        self._shape: tuple[int, int] | None = None
        self._version: tuple[int, int] | None = None
        self._code_bits: int | None = None  # the converter's, which never change
        super().__init__(adapter, name, **kwargs)

    # Common commands

    id = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride]
        "*IDN?",
        """Get the identification of the board: maker, model, serial number, firmware version (str).""",
        cast=answers.IDENTITY,
    )

    complete = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride]
        "*OPC?",
        """Get whether everything sent before is done (bool); waits until it is.""",
        cast=answers.integer(1, 1),
        get_process=bool,
    )

    status = Instrument.measurement(  # pyright: ignore[reportIncompatibleMethodOverride]
        "*STB?",
        """Get the status byte: bit 2 errors are queued, bit 4 a block waits, bit 5 event summary (int).""",
        cast=answers.integer(0, 255),
    )

    event_status = Instrument.measurement(
        "*ESR?",
        """Get the event status register of this connection, and clear it (int).""",
        cast=answers.integer(0, 255),
    )

    event_status_enable = Instrument.control(
        "*ESE?",
        "*ESE %d",
        """Control which bits of the event status register count in the status byte (int, 0 to 255).""",
        validator=settings.count("bits of the event status register"),
        values=(0, 255),
        cast=answers.integer(0, 255),
        check_set_errors=True,
    )

    service_request_enable = Instrument.control(
        "*SRE?",
        "*SRE %d",
        """Control which bits of the status byte make its master summary (int, 0 to 255).""",
        validator=settings.count("bits of the status byte"),
        values=(0, 255),
        cast=answers.integer(0, 255),
        check_set_errors=True,
    )

    # System

    error_count = Instrument.measurement(
        "SYST:ERR:COUN?",
        """Get how many errors are queued for this connection (int).""",
        cast=answers.integer(),
    )

    scpi_version = Instrument.measurement(
        "SYST:VERS?",
        """Get the version of SCPI that the board follows (str).""",
        cast=answers.matching("a version of SCPI, as 1999.0", r"\d{4}\.\d+"),
    )

    protocol_version = Instrument.measurement(
        "SYST:PROT?",
        """Get the version of the array board's dialect (str); this driver follows 1.2.""",
        cast=answers.matching("a version, as 1.1", r"\d{1,4}\.\d{1,4}"),
    )

    origin = Instrument.measurement(
        "SYST:ORIG?",
        """Get where the bits come from: "device" (physical junctions) or "simulation" (str).""",
        cast=answers.word(DEV="device", SIM="simulation"),
    )

    clock = Instrument.measurement(
        "SYST:TIME?",
        """Get the board's clock: seconds since power-on (float).""",
        cast=answers.real(0),
    )

    temperature = Instrument.measurement(
        "SYST:TEMP?",
        """Measure the temperature at the array in kelvin (float).""",
        cast=answers.real(0),
    )

    interlock_closed = Instrument.measurement(
        "SYST:INT?",
        """Get whether the interlock is closed, so that the output is possible (bool).""",
        cast=answers.boolean(twice=True),
        get_process=bool,
    )

    watchdog = Instrument.control(
        "SYST:WATC?",
        "SYST:WATC %.12g",
        """Control after how many seconds without a line from the owner the board switches off
        (float from 0.1 to 60, or 0 to disarm).""",
        validator=settings.watchdog,
        values=(0.1, 60),
        cast=answers.WATCHDOG,
        check_set_errors=True,
        dynamic=True,
    )

    watchdog_trips = Instrument.measurement(
        "SYST:WATC:TRIP?",
        """Get how often the watchdog has switched off since power-on (int).""",
        cast=answers.integer(),
    )

    # Limits

    voltage_limit = Instrument.control(
        "LIM:VOLT?",
        "LIM:VOLT %.12g",
        """Control the board's own limit in volts on pulses, trims and reset pulses included
        (float; can only be lowered until the next power cycle).""",
        validator=settings.within("voltage limit", "V"),
        values=(0, 100),
        cast=answers.real(0, twice=True),
        check_set_errors=True,
        dynamic=True,
    )

    width_limit = Instrument.control(
        "LIM:WIDT?",
        "LIM:WIDT %.12g",
        """Control the board's own limit in seconds on the widths of pulses and reset pulses
        (float; can only be lowered until the next power cycle).""",
        validator=settings.within("width limit", "s"),
        values=(0, 1),
        cast=answers.real(0, twice=True),
        check_set_errors=True,
        dynamic=True,
    )

    read_voltage_limit = Instrument.control(
        "LIM:READ?",
        "LIM:READ %.12g",
        """Control the board's own limit in volts on the read voltage
        (float; can only be lowered until the next power cycle).""",
        validator=settings.within("read voltage limit", "V"),
        values=(0, 100),
        cast=answers.real(0, twice=True),
        check_set_errors=True,
        dynamic=True,
    )

    hold_voltage_limit = Instrument.control(
        "LIM:HOLD?",
        "LIM:HOLD %.12g",
        """Control the board's own limit in volts on the hold voltage
        (float; can only be lowered until the next power cycle). Protocol 1.2, as what belongs to draws.""",
        validator=settings.within("hold voltage limit", "V"),
        values=(0, 100),
        cast=answers.real(0, twice=True),
        check_set_errors=True,
        dynamic=True,
    )

    # Array

    size = Instrument.measurement(
        "ARR:SIZE?",
        """Get the number of rows and of columns of the array (tuple of int).""",
        cast=answers.SIZE,
    )

    selection = Instrument.control(
        "ARR:SEL?",
        "ARR:SEL %d,%d,%d,%d",
        """Control the rectangle of cells that is pulsed and read: first row, last row, first column, last
        column, counted from 0, ends included (tuple of int).""",
        validator=settings.rectangle,
        cast=answers.SELECTION,
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
        used = settings.used_cells(value, self._array_shape())
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
        return self._follows() >= (1, 1)

    @property
    def has_draws(self) -> bool:
        """Get whether the board has a table of pulse codes, a hold voltage and a field to switch: protocol 1.2."""
        return self._follows() >= (1, 2)

    def _follows(self) -> tuple[int, int]:
        if self._version is None:
            match = re.match(r"(\d+)\.(\d+)", str(self.protocol_version).strip())
            self._version = (int(match[1]), int(match[2])) if match else (1, 0)
        return self._version

    @property
    def codes(self) -> np.ndarray:
        """Control the code of each cell's write pulse in the modes "write" and "flip": (rows, columns) or one for all.

        Integers of as many bits as `dac` says, uint8 or uint16; 0 is no pulse. A table takes effect whole or not at
        all.
        """
        dac: Any = self.dac
        values = np.frombuffer(self._ask_block("ARR:CODE?"), "u1" if dac[0] <= 8 else "<u2")
        rows, columns = self._array_shape()
        self._expect("ARR:CODE?", values.nbytes, values.itemsize * rows * columns)
        return values.reshape(rows, columns)

    @codes.setter
    def codes(self, value: Any) -> None:
        if self._code_bits is None:
            dac: Any = self.dac
            self._code_bits = int(dac[0])
        table = settings.pulse_codes(value, self._array_shape(), self._code_bits)
        self._write_block("ARR:CODE", table.tobytes())

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
        self._await_idle()
        return self._floats("ARR:RES?", shape)

    # Pulses

    voltage = Instrument.control(
        "PULS:VOLT?",
        "PULS:VOLT %.12g",
        """Control the voltage of the write pulse in volts, either sign (float).""",
        validator=settings.within("pulse voltage", "V"),
        values=(-10, 10),
        cast=answers.real(),
        check_set_errors=True,
        dynamic=True,
    )

    width = Instrument.control(
        "PULS:WIDT?",
        "PULS:WIDT %.12g",
        """Control the width of the write pulse at half maximum in seconds (float).""",
        validator=settings.within("pulse width", "s"),
        values=(0, 1e-3),
        cast=answers.real(0),
        check_set_errors=True,
        dynamic=True,
    )

    period = Instrument.control(
        "PULS:PER?",
        "PULS:PER %.12g",
        """Control the seconds from the start of a pulse to the start of its read (float, at least 6 ns).""",
        validator=settings.within("pulse period", "s"),
        values=(6e-9, 1),
        cast=answers.real(0),
        check_set_errors=True,
        dynamic=True,
    )

    dac = Instrument.measurement(
        "PULS:DAC?",
        """Get what pulse codes stand for: bits of a code, volts per code (either sign), and the volts that code 0
        would have, were it a pulse (tuple of int, float, float).""",
        cast=answers.DAC,
    )

    dac_range = Instrument.control(
        "PULS:DAC:RANG?",
        "PULS:DAC:RANG %.12g,%.12g",
        """Control the volts of code 1 and of the highest code (tuple of float); every code is 0 thereafter.""",
        validator=settings.voltage_range,
        values=(-10, 10),
        cast=answers.DAC_RANGE,
        check_set_errors=True,
        dynamic=True,
    )

    reset_voltage = Instrument.control(
        "RES:VOLT?",
        "RES:VOLT %.12g",
        """Control the voltage of the reset pulse in volts (float).""",
        validator=settings.within("reset voltage", "V"),
        values=(-10, 10),
        cast=answers.real(),
        check_set_errors=True,
        dynamic=True,
    )

    reset_width = Instrument.control(
        "RES:WIDT?",
        "RES:WIDT %.12g",
        """Control the width of the reset pulse in seconds (float).""",
        validator=settings.within("reset width", "s"),
        values=(0, 1e-3),
        cast=answers.real(0),
        check_set_errors=True,
        dynamic=True,
    )

    mode = Instrument.control(
        "SEQ:MODE?",
        "SEQ:MODE %s",
        """Control the sequence of a pulse: "reset" (reset, read, write, read) or "toggle" (write, read); "write" and
        "flip" are these two with pulses by the table of codes; "read" is a reading without a pulse.""",
        validator=settings.one_of("mode"),
        values={"reset": "RES", "toggle": "TOGG", "write": "WRIT", "flip": "FLIP", "read": "READ"},
        map_values=True,
        cast=answers.word(RES="RES", TOGG="TOGG", WRIT="WRIT", FLIP="FLIP", READ="READ"),
        check_set_errors=True,
    )

    read_voltage = Instrument.control(
        "SENS:VOLT?",
        "SENS:VOLT %.12g",
        """Control the read voltage in volts (float).""",
        validator=settings.within("read voltage", "V"),
        values=(-10, 10),
        cast=answers.real(),
        check_set_errors=True,
        dynamic=True,
    )

    settle = Instrument.control(
        "SENS:SETT?",
        "SENS:SETT %.12g",
        """Control how many seconds the read voltage is applied before a reading (float from 1 ns to 1 s).""",
        validator=settings.within("settle time", "s"),
        values=(1e-9, 1),
        cast=answers.real(0),
        check_set_errors=True,
        dynamic=True,
    )

    # Output

    output_enabled = Instrument.control(
        "OUTP?",
        "OUTP %d",
        """Control whether pulses and read voltage reach the array (bool); the connection that switches it on
        owns the board.""",
        validator=settings.switch,
        values={True: 1, False: 0},
        map_values=True,
        cast=answers.boolean(twice=True),
        check_set_errors=True,
    )

    hold_voltage = Instrument.control(
        "HOLD:VOLT?",
        "HOLD:VOLT %.12g",
        """Control the volts at which cells are held between pulses (float, either sign); needs the output on, with
        which it goes off.""",
        validator=settings.within("hold voltage", "V"),
        values=(-10, 10),
        cast=answers.real(twice=True),
        check_set_errors=True,
        dynamic=True,
    )

    field_enabled = Instrument.control(
        "FIEL?",
        "FIEL %d",
        """Control the field that is applied to the array (bool). Switching it on needs the output on, with which it
        then goes off.""",
        validator=settings.switch,
        values={True: 1, False: 0},
        map_values=True,
        cast=answers.boolean(twice=True),
        check_set_errors=True,
    )

    # Acquisition

    pulses = Instrument.control(
        "ACQ:COUN?",
        "ACQ:COUN %d",
        """Control the number of pulses per cell of an acquisition (int; 0 = until it is aborted).""",
        validator=settings.count("pulses"),
        values=(0, 10**15),
        cast=answers.integer(0, 10**15),
        check_set_errors=True,
        dynamic=True,
    )

    pulses_per_block = Instrument.control(
        "ACQ:BLOC?",
        "ACQ:BLOC %d",
        """Control the number of pulses per cell in a block (int; 2**26 bits or 2**21 readings at most).""",
        validator=settings.count("pulses per block"),
        values=(1, 2**26),
        cast=answers.integer(1, 2**26),
        check_set_errors=True,
        dynamic=True,
    )

    payload = Instrument.control(
        "ACQ:FORM?",
        "ACQ:FORM %s",
        """Control what blocks hold: "bits", or "resistances" in ohms (str).""",
        validator=settings.one_of("payload"),
        values={"bits": "BITS", "resistances": "RES"},
        map_values=True,
        cast=answers.word(BITS="BITS", RES="RES"),
        check_set_errors=True,
    )

    state = Instrument.measurement(
        "ACQ:STAT?",
        """Get the state of the acquisition: "idle", "running", or "stalled" by a full FIFO (str).""",
        cast=answers.word(IDLE="idle", RUN="running", STALL="stalled"),
    )

    stalls = Instrument.measurement(
        "ACQ:STAL?",
        """Get how often and for how many seconds the acquisition stalled (tuple of int and float).""",
        cast=answers.STALLS,
    )

    fifo = Instrument.measurement(
        "ACQ:FIFO?",
        """Get how many blocks are in the FIFO and how many it can hold (tuple of int).""",
        cast=answers.FIFO,
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
            self._ending = False
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
        return self.values("*TST?", cast=answers.integer())[0]

    def request_completion(self) -> None:
        """Have bit 0 of the event status register set when everything sent before is done."""
        self.write("*OPC")

    def wait_for_completion(self) -> None:
        """Have the board wait with what follows until everything sent before is done."""
        self.write("*WAI")

    def switch_off(self) -> bool:
        """Abort and switch the output off, whatever errors are queued; returns whether it is off.

        Raises BoardError, which says what was sent, where the board does not tell.
        """
        with self.lock:
            self._ending = False
            self.write(_OFF)
            try:
                return not self.output_enabled
            except BoardError as error:
                raise BoardError(
                    f"{_OFF!r} was sent, and whether the output is off is not known: {error}",
                    number=error.number,
                    text=error.text,
                    lost=error.lost,
                ) from error

    def shutdown(self) -> None:
        """Abort and switch the output off; logs what fails and never raises."""
        try:
            if not self.switch_off():
                log.critical("%s says that its output is still on: switch it off by hand", self.who)
        except Exception as error:
            log.critical("%s may still be on until its watchdog trips: %s", self.who, error)
        super().shutdown()

    # Acquisitions

    def write(self, command: str, **kwargs: Any) -> None:
        """Write one line, once an acquisition whose last block was fetched has ended; see `Instrument.write`."""
        with self.lock:
            if self._ending and not _ANY_TIME.match(command):
                self._await_idle()
            super().write(command, **kwargs)

    def _await_idle(self) -> None:
        """Wait until a board that has delivered its last block is idle: before, it refuses settings.

        A board is idle by then (docs/array-board-protocol.md); one that is not at once is given the time of an answer.
        """
        if not self._ending:
            return
        self._ending = False
        deadline = time.monotonic() + self.patience
        while self.state != "idle":
            if time.monotonic() > deadline:
                raise BoardError(
                    f"{self.who} has delivered the last block of its acquisition and is still not idle after "
                    f"{self.patience:g} s: abort it, and look at its firmware"
                )
            time.sleep(0.001)

    def _fetch(self, command: str) -> ArrayBlock | None:
        self._owed = True
        try:
            payload = self._ask_block(command)
        except BadFrame as error:
            raise CorruptBlock(str(error)) from error
        block = parse_block(payload, self.who) if len(payload) else None
        self._owed = False
        self._ending = block is not None and block.last
        return block

    def _is_duplicate(self, block: ArrayBlock) -> bool:
        """Say whether a block was handed out before, by its number; counts it, and warns of the first.

        The first one of an acquisition may be that of the acquisition before, whose board time it has.
        """
        left_over = self._expected == 0 and block.time == self._latest
        if self._expected is None or (block.sequence >= self._expected and not left_over):
            return False
        self.duplicates += 1
        log.log(
            logging.WARNING if self.duplicates == 1 else logging.DEBUG,
            "%s sent block %d again; repeated blocks are dropped",
            self.who,
            block.sequence,
        )
        return True

    def _in_sequence(self, block: ArrayBlock) -> ArrayBlock:
        self._latest = block.time
        expected, self._expected = self._expected, max(self._expected or 0, block.sequence + 1)
        if expected is not None and block.sequence > expected:
            missing = block.sequence - expected
            raise LostBlocks(
                f"{missing} block{'s are' if missing > 1 else ' is'} missing before block {block.sequence} "
                f"of {self.who}: is something else fetching from it?",
                missing=missing,
                block=block,
            )
        return block

    # Cells

    def _ask_cells(self, command: str) -> np.ndarray:
        return self._floats(command, self._array_shape())

    def _floats(self, command: str, shape: tuple[int, int]) -> np.ndarray:
        values = np.frombuffer(self._ask_block(command), np.uint8)
        self._expect(command, len(values), 4 * shape[0] * shape[1])
        numbers = values.view("<f4").reshape(shape)
        if not np.isfinite(numbers).all():
            raise BoardError(
                f"{self.who} answered {command!r} with {np.count_nonzero(~np.isfinite(numbers))} values that are no "
                "finite numbers: look at its firmware"
            )
        return numbers

    def _write_cells(self, command: str, value: Any) -> None:
        self._write_block(command, settings.cell_values(command, value, self._array_shape()).tobytes())

    def _write_block(self, command: str, content: bytes) -> None:
        length = str(len(content)).encode()
        with self.lock:
            self._await_idle()
            self.write_bytes(command.encode() + b" #%d" % len(length) + length + content + b"\n")
            self.check_errors()

    def _since_1_1(self, command: str) -> str:
        """Give the command back; raises BoardError where the board does not have it."""
        if not self.has_all_trims:
            raise BoardError(
                f"{self.who} follows protocol {self.protocol_version}, in which only the voltage can be trimmed, "
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
            raise BoardError(f"{self.who} answered {command!r} with {got} bytes instead of {wanted}")
