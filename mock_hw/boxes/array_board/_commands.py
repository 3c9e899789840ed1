"""The board's commands: docs/array-board-protocol.md as firmware would implement it, a table over `ArrayBoard`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mock_hw._array import Selection
from mock_hw._scpi import (
    Command,
    ScpiError,
    Table,
    block,
    boolean,
    definite_block,
    integer,
    number,
    word,
)
from mock_hw.boxes._status_commands import status_commands
from mock_hw.boxes.array_board._session import Session

FIRMWARE = "1.2"
PROTOCOL = "1.2"


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

    return Command(
        header,
        lambda s: _floats(getattr(s.board.settings, name)),
        write,
        (block,),
        idle=idle,
        block_answer=True,
    )


def _floats(values: NDArray[np.float32]) -> memoryview:
    return definite_block(values.astype("<f4").tobytes())


def _whole_array(s: Session, data: bytes, dtype: str) -> NDArray[Any]:
    array = s.board.array
    cells = array.rows * array.columns
    wanted = -(-cells // 8) if dtype == "bits" else np.dtype(dtype).itemsize * cells
    if len(data) != wanted:
        raise ScpiError(-161, f"{wanted} bytes are wanted, not {len(data)}")
    if dtype == "bits":
        values = np.unpackbits(np.frombuffer(data, np.uint8), count=cells).astype(bool)
    else:
        values = np.frombuffer(data, dtype)
    return values.reshape(array.rows, array.columns)


def _code_type(s: Session) -> str:
    return "u1" if s.board.settings.dac_bits <= 8 else "<u2"


def _set_codes(s: Session, data: bytes) -> None:
    s.board.change(codes=_whole_array(s, data, _code_type(s)).astype(np.uint16))


def _dac(s: Session) -> str:
    scale, offset = s.board.settings.dac
    return f"{s.board.settings.dac_bits},{scale!r},{offset!r}"


def _set_dac_range(s: Session, low: float, high: float) -> None:
    limit = s.board.limits.voltage
    if not (max(abs(low), abs(high)) <= limit and low != high):
        raise ScpiError(-222, f"two voltages within {limit:g} V")
    s.board.change(dac_low=low, dac_high=high, codes=np.zeros_like(s.board.settings.codes))


def _dac_range(s: Session) -> str:
    return f"{s.board.settings.dac_low!r},{s.board.settings.dac_high!r}"


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


def _stalls(s: Session) -> str:
    count, seconds = s.board.acquisition.stalls
    return f"{count},{seconds!r}"


def _temperature(s: Session) -> str:
    return repr(s.board.protection.temperature + s.board.array.device.temperature_offset)


TABLE = Table(
    (
        Command("*IDN", lambda s: f"MEMTJ,{s.board.model},{s.board.serial_number},{FIRMWARE}"),
        Command("*RST", write=lambda s: s.board.reset()),
        *status_commands(lambda s: s.board.acquisition.blocks > 0),
        Command("SYSTem:VERSion", lambda s: "1999.0"),
        Command("SYSTem:PROTocol", lambda s: PROTOCOL),
        Command("SYSTem:ORIGin", lambda s: "SIM"),
        Command("SYSTem:TIME", lambda s: repr(s.board.clock.now())),
        Command("SYSTem:TEMPerature", _temperature),
        Command("SYSTem:INTerlock", lambda s: str(int(s.board.protection.interlock_closed))),
        Command(
            "SYSTem:WATChdog", lambda s: repr(s.board.settings.watchdog), _set_watchdog, parameters=(number,)
        ),
        Command("SYSTem:WATChdog:TRIPs", lambda s: str(s.board.protection.trips)),
        _limit("LIMit:VOLTage", "voltage"),
        _limit("LIMit:WIDTh", "width"),
        _limit("LIMit:READ", "read"),
        _limit("LIMit:HOLD", "hold"),
        Command("ARRay:SIZE", lambda s: f"{s.board.array.rows},{s.board.array.columns}"),
        Command("ARRay:SELect", _selected, _select, (integer,) * 4, idle=True),
        Command(
            "ARRay:MASK",
            lambda s: definite_block(np.packbits(s.board.settings.mask).tobytes()),
            lambda s, data: s.board.change(mask=_whole_array(s, data, "bits")),
            (block,),
            idle=True,
            block_answer=True,
        ),
        _cell_floats("ARRay:TRIM", "trim"),
        _cell_floats("ARRay:TRIM:ANTiparallel", "trim_ap"),
        _cell_floats("ARRay:TRIM:WIDTh", "width_trim"),
        _cell_floats("ARRay:TRIM:WIDTh:ANTiparallel", "width_trim_ap"),
        _cell_floats("ARRay:THReshold", "threshold", idle=True),
        Command(
            "ARRay:CODE",
            lambda s: definite_block(s.board.settings.codes.astype(_code_type(s)).tobytes()),
            _set_codes,
            (block,),
            idle=True,
            block_answer=True,
        ),
        Command(
            "ARRay:RESistance",
            lambda s: _floats(s.board.read_resistances()),
            idle_query=True,
            block_answer=True,
        ),
        _setting("PULSe:VOLTage", "voltage", number),
        _setting("PULSe:WIDTh", "width", number),
        _setting("PULSe:PERiod", "period", number),
        Command("PULSe:DAC", _dac),
        Command("PULSe:DAC:RANGe", _dac_range, _set_dac_range, (number, number), idle=True),
        _setting("RESet:VOLTage", "reset_voltage", number),
        _setting("RESet:WIDTh", "reset_width", number),
        Command(
            "SEQuence:MODE",
            lambda s: s.board.settings.mode,
            lambda s, mode: s.board.change(mode=mode),
            (word("RESet", "TOGGle", "WRITe", "FLIP", "READ"),),
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
        Command(
            "HOLD:VOLTage",
            lambda s: repr(s.board.settings.hold),
            lambda s, volts: s.board.set_hold(volts),
            (number,),
            idle=True,
        ),
        Command(
            "FIELd[:STATe]",
            lambda s: str(int(s.board.field_on)),
            lambda s, on: s.board.set_field(on),
            (boolean,),
            idle=True,
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
        Command("ACQuire:STATe", lambda s: s.board.acquisition.state),
        Command("ACQuire:STALls", _stalls),
        Command(
            "ACQuire:FIFO",
            lambda s: f"{s.board.acquisition.blocks},{s.board.fifo_capacity(s.board.settings)}",
        ),
        Command("INITiate[:IMMediate]", write=lambda s: s.board.initiate(s)),
        Command("ABORt", write=lambda s: s.board.acquisition.abort(), anyone=True),
        Command("FETCh[:BLOCk]", Session.fetch, owner_query=True, block_answer=True),
        Command("FETCh:AGAin", Session.fetch_again, owner_query=True, block_answer=True),
    )
)
