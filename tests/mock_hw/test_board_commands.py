"""Every command of the protocol page over a real socket, its errors, ownership, watchdog and limits."""

import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from mock_hw import Lab
from mock_hw._scpi import ERRORS, spellings
from mock_hw.boxes.array_board import TABLE
from mock_hw.testing import board_lab
from tests.mock_hw.conftest import OPERATING

PAGE = (Path(__file__).parents[2] / "docs" / "array-board-protocol.md").read_text(encoding="utf-8")
CELLS = 4096


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    """A board whose device stands pulses that are longer than the board's shortest period."""
    with board_lab(device="A", limits={"voltage": 2.0, "width": 10e-9}, seed=20) as lab:
        yield lab


# Page header → parameters that are accepted after power-on, and what the query answers then. None: not a setting.
SETTINGS = {
    "*ESE": ("37", "37"),
    "*SRE": ("16", "16"),
    "SYSTem:WATChdog": ("2.5", "2.5"),
    "LIMit:VOLTage": ("1.9", "1.9"),
    "LIMit:WIDTh": ("5E-9", "5e-09"),
    "LIMit:READ": (".4", "0.4"),
    "LIMit:HOLD": (".4", "0.4"),
    "ARRay:SELect": ("1,2,3,60", "1,2,3,60"),
    "PULSe:VOLTage": ("-1.25", "-1.25"),
    "PULSe:WIDTh": ("0.34e-9", "3.4e-10"),
    "PULSe:PERiod": ("8e-9", "8e-09"),
    "PULSe:DAC:RANGe": ("0.3,1.1", "0.3,1.1"),
    "RESet:VOLTage": ("+1.5", "1.5"),
    "RESet:WIDTh": ("0.595E-9", "5.95e-10"),
    "SEQuence:MODE": ("TOGGle", "TOGG"),
    "SENSe:VOLTage": ("0.1", "0.1"),
    "SENSe:SETTle": ("2e-6", "2e-06"),
    "OUTPut[:STATe]": ("ON", "1"),
    "HOLD:VOLTage": ("0", "0.0"),  # other voltages need the output
    "ACQuire:COUNt": ("1e15", "1000000000000000"),
    "ACQuire:BLOCk": ("100", "100"),
    "ACQuire:FORMat": ("resistance", "RES"),
}
BLOCKS = {
    "ARRay:MASK": np.packbits(np.arange(CELLS) % 3 == 0).tobytes(),
    "ARRay:TRIM": np.linspace(-0.1, 0.1, CELLS).astype("<f4").tobytes(),
    "ARRay:TRIM:ANTiparallel": np.linspace(0.05, -0.05, CELLS).astype("<f4").tobytes(),
    "ARRay:TRIM:WIDTh": np.linspace(-1e-11, 2e-11, CELLS).astype("<f4").tobytes(),
    "ARRay:TRIM:WIDTh:ANTiparallel": np.linspace(1e-11, -2e-11, CELLS).astype("<f4").tobytes(),
    "ARRay:THReshold": np.linspace(1e5, 1.3e5, CELLS).astype("<f4").tobytes(),
    "ARRay:CODE": (np.arange(CELLS) % 256).astype("u1").tobytes(),
}
QUERIES = {
    "*IDN?": r"MEMTJ,ARRAY-BOARD-SIM,0001,1\.2",
    "*OPC?": "1",
    "*ESR?": "0",
    "*ESE?": "0",
    "*SRE?": "0",
    "*STB?": "0",
    "*TST?": "0",
    "SYSTem:ERRor[:NEXT]?": '0,"No error"',
    "SYSTem:ERRor:COUNt?": "0",
    "SYSTem:VERSion?": r"1999\.0",
    "SYSTem:PROTocol?": r"1\.2",
    "SYSTem:ORIGin?": "SIM",
    "SYSTem:TIME?": r"\d+\.\d+",
    "SYSTem:TEMPerature?": r"(29[89]|30[01])\.\d+",
    "SYSTem:INTerlock?": "1",
    "SYSTem:WATChdog?": r"5\.0",
    "SYSTem:WATChdog:TRIPs?": "0",
    "LIMit:VOLTage?": r"2\.0",
    "LIMit:WIDTh?": "1e-08",
    "LIMit:READ?": r"0\.5",
    "LIMit:HOLD?": r"0\.6",
    "PULSe:DAC?": r"8,0\.00787\d+,-0\.00787\d+",
    "PULSe:DAC:RANGe?": r"0\.0,2\.0",
    "HOLD:VOLTage?": r"0\.0",
    "FIELd[:STATe]?": "1",
    "ARRay:SIZE?": "64,64",
    "ARRay:SELect?": "0,63,0,63",
    "PULSe:VOLTage?": r"0\.0",
    "PULSe:WIDTh?": "3e-10",
    "PULSe:PERiod?": "6e-09",
    "RESet:VOLTage?": r"0\.0",
    "RESet:WIDTh?": "6e-10",
    "SEQuence:MODE?": "RES",
    "SENSe:VOLTage?": r"0\.0",
    "SENSe:SETTle?": "1e-06",
    "OUTPut[:STATe]?": "0",
    "ACQuire:COUNt?": "0",
    "ACQuire:BLOCk?": "1",
    "ACQuire:FORMat?": "BITS",
    "ACQuire:STATe?": "IDLE",
    "ACQuire:STALls?": r"0,0\.0",
    "ACQuire:FIFO?": r"0,\d+",
}
ACTIONS = {"FIELd[:STATe]", "*RST", "*CLS", "*OPC", "*WAI", "INITiate[:IMMediate]", "ABORt"}
BLOCK_QUERIES = {
    "ARRay:MASK?",
    "ARRay:TRIM:ANTiparallel?",
    "ARRay:TRIM:WIDTh?",
    "ARRay:TRIM:WIDTh:ANTiparallel?",
    "ARRay:TRIM?",
    "ARRay:THReshold?",
    "ARRay:CODE?",
    "ARRay:RESistance?",
    "FETCh[:BLOCk]?",
    "FETCh:AGAin?",
}


def page_headers() -> set[str]:
    section = PAGE.split("## Commands")[1].split("## Sequences")[0]
    return set(re.findall(r"^\| `([*A-Za-z:\[\]]+\??)`", section, re.MULTILINE))


def waits_for_idle() -> set[str]:
    section = PAGE.split("## Commands")[1].split("## Sequences")[0]
    return set(re.findall(r"^\| `([*A-Za-z:\[\]]+\??)`[^|]*\| `\[W\]`", section, re.MULTILINE))


def both_forms(header: str) -> list[str]:
    """The shortest and the longest spelling, one of them in lower case."""
    known = sorted(spellings(header.removesuffix("?")), key=len)
    mark = "?" if header.endswith("?") else ""
    return [known[0] + mark, known[-1].lower() + mark]


def test_page_and_table_name_the_same_commands():
    table = {c.header for c in TABLE.commands if c.write} | {c.header + "?" for c in TABLE.commands if c.read}
    assert table == page_headers()
    assert len(table) > 60
    assert {c.header for c in TABLE.commands if c.idle} | {
        c.header + "?" for c in TABLE.commands if c.idle_query
    } == waits_for_idle()


def test_this_file_exercises_every_command_of_the_page():
    covered = SETTINGS.keys() | BLOCKS.keys() | QUERIES.keys() | ACTIONS | BLOCK_QUERIES
    assert covered == page_headers()


def test_page_and_engine_name_the_same_errors():
    rows = re.findall(r"^\| ([−\d]+) \| ([^|]+?) \|", PAGE.split("## Errors")[1], re.MULTILINE)
    assert {int(n.replace("−", "-")): text for n, text in rows} == ERRORS


@pytest.mark.parametrize("header", QUERIES)
def test_query_after_power_on(client, header):
    for form in both_forms(header):
        assert re.fullmatch(QUERIES[header], client.ask(form)), form


@pytest.mark.parametrize("header", SETTINGS)
def test_setting_is_read_back_and_reset(client, header):
    parameters, answer = SETTINGS[header]
    reset = client.ask(both_forms(header + "?")[0])
    for form in both_forms(header):
        assert client.errors(f"{form} {parameters}") == []
        assert client.ask(both_forms(header + "?")[1]) == answer
    client.send("*RST")
    kept = header.startswith(("*", "LIM"))
    assert client.ask(both_forms(header + "?")[0]) == (answer if kept else reset)
    assert client.error() == 0


@pytest.mark.parametrize("header", BLOCKS)
def test_block_setting(client, header):
    before = client.block(both_forms(header + "?")[0])
    for form in both_forms(header):
        client.send_block(form, BLOCKS[header])
        assert client.block(both_forms(header + "?")[1]) == BLOCKS[header]
    client.send("*RST")
    assert client.block(header + "?") == before
    assert client.errors(header + " #13abc") == [-161]
    assert client.errors(header + " 1") == [-104]
    assert client.block(header + "?") == before
    assert client.error() == 0


def test_reset_values_of_cell_settings(client):
    assert client.block("ARR:MASK?") == b"\xff" * 512
    assert client.block("ARR:TRIM?") == bytes(4 * CELLS)
    assert client.block("ARR:THR?") == struct.pack("<f", 100e3) * CELLS


def test_common_actions(client):
    client.send("PULS:VOLTS 1")
    assert client.ask("*STB?;*ESE 32;*STB?;*SRE 32;*STB?") == "4;36;100"
    client.send("*OPC;*WAI")
    assert client.ask("*ESR?;*ESR?") == "33;0"
    client.send("PULS:VOLTS 1;*CLS")
    assert client.ask("*ESR?;:SYST:ERR:COUN?;*OPC?") == "0;0;1"
    for line, bit in (("PULS:VOLT 9", 16), ("NONSENSE", 32), ("FETC?;*OPC?", 4)):
        client.send(line)
        if bit == 4:
            assert client.line() == "1"
        assert client.ask("*ESR?") == str(bit)


def test_resistance_query(client):
    assert client.errors("ARR:RES?") == [-221]
    client.send(f"{OPERATING};:ARR:SEL 2,5,10,19;:OUTP ON")
    reading = np.frombuffer(client.block("ARRAY:RESISTANCE?"), "<f4")
    again = np.frombuffer(client.block("ARR:RES?"), "<f4")
    assert reading.shape == (40,)
    high = reading > 123e3
    assert 5 < high.sum() < 35
    assert ((reading > 60e3) & (reading < 210e3)).all()
    np.testing.assert_array_equal(high, again > 123e3)
    assert (reading != again).mean() > 0.5  # the converter gives some the same number twice


# --- lines ----------------------------------------------------------------------------------------------------------


def test_compound_lines_keep_the_path(client):
    assert client.ask("PULS:VOLT 1;WIDT 4e-10;*OPC?;VOLT?;:SYST:VERS?;ERR?") == '1;1.0;1999.0;0,"No error"'
    assert client.ask("PULSE:WIDTH?\r") == "4e-10"
    assert client.errors("PULS:VOLT 1;PULS:WIDT 3e-10") == [-113]
    client.send("ARR:SEL\t 0 , 1,2 ,3 ")
    assert client.ask("ARR:SEL?") == "0,1,2,3"


def test_answers_before_a_block_are_joined_to_it(client):
    client.send("*OPC?;:PULS:VOLT?;:ARR:MASK?")
    expected = b"1;0.0;#3512" + b"\xff" * 512 + b"\n"
    received = b""
    while len(received) < len(expected):
        received += client.socket.recv(4096)
    assert received == expected


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("PULSE", -113),
        ("PULSEE:VOLT 1", -113),
        ("PULS:VOLTA 1", -113),
        ("*IDN", -113),
        ("ABOR?", -113),
        ("SYST:TIME 1", -113),
        ("PULS:VOLT 1;;WIDT 3e-10", -102),
        ("*OPC;", -102),
        (":", -102),
        ("PULS::VOLT 1", -102),
        ('PULS:VOLT "1"', -102),
        ("ARR:SEL 1,,2,3", -102),
        (":*CLS", -102),
        ("PULS:VOLT", -109),
        ("ARR:SEL 1,2,3", -109),
        ("PULS:VOLT 1,2", -108),
        ("PULS:VOLT? 1", -108),
        ("ABOR 1", -108),
        ("PULS:VOLT MAX", -104),
        ("PULS:VOLT 1 V", -104),
        ("PULS:VOLT 1V", -104),
        ("PULS:VOLT NAN", -104),
        ("PULS:VOLT INF", -104),
        ("PULS:VOLT 0x1", -104),
        ("PULS:VOLT 1_0", -104),
        ("PULS:VOLT #11a", -104),
        ("PULS:VOLT 1e999", -222),
        ("OUTP 2", -104),
        ("OUTP ONN", -104),
        ("SEQ:MODE TOGGL", -104),
        ("ACQ:FORM RESI", -104),
        ("*ESE 256", -222),
        ("*SRE -1", -222),
        ("SYST:WATC 0.05", -222),
        ("SYST:WATC 61", -222),
        ("ARR:SEL 0,64,0,1", -222),
        ("ARR:SEL 3,2,0,1", -222),
        ("ARR:SEL -1,2,0,1", -222),
        ("PULS:VOLT 2.0001", -222),
        ("PULS:VOLT -2.0001", -222),
        ("RES:VOLT 2.0001", -222),
        ("PULS:WIDT 1.01e-8", -222),
        ("PULS:WIDT 0", -222),
        ("PULS:WIDT 7e-9", -221),
        ("RES:WIDT 1.01e-8", -222),
        ("PULS:PER 5.9e-9", -222),
        ("SENS:VOLT 0.51", -222),
        ("SENS:VOLT -0.51", -222),
        ("SENS:SETT 0.9e-9", -222),
        ("SENS:SETT 1.1", -222),
        ("ACQ:COUN -1", -222),
        ("ACQ:COUN 1.1e15", -222),
        ("ACQ:BLOC 0", -222),
        ("ACQ:BLOC 16385", -222),
        ("LIM:VOLT 2.1", -203),
        ("LIM:VOLT -1", -222),
        ("LIM:WIDT 2e-10", -221),
        ("INIT", -221),
        ("ARR:RES?", -221),
        ("FETC:AGA?", -230),
        ("ARR:MASK #0abc", -161),
        ("ARR:MASK #4", -161),
        ("ARR:MASK #9999999999", -161),
        ("ARR:MASK #x", -161),
        ("ARR:MASK #12abc", -161),
        ("*IDN?\x07", -101),
        ("PULS:VOLT 1\x7f", -101),
    ],
)
def test_wrong_line_gives_its_error_and_changes_nothing(client, line, error):
    def everything() -> str:
        return client.ask(
            "PULS:VOLT?;WIDT?;PER?;:RES:VOLT?;WIDT?;:ARR:SEL?;:ACQ:COUN?;BLOC?;:OUTP?;:LIM:VOLT?;WIDT?;READ?"
        )

    client.send("PULS:PER 6e-9")
    before = everything() if "PULS:VOLT 1;" not in line else None
    assert client.errors(line) == [error]
    assert before is None or everything() == before


def test_block_size_limits_depend_on_format_and_selection(client):
    client.send("ACQ:BLOC 16384")
    assert client.errors("ACQ:FORM RES") == [-221]
    client.send("ARR:SEL 0,0,0,0;:ACQ:BLOC 67108864")
    assert client.error() == 0
    assert client.errors("ARR:SEL 0,0,0,1") == [-221]
    client.send("ACQ:BLOC 512;FORM RES;:ARR:SEL 0,63,0,63")
    assert client.errors("ACQ:BLOC 513") == [-222]


def test_queue_overflow_and_queues_of_their_own(connect):
    one, other = connect(), connect()
    for _ in range(40):
        one.send("NONSENSE")
    assert one.ask("SYST:ERR:COUN?") == "32"
    assert other.ask("SYST:ERR:COUN?;*ESR?") == "0;0"
    numbers = [one.error() for _ in range(33)]
    assert numbers == [-113] * 31 + [-350, 0]


# --- limits ---------------------------------------------------------------------------------------------------------


def test_limits_survive_reset_are_only_lowered_and_end_with_power(lab, connect):
    client = connect()
    assert client.errors("LIM:WIDT 0.4e-9") == [-221]
    client.send("RES:WIDT 0.4e-9;:LIM:VOLT 1.5;WIDT 0.4e-9;READ 0.2")
    client.send("*RST")
    assert client.ask("LIM:VOLT?;WIDT?;READ?") == "1.5;4e-10;0.2"
    assert client.ask("RES:WIDT?") == "4e-10"
    assert client.errors("LIM:VOLT 1.6;WIDT 1e-9;READ 0.3") == [-203] * 3
    assert client.errors("PULS:VOLT 1.6;WIDT 0.5e-9;:RES:VOLT -1.6;:SENS:VOLT 0.3") == [-222] * 4
    client.send("OUTP ON")
    assert client.errors("LIM:VOLT 1.0") == [-221]
    lab.power_cycle("board")
    with pytest.raises((EOFError, OSError)):
        client.ask("*IDN?")
    assert connect().ask("LIM:VOLT?;WIDT?;READ?;:OUTP?") == "2.0;1e-08;0.5;0"


def test_trims_count_towards_the_voltage_limit(client):
    trim = np.zeros(CELLS, "<f4")
    trim[77] = 0.25
    client.send("PULS:VOLT 1.8")
    client.send_block("ARR:TRIM", trim.tobytes())
    assert client.error() == -222
    client.send("PULS:VOLT 1.7")
    client.send_block("ARR:TRIM", trim.tobytes())
    assert client.error() == 0
    assert client.errors("PULS:VOLT 1.76") == [-222]
    assert client.errors("LIM:VOLT 1.9") == [-221]
    trim[77] = np.nan
    client.send_block("ARR:TRIM", trim.tobytes())
    assert client.error() == -222
    assert client.ask("PULS:VOLT?") == "1.7"


@pytest.mark.parametrize(
    ("header", "more", "less", "setting"),
    [
        ("ARR:TRIM:ANT", 0.35, -3.75, "PULS:VOLT 1.76"),
        ("ARR:TRIM:WIDT", 9.8e-9, -0.3e-9, "PULS:WIDT 0.5e-9"),
        ("ARR:TRIM:WIDT:ANT", 9.8e-9, -0.3e-9, "PULS:WIDT 0.5e-9"),
    ],
)
def test_all_trims_count_towards_the_limits(client, header, more, less, setting):
    trim = np.zeros(CELLS, "<f4")
    client.send("PULS:VOLT 1.7")
    for wrong in (more, less):
        trim[77] = wrong
        client.send_block(header, trim.tobytes())
        assert client.error() == -222
    assert not np.frombuffer(client.block(header + "?"), "<f4").any()
    trim[77] = 0.98 * more if "WIDT" in header else 0.27
    client.send_block(header, trim.tobytes())
    assert client.error() == (-221 if "WIDT" in header else 0)  # a period of 6 ns is shorter
    client.send("PULS:PER 12e-9")
    client.send_block(header, trim.tobytes())
    assert client.error() == 0
    assert client.errors(setting) == [-222]
    assert client.errors("PULS:PER 6e-9") == ([-222] if "WIDT" in header else [])
    assert client.errors("LIM:VOLT 1.9;WIDT 9e-9") == [-221]


# --- ownership and watchdog -----------------------------------------------------------------------------------------


def test_only_the_owner_changes_settings_while_the_output_is_on(connect):
    owner, other = connect(), connect()
    other.send("PULS:VOLT 0.5")
    assert other.error() == 0
    assert owner.ask(f"{OPERATING};:ACQ:BLOC 64;:OUTP ON;OUTP?") == "1"
    for line in (
        "PULS:VOLT 1",
        "OUTP ON",
        "*RST",
        "INIT",
        "SYST:WATC 60",
        "LIM:VOLT 1.9",
        "FETC?",
        "FETC:AGA?",
    ):
        assert other.errors(line) == [-203], line
    assert other.errors("*CLS;*ESE 1;*SRE 1;*OPC;*WAI") == []
    assert other.ask("PULS:VOLT?;:OUTP?;:ACQ:STAT?") == "1.34;1;IDLE"
    assert owner.ask("INIT;*OPC?") == "1"
    assert other.ask("ACQ:STAT?") != "IDLE"
    assert other.errors("ABOR") == []
    assert other.ask("ACQ:STAT?;:OUTP?") == "IDLE;1"
    assert other.errors("OUTP OFF") == []
    assert owner.ask("OUTP?") == "0"
    assert other.errors("PULS:VOLT 1;:OUTP ON") == []
    assert owner.errors("PULS:VOLT 1.1") == [-203]


def test_close_of_the_owner_switches_off_at_once(connect, wait_until):
    owner, other = connect(), connect()
    owner.send(f"{OPERATING};:SYST:WATC 60;:OUTP ON;:INIT")
    assert owner.ask("OUTP?") == "1"
    owner.close()
    wait_until(lambda: other.ask("OUTP?") == "0", 2)
    assert other.ask("ACQ:STAT?;:SYST:WATC:TRIP?") == "IDLE;0"


def test_watchdog_is_fed_by_the_owner_alone(connect, patience, wait_until):
    owner, other = connect(), connect()
    seconds = round(patience(0.6), 3)
    owner.send(f"{OPERATING};:SYST:WATC {seconds};:OUTP ON;:INIT")
    began = fed = time.monotonic()
    while fed < began + 1.5 * seconds:
        fed = time.monotonic()
        assert owner.ask("OUTP?") == "1"
        time.sleep(0.02)
    # Half a line does not feed it, nor does the other connection, which keeps polling.
    owner.send(b"OUTP")
    wait_until(lambda: other.ask("OUTP?") == "0", 3)
    assert time.monotonic() - fed >= seconds
    assert other.ask("ACQ:STAT?;:SYST:WATC:TRIP?") == "IDLE;1"
    owner.send("?")
    assert owner.line() == "0"
    assert owner.error() == other.error() == 101
    assert int(owner.ask("*ESR?")) & 8


def test_output_needs_an_armed_watchdog(client):
    client.send("SYST:WATC 0")
    assert client.errors("OUTP ON") == [-221]
    client.send("SYST:WATC 1;:OUTP ON")
    assert client.errors("SYST:WATC 0") == [-221]
    assert client.ask("OUTP?;:SYST:WATC?") == "1;1.0"


def test_interlock_and_temperature(lab, connect):
    one, other = connect(), connect()
    board = lab.boxes["board"]
    # A connection exists for the board once it has answered.
    assert other.ask("*OPC?") == "1"
    try:
        for break_it, mend_it, error in (
            (
                lambda: board.protection.set_interlock(False),
                lambda: board.protection.set_interlock(True),
                102,
            ),
            (
                lambda: board.protection.set_temperature(400.0),
                lambda: board.protection.set_temperature(300.0),
                103,
            ),
        ):
            one.send("OUTP ON")
            assert one.ask("OUTP?") == "1"
            break_it()
            assert one.ask("OUTP?") == "0"
            assert one.error() == other.error() == error
            assert one.errors("OUTP ON") == [error]
            mend_it()
            assert one.errors("OUTP ON") == []
            one.send("OUTP OFF")
    finally:
        board.protection.set_interlock(True)
        board.protection.set_temperature(300.0)


def test_settings_wait_for_the_end_of_an_acquisition(client):
    client.send(f"{OPERATING};:OUTP ON;:INIT")
    for header in sorted(waits_for_idle()):
        if header in BLOCKS:
            client.send_block(header, BLOCKS[header])
        else:
            client.send(
                header
                if header.endswith("?")
                else f"{both_forms(header)[0]} {SETTINGS.get(header, ('OFF',))[0]}"
            )
        assert client.error() == -221, header
    assert client.errors("INIT") == [-213]
    client.send("ABOR")
    assert client.errors("PULS:VOLT 1.2") == []


def test_reset_by_the_owner_switches_off_and_clears(client):
    client.send(f"{OPERATING};:ACQ:COUN 10;:OUTP ON;:INIT")
    assert len(client.block("FETC?")) > 64
    client.send("*RST")
    assert client.ask("OUTP?;:ACQ:STAT?;COUN?;FIFO?").startswith("0;IDLE;0;0,")
    assert client.block("FETC?") == b""
    assert client.error() == 0
