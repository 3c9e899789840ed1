"""What the driver sends and understands, line by line."""

import inspect
import math
import struct
import zlib

import numpy as np
import pytest
from pymeasure.test import expected_protocol

from drivers import ArrayBoard, BoardError, CorruptBlock, LostBlocks

OK = ("SYST:ERR?", '0,"No error"')
EMPTY = b"#10\n"


@pytest.mark.parametrize(
    ("name", "value", "sent", "query", "answer"),
    [
        ("voltage", -1.34, "PULS:VOLT -1.34", "PULS:VOLT?", "-1.34"),
        ("width", 0.34e-9, "PULS:WIDT 3.4e-10", "PULS:WIDT?", "3.4E-10"),
        ("period", 6e-9, "PULS:PER 6e-09", "PULS:PER?", "6e-9"),
        ("reset_voltage", 1.55, "RES:VOLT 1.55", "RES:VOLT?", "1.55"),
        ("reset_width", 0.595e-9, "RES:WIDT 5.95e-10", "RES:WIDT?", "5.95e-10"),
        ("read_voltage", 0.1, "SENS:VOLT 0.1", "SENS:VOLT?", "0.1"),
        ("settle", 1e-6, "SENS:SETT 1e-06", "SENS:SETT?", "1e-6"),
        ("voltage_limit", 1.8, "LIM:VOLT 1.8", "LIM:VOLT?", "1.8"),
        ("width_limit", 2e-9, "LIM:WIDT 2e-09", "LIM:WIDT?", "2e-9"),
        ("read_voltage_limit", 0.2, "LIM:READ 0.2", "LIM:READ?", "0.2"),
        ("watchdog", 0, "SYST:WATC 0", "SYST:WATC?", "0"),
        ("mode", "toggle", "SEQ:MODE TOGG", "SEQ:MODE?", "TOGG"),
        ("payload", "resistances", "ACQ:FORM RES", "ACQ:FORM?", "RES"),
        ("pulses", 10**15, "ACQ:COUN 1000000000000000", "ACQ:COUN?", "1000000000000000"),
        ("pulses_per_block", 2048, "ACQ:BLOC 2048", "ACQ:BLOC?", "2048"),
        ("output_enabled", True, "OUTP 1", "OUTP?", "1"),
        ("selection", (0, 1, 2, 3), "ARR:SEL 0,1,2,3", "ARR:SEL?", "0,1,2,3"),
        ("event_status_enable", 60, "*ESE 60", "*ESE?", "60"),
        ("service_request_enable", 20, "*SRE 20", "*SRE?", "20"),
    ],
)
def test_settings_go_both_ways(name: str, value: object, sent: str, query: str, answer: str):
    with expected_protocol(ArrayBoard, [(sent, None), OK, (query, answer)]) as board:
        setattr(board, name, value)
        assert getattr(board, name) == value


@pytest.mark.parametrize(
    ("name", "query", "answer", "value"),
    [
        ("id", "*IDN?", "Maker,ARRAY-BOARD X,7,1.0", "Maker,ARRAY-BOARD X,7,1.0"),
        ("complete", "*OPC?", "1", True),
        ("status", "*STB?", "20", 20),
        ("event_status", "*ESR?", "32", 32),
        ("error_count", "SYST:ERR:COUN?", "3", 3),
        ("scpi_version", "SYST:VERS?", "1999.0", "1999.0"),
        ("protocol_version", "SYST:PROT?", "1.0", "1.0"),
        ("origin", "SYST:ORIG?", "DEV", "device"),
        ("origin", "SYST:ORIG?", "SIM", "simulation"),
        ("clock", "SYST:TIME?", "12.5", 12.5),
        ("temperature", "SYST:TEMP?", "300.02", 300.02),
        ("interlock_closed", "SYST:INT?", "0", False),
        ("watchdog_trips", "SYST:WATC:TRIP?", "2", 2),
        ("size", "ARR:SIZE?", "64,32", (64, 32)),
        ("state", "ACQ:STAT?", "STALL", "stalled"),
        ("stalls", "ACQ:STAL?", "3,0.25", (3, 0.25)),
        ("fifo", "ACQ:FIFO?", "1,256", (1, 256)),
    ],
)
def test_measurements(name: str, query: str, answer: str, value: object):
    with expected_protocol(ArrayBoard, [(query, answer)]) as board:
        assert getattr(board, name) == value


def test_commands_without_a_value():
    lines = [
        ("*CLS", None), ("*OPC", None), ("*WAI", None), ("*TST?", "0"), ("*RST", None), OK, ("INIT", None), OK,
        ("ABOR", None), OK,
    ]  # fmt: skip
    with expected_protocol(ArrayBoard, lines) as board:
        board.clear()
        board.request_completion()
        board.wait_for_completion()
        assert board.self_test() == 0
        board.reset()
        board.start()
        board.abort()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("voltage", 10.1), ("voltage", math.nan), ("width", -1e-12), ("period", 5.9e-9), ("settle", 0.9e-9),
        ("watchdog", 0.05), ("watchdog", 61), ("mode", "both"), ("payload", "floats"), ("pulses", -1),
        ("pulses_per_block", 0), ("selection", (1, 0, 0, 0)), ("output_enabled", 2),
    ],
)  # fmt: skip
def test_a_value_out_of_range_is_never_sent(name: str, value: object):
    with expected_protocol(ArrayBoard, []) as board, pytest.raises(ValueError):  # noqa: PT011
        setattr(board, name, value)


def test_ranges_are_dynamic_and_name_the_quantity():
    with expected_protocol(ArrayBoard, [("PULS:VOLT 1.8", None), OK]) as board:
        board.voltage_values = (-1.8, 1.8)
        board.voltage = 1.8
        with pytest.raises(ValueError, match=r"pulse voltage of 1\.81 V is not within -1\.8 to 1\.8 V"):
            board.voltage = 1.81


def test_cells_travel_as_blocks(block):
    trims = np.array([[0.25, -0.5], [0, 10]], "<f4")
    used = np.array([[True, False], [True, True]])
    thresholds = np.full((2, 2), 1e5, "<f4")
    lines = [
        ("ARR:SIZE?", "2,2"),
        (b"ARR:TRIM " + block(trims.tobytes()), None), OK, ("ARR:TRIM?", block(trims.tobytes())),
        (b"ARR:MASK " + block(b"\xb0"), None), OK, ("ARR:MASK?", block(b"\xb0")),
        (b"ARR:THR " + block(thresholds.tobytes()), None), OK, ("ARR:THR?", block(thresholds.tobytes())),
        ("ARR:SEL?", "0,0,0,1"), ("ARR:RES?", block(thresholds[0].tobytes())),
        ("ARR:TRIM?", block(b"1234")),
        ("SYST:PROT?", "1.1"),
        (b"ARR:TRIM:ANT " + block(trims.tobytes()), None), OK, ("ARR:TRIM:ANT?", block(trims.tobytes())),
        (b"ARR:TRIM:WIDT " + block(trims.tobytes()), None), OK, ("ARR:TRIM:WIDT?", block(trims.tobytes())),
        (b"ARR:TRIM:WIDT:ANT " + block(trims.tobytes()), None), OK, ("ARR:TRIM:WIDT:ANT?", block(trims.tobytes())),
    ]  # fmt: skip
    with expected_protocol(ArrayBoard, lines) as board:
        board.trims = trims
        np.testing.assert_array_equal(board.trims, trims)
        board.mask = used
        np.testing.assert_array_equal(board.mask, used)
        board.thresholds = 1e5
        np.testing.assert_array_equal(board.thresholds, thresholds)
        np.testing.assert_array_equal(board.resistances, thresholds[:1])
        with pytest.raises(BoardError, match="4 bytes instead of 16"):
            _ = board.trims
        with pytest.raises(ValueError, match="finite"):
            board.trims = np.nan
        for name in ("antiparallel_trims", "width_trims", "antiparallel_width_trims"):
            setattr(board, name, trims)
            np.testing.assert_array_equal(getattr(board, name), trims)
        assert board.has_all_trims


def test_a_board_of_protocol_1_0_says_which_trims_it_lacks():
    with expected_protocol(
        ArrayBoard, [("SYST:PROT?", "1.0"), ("SYST:PROT?", "1.0")] + 2 * [("SYST:PROT?", "1.0")]
    ) as board:
        assert not board.has_all_trims
        for name in ("antiparallel_trims", "width_trims", "antiparallel_width_trims"):
            with pytest.raises(BoardError, match=r"protocol 1\.0, in which only the voltage can be trimmed"):
                setattr(board, name, 0)


def test_a_block_is_read_whole(block, payload):
    bits = np.random.default_rng(1).integers(0, 2, (3, 10), np.uint8)
    valid = np.ones_like(bits)
    valid[1, 4] = 0
    content = payload(bits & valid, valid=valid, flags=4 | 8 | 32, failed=1, generation=7)
    with expected_protocol(ArrayBoard, [("FETC?", block(content)), ("FETC?", EMPTY)]) as board:
        got = board.fetch()
        assert board.fetch() is None
    assert got is not None
    assert got.bits is not None
    assert got.valid is not None
    assert (got.sequence, got.positions, got.cells, got.pulses, got.time) == (0, 30, 10, 3, 1.5)
    assert (got.failed_resets, got.toggle, got.stalled, got.simulated, got.last) == (
        1,
        True,
        True,
        False,
        True,
    )
    np.testing.assert_array_equal(np.unpackbits(got.bits, count=30).reshape(3, 10), bits & valid)
    np.testing.assert_array_equal(np.unpackbits(got.valid, count=30).reshape(3, 10), valid)
    assert not got.bits.flags.writeable
    assert got.generation == 7


def test_a_block_of_resistances(block):
    readings = np.array([[7e4, np.nan], [1.7e5, 8e4]], "<f4")
    head = b"MTJB" + struct.pack("<HHQQIIdQIII", 1, 64, 0, 4, 2, 2, 0.0, 0, 3, 0, 0)
    data = readings.tobytes() + b"\xb0"
    content = head + struct.pack("<I", zlib.crc32(head + data)) + data
    with expected_protocol(ArrayBoard, [("FETC?", block(content))]) as board:
        got = board.fetch()
    assert got is not None
    np.testing.assert_array_equal(got.resistances, readings)
    assert got.bits is None


@pytest.mark.parametrize("at", [3, 9, 20, 61, 66])
def test_a_flipped_bit_is_noticed_and_the_block_had_again(at: int, block, payload):
    good = payload(np.ones((8, 8), np.uint8))
    bad = bytearray(good)
    bad[at] ^= 1
    with expected_protocol(ArrayBoard, [("FETC?", block(bytes(bad))), ("FETC:AGA?", block(good))]) as board:
        with pytest.raises(CorruptBlock, match=r"array board at"):
            board.fetch()
        again = board.fetch_again()
    assert again is not None
    assert again.sequence == 0


def test_a_repeated_block_is_dropped_and_a_gap_raises(block, payload):
    blocks = [block(payload(np.ones((1, 8), np.uint8), sequence=n)) for n in (0, 0, 1, 4, 5)]
    lines = [("INIT", None), OK, *[("FETC?", each) for each in blocks]]
    with expected_protocol(ArrayBoard, lines) as board:
        board.start()
        assert [board.fetch().sequence, board.fetch().sequence] == [0, 1]  # type: ignore[union-attr]
        with pytest.raises(LostBlocks, match="2 blocks are missing") as caught:
            board.fetch()
        assert caught.value.missing == 2
        assert caught.value.block.sequence == 4
        assert board.duplicates == 1
        assert board.fetch().sequence == 5  # type: ignore[union-attr]


def test_a_repetition_that_arrives_damaged_is_dropped_all_the_same(block, payload):
    """Asked for again it is whole, and it is the block that was handed out before, not the next one."""
    first, second = (block(payload(np.ones((1, 8), np.uint8), sequence=n)) for n in (0, 1))
    damaged = first[:60] + bytes([first[60] ^ 1]) + first[61:]
    lines = [
        ("INIT", None),
        OK,
        ("FETC?", first),
        ("FETC?", damaged),
        ("FETC:AGA?", first),
        ("FETC?", second),
    ]
    with expected_protocol(ArrayBoard, lines) as board:
        board.start()
        assert board.fetch().sequence == 0  # type: ignore[union-attr]
        with pytest.raises(CorruptBlock):
            board.fetch()
        assert board.fetch_again().sequence == 1  # type: ignore[union-attr]
        assert board.duplicates == 1


def test_the_error_queue_becomes_an_exception():
    lines = [
        ("PULS:VOLT 1.9", None),
        ("SYST:ERR?", '-222,"Data out of range; above LIMit:VOLTage, 1.8 V"'),
        ("SYST:ERR?", '101,"Watchdog expired"'),
        OK,
    ]
    with expected_protocol(ArrayBoard, lines) as board:
        with pytest.raises(
            BoardError, match=r"-222 .*above LIMit.*then 101 .*after 'PULS:VOLT 1.9'.*busy"
        ) as caught:
            board.voltage = 1.9
    assert (caught.value.number, caught.value.text.split(";")[0]) == (-222, "Data out of range")


def test_shutdown_never_raises():
    with expected_protocol(ArrayBoard, [("ABOR;:OUTP OFF", None), ("OUTP?", "0")]) as board:
        board.shutdown()
        assert board.isShutdown


def test_docstrings_are_as_pymeasure_wants_them():
    for name, member in inspect.getmembers(ArrayBoard, lambda m: isinstance(m, property)):
        text = inspect.getdoc(member) or ""
        assert text.startswith(("Control ", "Get ", "Set ", "Measure ")), name
