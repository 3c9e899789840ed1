"""What a board may answer: every property reads what the dialect says, and refuses everything else in a sentence."""

import inspect
import math
import re
import struct
import zlib
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers import ArrayBoard, BoardError, CorruptBlock
from drivers.array_board._answers import Answer, boolean, integer, real, word

OK = ("SYST:ERR?", '0,"No error"')
RUBBISH = [
    "",
    "maybe",
    "ERR",
    '0,"No error"',
    "nan",
    "NAN",
    "inf",
    "-INF",
    "1e999",
    "1_0",
    "0x1",
    "1;1",
    "1,2,3",
    "--1",
    "١",
    "9e",
]
NO_INTEGER = [*RUBBISH, "3.7", "1e2", "1.0", "-1", "9" * 30]

BOOLEAN = (
    ["OFF", "ON", "0", "1"],
    [False, True, False, True],
    [*RUBBISH, "2", "-1", "0.0", "TRUE", "closed", "O", "ONN"],
)
BYTE = ["0", "255"], [0, 255], [*NO_INTEGER, "256"]
FINITE = ["-1.5", "+2", "3e-10", ".5", "7."], [-1.5, 2, 3e-10, 0.5, 7], RUBBISH
POSITIVE = ["0", "2.5E-9"], [0, 2.5e-9], [*RUBBISH, "-1e-9"]

PROPERTIES = {
    "id": ("*IDN?", ["M,ARRAY-BOARD,7,1.0"], ["M,ARRAY-BOARD,7,1.0"], ["", "1", "M,B,C", "M,B,C,D,E", "M,B,\x01,1"]),
    "complete": ("*OPC?", ["1"], [True], [*RUBBISH, "0", "OFF"]),
    "status": ("*STB?", *BYTE),
    "event_status": ("*ESR?", *BYTE),
    "event_status_enable": ("*ESE?", *BYTE),
    "service_request_enable": ("*SRE?", *BYTE),
    "error_count": ("SYST:ERR:COUN?", ["0", "32"], [0, 32], NO_INTEGER),
    "scpi_version": ("SYST:VERS?", ["1999.0"], ["1999.0"], [*RUBBISH, "1.1"]),
    "protocol_version": ("SYST:PROT?", ["1.0", "1.1"], ["1.0", "1.1"], [*RUBBISH, "1", "1.1b", "300.02.1"]),
    "origin": ("SYST:ORIG?", ["DEV", "SIM"], ["device", "simulation"], [*RUBBISH, "DEVIL", "SIMPLE", "1"]),
    "clock": ("SYST:TIME?", *POSITIVE),
    "temperature": ("SYST:TEMP?", ["300.02", "0"], [300.02, 0], [*RUBBISH, "-1"]),
    "interlock_closed": ("SYST:INT?", *BOOLEAN),
    "watchdog": ("SYST:WATC?", ["0", "0.1", "60.0"], [0, 0.1, 60], [*RUBBISH, "0.05", "61", "-5"]),
    "watchdog_trips": ("SYST:WATC:TRIP?", ["3"], [3], NO_INTEGER),
    "voltage_limit": ("LIM:VOLT?", *POSITIVE),
    "width_limit": ("LIM:WIDT?", *POSITIVE),
    "read_voltage_limit": ("LIM:READ?", *POSITIVE),
    "hold_voltage_limit": ("LIM:HOLD?", *POSITIVE),
    "hold_voltage": ("HOLD:VOLT?", *FINITE),
    "field_enabled": ("FIEL?", *BOOLEAN),
    "dac": ("PULS:DAC?", ["8,0.01,-0.01", "16, -1e-5,2"], [(8, 0.01, -0.01), (16, -1e-5, 2)],
            [*RUBBISH, "8,0,1", "1,1,1", "17,1,1", "8,1", "8,nan,1", "8.5,1,1"]),
    "dac_range": ("PULS:DAC:RANG?", ["0.3,1.1"], [(0.3, 1.1)], [*RUBBISH, "0.3", "1,nan", "1,2,3"]),
    "size": ("ARR:SIZE?", ["64,32", "1, 1"], [(64, 32), (1, 1)], [*RUBBISH, "64", "0,4", "4,-1", "4,2.5", "4,4,4"]),
    "selection": ("ARR:SEL?", ["0,1,2,3"], [(0, 1, 2, 3)],
                  [*RUBBISH, "0,1,2", "1,0,0,0", "0,0,3,2", "-1,0,0,0", "0,1,2,3.5"]),
    "voltage": ("PULS:VOLT?", *FINITE),
    "width": ("PULS:WIDT?", *POSITIVE),
    "period": ("PULS:PER?", *POSITIVE),
    "reset_voltage": ("RES:VOLT?", *FINITE),
    "reset_width": ("RES:WIDT?", *POSITIVE),
    "mode": ("SEQ:MODE?", ["RES", "TOGG", "WRIT", "FLIP", "READ"], ["reset", "toggle", "write", "flip", "read"],
             [*RUBBISH, "BITS", "RESET", "0"]),
    "read_voltage": ("SENS:VOLT?", *FINITE),
    "settle": ("SENS:SETT?", *POSITIVE),
    "output_enabled": ("OUTP?", *BOOLEAN),
    "pulses": ("ACQ:COUN?", ["0", "1000000000000000"], [0, 10**15], [*NO_INTEGER, "1000000000000001"]),
    "pulses_per_block": ("ACQ:BLOC?", ["1", "67108864"], [1, 2**26], [*NO_INTEGER, "0", "67108865"]),
    "payload": ("ACQ:FORM?", ["BITS", "RES"], ["bits", "resistances"], [*RUBBISH, "TOGG"]),
    "state": ("ACQ:STAT?", ["IDLE", "RUN", "STALL"], ["idle", "running", "stalled"], [*RUBBISH, "STOP", "1"]),
    "stalls": ("ACQ:STAL?", ["3,0.25"], [(3, 0.25)], [*RUBBISH, "3", "1,nan", "1,-2", "-1,0", "0.5,1", "1,2,3"]),
    "fifo": ("ACQ:FIFO?", ["1,256"], [(1, 256)], [*RUBBISH, "1", "-1,2", "1,0", "1.5,2"]),
    "next_error": ("SYST:ERR?", ['-222,"x; y"'], [(-222, "x; y")], ["", "0", "1.5,\"x\"", "300.02", '"No error"']),
}  # fmt: skip
BLOCKS = {
    "mask",
    "trims",
    "antiparallel_trims",
    "width_trims",
    "antiparallel_width_trims",
    "thresholds",
    "resistances",
    "codes",
}
OURS = {
    "lost",
    "patience",
    "has_all_trims",
    "has_draws",
    "options",
}  # what the driver itself knows; pymeasure's own


def test_every_property_is_here():
    found = {name for name, member in inspect.getmembers(ArrayBoard, lambda m: isinstance(m, property))}
    assert found == PROPERTIES.keys() | BLOCKS | OURS


@pytest.mark.parametrize("name", PROPERTIES)
def test_what_the_dialect_says_is_read(name: str):
    query, texts, values, _ = PROPERTIES[name]
    with expected_protocol(ArrayBoard, [(query, text) for text in texts]) as board:
        for value in values:
            got = getattr(board, name)
            assert (got, type(got)) == (value, type(value)) or isinstance(got, float)
            assert got == value


@pytest.mark.parametrize("name", PROPERTIES)
def test_everything_else_is_refused_with_question_and_answer(name: str):
    query, _, _, wrong = PROPERTIES[name]
    with expected_protocol(ArrayBoard, [(query, text) for text in wrong]) as board:
        for text in wrong:
            with pytest.raises(BoardError, match=re.escape(repr(query))) as caught:
                getattr(board, name)
            said = text.encode("ascii", "replace").decode()
            assert repr(said.strip()[:60]) in str(caught.value) or repr(said[:60]) in str(caught.value)
            assert "array board at" in str(caught.value)


@pytest.mark.parametrize("kind", [boolean(), integer(), real(), word(RES=1)])
def test_a_kind_names_itself(kind: Answer):
    with pytest.raises(ValueError, match=rf"^is not {re.escape(kind.what)}$"):
        kind("?")


@pytest.mark.parametrize(
    ("name", "queries"),
    [
        ("trims", []), ("thresholds", []), ("antiparallel_trims", [("SYST:PROT?", "1.1")]),
        ("width_trims", [("SYST:PROT?", "1.1")]), ("antiparallel_width_trims", [("SYST:PROT?", "1.1")]),
        ("resistances", [("ARR:SEL?", "0,1,0,1")]),
    ],
)  # fmt: skip
def test_cells_that_are_no_numbers_are_refused(name: str, queries: list, block):
    header = {"trims": "ARR:TRIM?", "thresholds": "ARR:THR?", "antiparallel_trims": "ARR:TRIM:ANT?",
              "width_trims": "ARR:TRIM:WIDT?", "antiparallel_width_trims": "ARR:TRIM:WIDT:ANT?",
              "resistances": "ARR:RES?"}[name]  # fmt: skip
    size = [] if name == "resistances" else [("ARR:SIZE?", "2,2")]
    cells = np.array([1, np.nan, np.inf, 2], "<f4")
    with (
        expected_protocol(ArrayBoard, [*queries, *size, (header, block(cells.tobytes()))]) as board,
        pytest.raises(
            BoardError, match=rf"{re.escape(repr(header))} with 2 values that are no finite numbers"
        ),
    ):
        getattr(board, name)


def test_a_block_whose_time_is_no_number_is_refused(block, payload):
    content = bytearray(payload(np.ones((1, 8), np.uint8)))
    content[32:40] = struct.pack("<d", math.nan)
    content[60:64] = struct.pack("<I", zlib.crc32(bytes(content[64:]), zlib.crc32(bytes(content[:60]))))
    with (
        expected_protocol(ArrayBoard, [("FETC?", block(bytes(content)))]) as board,
        pytest.raises(CorruptBlock, match="its time is nan"),
    ):
        board.fetch()


# What a host may set

NO_NUMBER = [math.nan, math.inf, -math.inf, "1.0", None, 1j, True, [0.5], np.array([0.5]), np.nan, np.float32("inf"),
             b"1", 10**400, Decimal("0.5"), np.array("1"), np.datetime64("2020")]  # fmt: skip
NO_COUNT = [*NO_NUMBER, 1.5, 1.0, np.float64(2), Fraction(3, 2), np.array(1.0), -(10**20), 10**20]
REALS = ["voltage", "width", "period", "reset_voltage", "reset_width", "read_voltage", "settle", "watchdog",
         "voltage_limit", "width_limit", "read_voltage_limit"]  # fmt: skip
COUNTS = ["pulses", "pulses_per_block", "event_status_enable", "service_request_enable"]
WORDS = ["mode", "payload"]


@pytest.mark.parametrize("name", [*REALS, *COUNTS, *WORDS, "output_enabled"])
def test_what_is_no_setting_is_never_sent(name: str):
    wrong = NO_NUMBER if name in REALS else NO_COUNT
    if name in WORDS:
        wrong = [1, None, "RES ", ["reset"], "both"]
    if name == "output_enabled":
        wrong = [*NO_NUMBER[:6], 2, "ON", 0.5, np.array([1]), -1]
    with expected_protocol(ArrayBoard, []) as board:
        for value in wrong:
            with pytest.raises(ValueError, match=r"."):
                setattr(board, name, value)


def test_a_range_that_is_no_number_lets_nothing_through():
    with expected_protocol(ArrayBoard, []) as board:
        for values in [(math.nan, 1), (-1, math.nan)]:
            board.voltage_values = values
            with pytest.raises(ValueError, match="is not within"):
                board.voltage = 0.5


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("pulses", np.int64(1000), "ACQ:COUN 1000"), ("pulses", np.array(7), "ACQ:COUN 7"),
        ("voltage", np.float32(0.5), "PULS:VOLT 0.5"), ("voltage", np.array(0.5), "PULS:VOLT 0.5"),
        ("voltage", 1, "PULS:VOLT 1"), ("voltage", Fraction(1, 2), "PULS:VOLT 0.5"),
        ("output_enabled", np.True_, "OUTP 1"), ("output_enabled", 0, "OUTP 0"),
        ("selection", np.array([0, 1, 2, 3]), "ARR:SEL 0,1,2,3"),
    ],
)  # fmt: skip
def test_numbers_of_numpy_are_numbers(name: str, value: object, sent: str):
    with expected_protocol(ArrayBoard, [(sent, None), OK]) as board:
        setattr(board, name, value)


@pytest.mark.parametrize(
    "value", [(0.5, 1, 0, 1), (0, 1, 0), "0101", 3, (0, 1, 0, math.nan), (True, 1, 0, 1), None]
)
def test_a_selection_of_no_integers(value: object):
    with expected_protocol(ArrayBoard, []) as board, pytest.raises(ValueError, match="is not first row"):
        board.selection = value


@pytest.mark.parametrize("value", [math.nan, 0.5, "yes", None, 2, [[1, 0], [0, -1]], np.array(["a"]), 1.0])
def test_a_mask_that_is_none(value: object):
    with (
        expected_protocol(ArrayBoard, [("ARR:SIZE?", "2,2")]) as board,
        pytest.raises(ValueError, match="a mask is True or False for each cell"),
    ):
        board.mask = value


@pytest.mark.parametrize("value", [math.nan, math.inf, "1.5", None, 1e300, True, 1j, [[1, 2], [3, np.nan]]])
@pytest.mark.parametrize("name", ["trims", "thresholds"])
def test_cells_that_are_no_numbers(name: str, value: object):
    with (
        expected_protocol(ArrayBoard, [("ARR:SIZE?", "2,2")]) as board,
        pytest.raises(ValueError, match="every cell needs a finite number"),
    ):
        setattr(board, name, value)


@pytest.mark.parametrize("baud_rate", [9600.5, "9600", 0, -1, True, None, math.nan])
def test_a_baud_rate_that_is_none(baud_rate: object):
    with pytest.raises(ValueError, match=r"baud are not (an integer|within)"):
        ArrayBoard("ASRL/dev/null::INSTR", baud_rate=baud_rate)


@pytest.mark.parametrize("timeout", [math.nan, math.inf, 0, -1, "2000", None, True, 1e12, [2000]])
def test_a_time_out_that_is_none(timeout: object):
    with pytest.raises(ValueError, match=r"a time-out of .* is not (a number|a finite number|within)"):
        ArrayBoard("TCPIP::127.0.0.1::1::SOCKET", timeout=timeout)


def test_an_integer_of_numpy_is_a_baud_rate():
    with pytest.raises(BoardError, match="cannot be reached at ASRL/dev/null"):
        ArrayBoard("ASRL/dev/null::INSTR", baud_rate=np.int64(9600), timeout=np.float32(500))
