"""Faults of the simulated board over a real socket: from the lab file, by command, reproducible by seed."""

import contextlib
import socket
import time
import zlib

import numpy as np
import pytest

from mock_hw import Lab, LabError
from mock_hw.testing import board_lab
from tests.mock_hw.conftest import OPERATING, SMALL

TOGGLE = f"{OPERATING};:SEQ:MODE TOGG"
# Small blocks, so many of them: 8 pulses of 12 × 10 cells.


def start(client, blocks: int = 0) -> None:
    client.send(f"{TOGGLE};:ACQ:COUN {8 * blocks};BLOC 8;:OUTP ON;:INIT")


def is_whole(payload: bytes) -> bool:
    return (
        payload[:8] == b"MTJB\x01\x00\x40\x00"
        and zlib.crc32(payload[64:], zlib.crc32(payload[:60])).to_bytes(4, "little") == payload[60:64]
    )


# Setting, listing, clearing

COMMANDS = {
    "SHORt 1,2": {"kind": "short", "row": 1, "column": 2},
    "OPEN 11,9": {"kind": "open", "row": 11, "column": 9},
    "STUCk 0,0,P": {"kind": "stuck", "row": 0, "column": 0, "state": "P"},
    "STUCk 3,4,AP": {"kind": "stuck", "row": 3, "column": 4, "state": "AP"},
    "DRIFt -0.25": {"kind": "drift", "volts_per_hour": -0.25},
    "DROP 7": {"kind": "drop", "after_blocks": 7},
    "CORRupt 3,2": {"kind": "corrupt", "after_blocks": 3, "count": 2},
    "DUPLicate 4": {"kind": "duplicate", "after_blocks": 4},
    "SKIP 3,2": {"kind": "skip", "after_blocks": 3, "count": 2},
    "FIFO 5": {"kind": "fifo", "blocks": 5},
    "RATE 250000": {"kind": "rate", "bytes_per_second": 250000},
    "TEMPerature 370": {"kind": "temperature", "kelvin": 370},
    "INTerlock 0": {"kind": "interlock"},
    "DELay 0.01": {"kind": "delay", "seconds": 0.01},
    "MUTE 2": {"kind": "mute", "answers": 2},
    "IDENtity MODEL2400": {"kind": "identity", "model": "MODEL2400"},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_command_and_lab_file_set_the_same_fault(serve, connect_to, command):
    by_file, by_command = connect_to(serve(COMMANDS[command])), connect_to(serve())
    assert by_command.ask("SIM:FAUL?") == '""'
    by_command.send(f"simulator:fault:{command}")
    assert by_command.ask("SIM:FAUL?") == by_file.ask("SIM:FAUL?") == f'"{command}"'
    for client in (by_file, by_command):
        client.send("SIM:FAUL:CLE")
        assert client.ask("SIM:FAUL?") == '""'
        assert client.ask("SYST:ERR?;:SYST:INT?") == '0,"No error";1'
        assert float(client.ask("SYST:TEMP?")) == pytest.approx(300, abs=3)
        assert client.ask("*IDN?") == "MEMTJ,ARRAY-BOARD-SIM,0001,1.2"


@pytest.mark.parametrize(
    ("command", "error"),
    [
        ("SHOR 12,0", -222), ("SHOR 0,10", -222), ("SHOR -1,0", -222), ("SHOR 1", -109), ("OPEN 1,2,3", -108),
        ("STUC 1,2,X", -104), ("STUC 1,2", -109), ("DRIF fast", -104), ("DROP -1", -222), ("CORR 1", -109),
        ("CORR 1,0", -222), ("DUPL", -109), ("SKIP 1", -109), ("SKIP 1,0", -222), ("REF -1", -222),
        ("FIFO 1", -222), ("RATE 99", -222), ("ERR 0", -222), ("ERR 17", -222),
        ("TEMP -1", -222), ("TEMP 0", -222), ("INT maybe", -104), ("DEL 61", -222), ("MUTE -1", -222),
        ("IDEN A/B", -104), ("CLE 1", -108), ("NONS", -113), ("SHORTED 1,1", -113),
    ],
)  # fmt: skip
def test_a_wrong_command_is_an_error_and_breaks_nothing(serve, connect_to, command, error):
    client = connect_to(serve())
    assert client.errors(f"SIM:FAUL:{command}") == [error]
    assert client.ask("SIM:FAUL?") == '""'


def test_anybody_may_break_it_at_any_time_and_power_does_not_mend_it(serve, connect_to):
    lab = serve()
    owner, other = connect_to(lab), connect_to(lab)
    start(owner)
    assert owner.ask("OUTP?") == "1"
    assert other.errors("SIM:FAUL:FIFO 4;SHOR 1,1") == []
    lab.power_cycle()
    client = connect_to(lab)
    client.send("*RST")
    assert client.ask("SIM:FAUL?") == '"SHORt 1,1","FIFO 4"'
    assert client.ask("ACQ:FIFO?") == "0,4"


WRONG = {
    "boxes.board.faults.0: say by 'kind'": {"row": 1},
    "boxes.board.faults.0: .*'shrot'.*'short'": {"kind": "shrot"},
    r"boxes\.board\.faults\.0\.short\.rwo: Extra inputs": {"kind": "short", "rwo": 1, "column": 2},
    "boxes.board.faults.0.short: give 'row' and 'column'": {"kind": "short", "row": 1},
    "boxes.board.faults.0.open: give 'row' and 'column'": {"kind": "open", "row": 1, "column": 1, "cells": 2},
    "boxes.board.faults.0.stuck.state: .*'P' or 'AP'": {"kind": "stuck", "cells": 2, "state": "up"},
    r"boxes.board: faults.0 \(short\) does not fit an array of 12 × 10": {"kind": "short", "row": 12, "column": 0},
    r"boxes.board: faults.0 \(open\) does not fit": {"kind": "open", "cells": 121},
    "boxes.board.faults.0.drift.volts_per_hour: .*finite": {"kind": "drift", "volts_per_hour": float("nan")},
    "boxes.board.faults.0.drop.after_blocks: .*integer": {"kind": "drop", "after_blocks": "3"},
    "boxes.board.faults.0.corrupt.count: .*greater": {"kind": "corrupt", "count": 0},
    "boxes.board.faults.0.skip.count: .*greater": {"kind": "skip", "count": 0},
    "boxes.board.faults.0.refuse.seconds: Field required": {"kind": "refuse"},
    "boxes.board.faults.0.fifo.blocks: .*greater than or equal to 2": {"kind": "fifo", "blocks": 1},
    "boxes.board.faults.0.rate.bytes_per_second: Field required": {"kind": "rate"},
    "boxes.board.faults.0.error: 17 is no error of the board's": {"kind": "error", "number": 17},
    "boxes.board.faults.0.temperature.kelvin: Field required": {"kind": "temperature", "after_blocks": 2},
    "boxes.board.faults.0.temperature.kelvin: .*greater than 0": {"kind": "temperature", "kelvin": 0.0},
    "boxes.board.faults.0.delay.seconds: .*60": {"kind": "delay", "seconds": 61.0},
    "boxes.board.faults.0.identity.model: .*pattern": {"kind": "identity", "model": "A B"},
}  # fmt: skip


@pytest.mark.parametrize("message", WRONG)
def test_a_wrong_table_is_one_sentence_with_file_and_key(lab_file, message):
    def toml(value: object) -> str:
        return f'"{value}"' if isinstance(value, str) else str(value)

    table = "\n".join(f"{key} = {toml(value)}" for key, value in WRONG[message].items())
    path = lab_file(
        f'[boxes.board]\nkind = "array-board"\nrows = 12\ncolumns = 10\n[[boxes.board.faults]]\n{table}\n'
    )
    with pytest.raises(LabError, match=message) as caught:
        Lab.from_toml(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


# Cells


def readings(client) -> np.ndarray:
    client.send("SENS:VOLT 0.1;:OUTP ON")
    return np.frombuffer(client.block("ARR:RES?"), "<f4").reshape(12, 10)


def test_broken_cells_read_what_their_fault_makes_them_read(serve, connect_to):
    client = connect_to(serve())
    sound = readings(client)
    client.send("SIM:FAUL:SHOR 1,2;OPEN 3,4;STUC 5,6,P;STUC 7,8,AP")
    for _ in range(5):
        client.send(f"{TOGGLE};:ACQ:COUN 1;BLOC 1;:INIT")
        client.block("FETC?")
        broken = readings(client)
        assert 250 < broken[1, 2] < 350
        assert broken[3, 4] > 5e5  # as far as the converter goes
        assert broken[5, 6] < 100e3
        assert broken[7, 8] > 150e3
    client.send("SIM:FAUL:CLE")
    assert ((readings(client) > 50e3) & (readings(client) < 250e3)).all()
    assert ((sound > 50e3) & (sound < 250e3)).all()


def test_one_cell_has_one_fault(serve, connect_to):
    client = connect_to(serve())
    client.send("SIM:FAUL:SHOR 1,2;STUC 1,2,P;OPEN 1,2")
    assert client.ask("SIM:FAUL?") == '"OPEN 1,2"'


def test_the_seed_chooses_the_cells(serve, connect_to):
    faults = (
        {"kind": "short", "cells": 5},
        {"kind": "stuck", "cells": 110, "state": "AP"},
        {"kind": "open", "row": 0, "column": 0},
    )
    lists = [connect_to(serve(*faults, seed=seed)).ask("SIM:FAUL?") for seed in (8, 8, 9)]
    assert lists[0] == lists[1] != lists[2]
    for each in lists:
        assert (each.count("SHORt"), each.count("STUCk"), each.count("OPEN")) == (5, 110, 1)
    # Another fault beside it moves nobody.
    short = [item for item in lists[0].split('"') if item.startswith("SHORt")]
    alone = connect_to(serve(faults[0], faults[2], seed=8)).ask("SIM:FAUL?")
    assert [item for item in alone.split('"') if item.startswith("SHORt")] == short


# Blocks and the wire


@pytest.mark.parametrize("source", ["command", "file"])
def test_corrupted_blocks_and_their_repetition(serve, connect_to, source):
    faults = ({"kind": "corrupt", "after_blocks": 2}, {"kind": "corrupt", "after_blocks": 5, "count": 3})
    client = connect_to(serve(*(faults if source == "file" else ())))
    if source == "command":
        client.send("SIM:FAUL:CORR 2,1;CORR 5,3")
    start(client, 10)
    seen = []
    for _ in range(10):
        seen.append([is_whole(client.block("FETC?"))])
        while not seen[-1][-1]:
            seen[-1].append(is_whole(client.block("FETC:AGA?")))
    good, once, thrice = [True], [False, True], [False, False, False, True]
    assert seen == [good, good, once, good, good, thrice, good, good, good, good]
    assert client.ask("SIM:FAUL?") == '""'


def test_the_seed_decides_which_bit_is_damaged(serve, connect_to):
    flips = []
    for seed in (3, 3, 4):
        client = connect_to(serve({"kind": "corrupt"}, seed=seed))
        start(client, 1)
        damaged, whole = client.block("FETC?"), client.block("FETC:AGA?")
        assert is_whole(whole)
        changed = np.unpackbits(np.frombuffer(damaged, np.uint8) ^ np.frombuffer(whole, np.uint8))
        assert changed.sum() == 1
        flips.append(int(changed.argmax()))
    assert flips[0] == flips[1] != flips[2]


def test_dropped_in_the_middle_of_a_block(serve, connect_to, wait_until):
    lab = serve({"kind": "drop", "after_blocks": 3})
    client, witness = connect_to(lab), connect_to(lab)
    start(client)
    whole = [client.block("FETC?") for _ in range(3)]
    assert all(map(is_whole, whole))
    client.send("FETC?")
    part = b""
    while data := client.socket.recv(65536):
        part += data
    assert part[:1] == b"#"
    assert len(part) < len(whole[0])
    wait_until(lambda: witness.ask("OUTP?") == "0")
    assert witness.ask("SIM:FAUL?") == '""'
    again = connect_to(lab)
    start(again, 5)
    assert all(is_whole(again.block("FETC?")) for _ in range(5))


def sequence(payload: bytes) -> int:
    return int.from_bytes(payload[8:16], "little")


@pytest.mark.parametrize("source", ["command", "file"])
def test_repeated_and_skipped_blocks(serve, connect_to, source):
    faults = ({"kind": "duplicate", "after_blocks": 2}, {"kind": "skip", "after_blocks": 5, "count": 3})
    client = connect_to(serve(*(faults if source == "file" else ())))
    if source == "command":
        client.send("SIM:FAUL:DUPL 2;SKIP 5,3")
    start(client, 12)
    blocks = [client.block("FETC?") for _ in range(10)]
    assert [sequence(block) for block in blocks] == [0, 1, 1, 2, 3, 7, 8, 9, 10, 11]
    assert blocks[1] == blocks[2]
    assert all(map(is_whole, blocks))
    assert client.ask("SIM:FAUL?") == '""'
    assert client.block("FETC?") == b""


def test_new_connections_are_refused_for_a_while(serve, connect_to, patience, wait_until):
    seconds = round(patience(0.3), 2)
    lab = serve({"kind": "refuse", "seconds": seconds, "after_blocks": 2})
    client = connect_to(lab)
    start(client)
    client.block("FETC?")
    assert connect_to(lab).ask("*OPC?") == "1"
    client.block("FETC?")
    assert client.ask("SIM:FAUL?") == f'"REFuse {seconds:g}"'
    refused = connect_to(lab)
    with contextlib.suppress(OSError):
        refused.socket.sendall(b"*OPC?\n")
        assert refused.socket.recv(100) == b""
    assert client.ask("OUTP?") == "1"
    wait_until(lambda: client.ask("SIM:FAUL?") == '""')
    assert connect_to(lab).ask("*OPC?") == "1"


def test_small_fifo_stalls_and_bits_stay_what_they_are(serve, connect_to, monkeypatch, wait_until):
    # What the array does while it is left alone follows the computer's clock.
    monkeypatch.setattr("mock_hw.SimulatedArray.rest", lambda self, seconds, **how: None)
    drawn = []
    for faults in ((), ({"kind": "fifo", "blocks": 2},)):
        client = connect_to(serve(*faults))
        start(client, 60)
        wait_until(lambda: client.ask("ACQ:STAT?") == ("STALL" if faults else "IDLE"))  # noqa: B023
        blocks = [client.block("FETC?") for _ in range(60)]
        drawn.append(b"".join(block[64:] for block in blocks))
        stalls = int(client.ask("ACQ:STAL?").split(",")[0])
        assert (stalls > 0) == bool(faults)
    assert drawn[0] == drawn[1]


def test_a_larger_fifo_ends_the_stall(serve, connect_to, wait_until):
    client = connect_to(serve({"kind": "fifo", "blocks": 2}))
    start(client)
    wait_until(lambda: client.ask("ACQ:STAT?") == "STALL")
    assert client.ask("ACQ:FIFO?") == "2,2"
    client.send("SIM:FAUL:CLE")
    wait_until(lambda: int(client.ask("ACQ:FIFO?").split(",")[0]) > 2)


def test_slow_wire_is_as_slow_as_said(serve, connect_to, patience):
    client = connect_to(serve({"kind": "rate", "bytes_per_second": 4e5}, rows=64, columns=64))
    client.send(f"{TOGGLE};:ACQ:COUN 512;BLOC 512;:OUTP ON;:INIT")
    began = time.monotonic()
    payload = client.block("FETC?")
    elapsed = time.monotonic() - began
    assert is_whole(payload)
    assert 0.95 * len(payload) / 4e5 < elapsed < patience(2) + len(payload) / 4e5


# The board


def test_error_goes_to_every_connection(serve, connect_to):
    lab = serve()
    one, two = connect_to(lab), connect_to(lab)
    two.ask("*OPC?")
    one.send("SIM:FAUL:ERR -113")
    assert one.ask("SYST:ERR?") == '-113,"Undefined header; simulated fault"'
    assert two.ask("SYST:ERR?") == '-113,"Undefined header; simulated fault"'
    assert two.ask("SYST:ERR?") == '0,"No error"'


def test_error_of_the_lab_file(serve, connect_to):
    lab = serve({"kind": "error", "number": 103}, {"kind": "error", "number": -222, "after_blocks": 2})
    for _ in range(2):
        client = connect_to(lab)
        assert client.error() == 103
        assert client.error() == 0
    assert client.ask("SIM:FAUL?") == '"ERRor 103","ERRor -222 after 2 blocks"'
    start(client)
    client.block("FETC?")
    assert client.error() == 0
    client.block("FETC?")
    assert client.error() == -222


@pytest.mark.parametrize(
    ("fault", "number"), [({"kind": "temperature", "kelvin": 358.2}, 103), ({"kind": "interlock"}, 102)]
)
def test_over_temperature_and_interlock(serve, connect_to, fault, number):
    lab = serve({**fault, "after_blocks": 2})
    client = connect_to(lab)
    start(client)
    client.block("FETC?")
    assert client.ask("OUTP?") == "1"
    client.block("FETC?")
    assert client.ask("OUTP?;:ACQ:STAT?") == "0;IDLE"
    assert client.error() == number
    assert client.errors("OUTP ON") == [number]
    client.send("SIM:FAUL:CLE;:OUTP ON")
    assert client.ask("OUTP?;:SYST:ERR?") == '1;0,"No error"'
    refused = connect_to(serve(fault))
    assert refused.errors("OUTP ON") == [number]


def test_a_temperature_that_the_model_does_not_cover_is_an_error_and_no_dead_board(serve, connect_to):
    client = connect_to(serve())
    client.send("SIM:FAUL:TEMP 100")
    start(client)
    assert client.block("FETC?") == b""
    assert client.ask("ACQ:STAT?") == "IDLE"
    assert client.error() == -221
    client.send("SIM:FAUL:CLE;:INIT")
    assert is_whole(client.block("FETC?"))


def test_late_answers(serve, connect_to, patience):
    lab = serve()
    client, other = connect_to(lab), connect_to(lab)
    client.send("SIM:FAUL:DEL 0.3")
    for each in (client, other):
        began = time.monotonic()
        assert each.ask("*OPC?") == "1"
        assert 0.29 < time.monotonic() - began < patience(3)
    # A line without a question is not held up, nor is what is said to the simulator.
    other.send("SIM:FAUL:DEL 60")
    began = time.monotonic()
    other.send("PULS:VOLT 1")
    assert other.ask("SIM:FAUL?") == '"DELay 60"'
    assert time.monotonic() - began < 30
    client.send("SIM:FAUL:DEL 0")
    assert client.ask("PULS:VOLT?") == "1.0"


def test_a_lab_ends_at_once_whatever_is_late_or_slow(serve, connect_to, patience):
    for fault in ({"kind": "delay", "seconds": 30.0}, {"kind": "rate", "bytes_per_second": 100}):
        with board_lab(**SMALL, faults=[fault], seed=1) as lab:
            client = connect_to(lab)
            client.send("ARR:TRIM?")
            time.sleep(0.1)
            began = time.monotonic()
        assert time.monotonic() - began < patience(2)


def test_a_board_that_hangs_neither_acts_nor_answers_and_its_watchdog_trips(serve, connect_to, patience):
    lab, seconds = serve(), round(patience(0.8), 2)
    client, other = connect_to(lab), connect_to(lab)
    client.send(f"SYST:WATC {seconds}")
    start(client)
    fed = time.monotonic()
    client.block("FETC?")
    other.send("SIM:FAUL:MUTE 3")
    assert other.ask("SIM:FAUL?") == '"MUTE 3"'
    client.send("OUTP OFF")  # lost, and not counted: it asks nothing
    while lab.boxes["board"].output:
        client.send("PULS:VOLT 0")  # this would feed it
        assert time.monotonic() - fed < patience(5)
        time.sleep(0.02)
    assert time.monotonic() - fed >= seconds
    assert other.ask("SIM:FAUL?") == '"MUTE 3"'
    for _ in range(3):
        client.send("*IDN?")
    assert client.ask("SYST:WATC:TRIP?;:PULS:VOLT?;:OUTP?") == "1;1.34;0"
    assert client.error() == 101


def test_a_board_that_hangs_does_not_notice_that_its_owner_is_gone(serve, connect_to, patience, wait_until):
    lab = serve()
    client, other = connect_to(lab), connect_to(lab)
    client.send(f"SYST:WATC {patience(0.6):.2f}")
    start(client)
    client.block("FETC?")
    other.send("SIM:FAUL:MUTE 1000")
    assert other.ask("SIM:FAUL?") == '"MUTE 1000"'
    client.close()
    wait_until(lambda: not lab.boxes["board"].output)
    other.send("SIM:FAUL:CLE")
    assert other.ask("SYST:WATC:TRIP?") == "1"


def test_a_power_cycle_ends_a_hang(serve, connect_to):
    lab = serve({"kind": "mute", "answers": 1000})
    client = connect_to(lab)
    client.socket.settimeout(0.3)
    with pytest.raises(TimeoutError):
        client.ask("*IDN?")
    lab.power_cycle()
    assert connect_to(lab).ask("*OPC?") == "1"


def test_identity(serve, connect_to):
    client = connect_to(serve({"kind": "identity", "model": "MODEL2400"}))
    assert client.ask("*IDN?") == "MEMTJ,MODEL2400,0001,1.2"


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="no pseudo-terminals on Windows")
def test_a_serial_line_is_late_slow_and_falls_silent_alike(serve, patience):
    import serial

    lab = serve(wire="serial")
    with serial.Serial(
        lab.resources["board"].removeprefix("ASRL").removesuffix("::INSTR"), timeout=patience(3)
    ) as port:

        def ask(line: bytes) -> bytes:
            port.write(line + b"\n")
            return port.readline()

        port.write(b"SIM:FAUL:DEL 0.3;RATE 100\n")
        began = time.monotonic()
        assert ask(b"*IDN?") == b"MEMTJ,ARRAY-BOARD-SIM,0001,1.2\n"
        assert time.monotonic() - began > 0.3 + 0.25
        port.write(b"SIM:FAUL:CLE;DROP 0\n")
        port.write(f"{TOGGLE};:ACQ:COUN 8;BLOC 8;:OUTP ON;:INIT;:FETC?\n".encode())
        port.timeout = patience(0.3)
        assert 10 < len(port.read(1000)) < 184
        assert ask(b"OUTP?") == b"1\n"
        assert ask(b"OUTP OFF;OUTP?") == b"0\n"
