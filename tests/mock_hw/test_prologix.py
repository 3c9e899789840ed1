"""What a Prologix adapter does with its commands and with what boxes say, by a bare connection to it."""

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator

import psutil
import pytest

from mock_hw import Lab, LabError
from mock_hw._lab_file import read_lab_file
from mock_hw._wires import _prologix
from tests.mock_hw.every_box import BOXES, lab_of
from tests.mock_hw.gpib_client import Adapter, Box

MEBIBYTE = 1 << 20
ADDRESSES = dict(zip(BOXES, range(5, 5 + len(BOXES)), strict=True))


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with lab_of("prologix") as lab:
        yield lab


@pytest.fixture
def adapter(lab: Lab, patience: Callable[[float], float]) -> Iterator[Adapter]:
    lab.power_cycle()
    with Adapter(lab.resources["prologix"], seconds=patience(20)) as adapter:
        yield adapter


@pytest.fixture
def board(adapter: Adapter) -> Box:
    return Box(adapter, ADDRESSES["board"])


def test_each_box_has_its_address_and_the_adapter_its_name(lab: Lab) -> None:
    expected = {name: f"GPIB0::{address}::INSTR" for name, address in ADDRESSES.items()}
    assert {name: each for name, each in lab.resources.items() if name != "prologix"} == expected
    assert lab.resources["prologix"].startswith("PRLGX-TCPIP0::127.0.0.1::")


def test_settings_are_kept_and_told(adapter: Adapter) -> None:
    assert adapter.ask(b"++ver").startswith(b"Prologix GPIB-ETHERNET")
    for name, values, wrong in (
        (b"eos", range(4), b"4"), (b"eoi", range(2), b"2"), (b"auto", range(2), b"-1"), (b"eot_enable", range(2), b"x"),
        (b"eot_char", (0, 255, 13), b"256"), (b"read_tmo_ms", (1, 3000, 500), b"3001"), (b"savecfg", (0, 1), b"2"),
        (b"mode", (0, 1), b"2"),
    ):  # fmt: skip
        for value in values:
            adapter.send(b"++%s %d" % (name, value))
            assert adapter.ask(b"++" + name) == b"%d" % value
        assert adapter.ask(b"++%s %s" % (name, wrong)) == b"Unrecognized command"
        assert adapter.ask(b"++" + name) == b"%d" % value
    for address in (b"0", b"30", b"9 96", b"9 126"):
        adapter.send(b"++addr " + address)
        assert adapter.ask(b"++addr") == address
    for wrong in (
        b"addr 31",
        b"addr 9 95",
        b"addr 9 96 97",
        b"nonsense",
        b"",
        b"read eoi 10",
        b"read 256",
        b"trg 31",
    ):
        assert adapter.ask(b"++" + wrong) == b"Unrecognized command"
    assert adapter.ask(b"++ADDR") == b"9 126"


def test_a_reset_brings_back_what_was_saved_and_ends_the_connection(
    lab: Lab, adapter: Adapter, patience
) -> None:
    for line in (b"++savecfg 1", b"++eos 2", b"++savecfg 0", b"++eos 3", b"++rst"):
        adapter.send(line)
    assert adapter.until_closed() == b""
    with Adapter(lab.resources["prologix"], seconds=patience(20)) as again:
        assert again.ask(b"++eos") == b"2"
        again.send(b"++savecfg 1")


def test_boxes_of_one_adapter_are_told_apart(adapter: Adapter) -> None:
    for name in ("board", "meter", "supply", "gaussmeter"):
        Box(adapter, ADDRESSES[name]).write("*IDN?")
    for name, who in (
        ("gaussmeter", b"LSCI"),
        ("supply", b"KEPCO"),
        ("meter", b"KEITHLEY"),
        ("board", b"MEMTJ"),
    ):
        adapter.send(b"++addr %d" % ADDRESSES[name])
        adapter.send(b"++read eoi")
        assert adapter.file.readline().startswith(who)


def test_an_address_where_no_box_is_says_nothing(adapter: Adapter, board: Box) -> None:
    for address in (b"4", b"5 96"):
        adapter.send(b"++addr " + address)
        for line in (b"*IDN?", b"++read_tmo_ms 50", b"++read eoi", b"++clr", b"++trg"):
            adapter.send(line)
        assert adapter.ask(b"++spoll") == b"0"
    adapter.send(b"++addr 5")
    assert board.query("*OPC?") == "1"


def test_no_line_reaches_the_bus_as_a_device(adapter: Adapter, board: Box) -> None:
    adapter.send(b"++mode 0")
    adapter.send(b"OUTP ON")
    adapter.send(b"++mode 1")
    assert board.query("OUTP?") == "0"


def test_bytes_that_are_escaped_arrive_and_others_do_not(adapter: Adapter, board: Box) -> None:
    mask = (b"\n\r#;\x1b+\x00\xff" * 2)[:15]
    board.write_raw(b"ARR:MASK #215" + mask)
    board.write("ARR:MASK?")
    adapter.send(b"++read eoi")
    assert adapter.file.read(4 + 15 + 1) == b"#215" + mask + b"\n"
    adapter.send(b"+*E+SE 5\r\n\r\n*E\x1b\x1bSE?")  # a + is dropped, an escaped ESC is none of SCPI
    adapter.send(b"*ESE?")
    assert board.read() == "5"
    assert board.query("SYST:ERR?").startswith("-101")
    for byte in b"*ESE 7\n*ESE?\n++read eoi\n":
        adapter.socket.sendall(bytes([byte]))
    assert adapter.file.readline() == b"7\n"


def test_what_ends_a_message(adapter: Adapter, board: Box) -> None:
    adapter.send(b"++eoi 0")
    adapter.send(b"*ES")  # no EOI, no terminator: the message goes on
    adapter.send(b"++eos 2")
    adapter.send(b"E 9")
    for eos in (b"0", b"2"):
        adapter.send(b"++eos " + eos)
        adapter.send(b"*ESE?")
        adapter.send(b"++read eoi")
        assert adapter.file.readline() == b"9\n"
        adapter.send(b"*ESE 9")
    adapter.send(b"++eos 1")  # a CR alone ends nothing
    adapter.send(b"*ESE?")
    adapter.send(b"++read_tmo_ms 50")
    adapter.send(b"++read eoi")
    assert adapter.ask(b"++eos") == b"1"


def test_reading_to_a_character_and_beyond_the_end(adapter: Adapter, board: Box) -> None:
    board.write("*ESE 5;*ESE?;*SRE?")
    adapter.send(b"++read 59")
    assert adapter.file.read(2) == b"5;"
    adapter.send(b"++eot_enable 1")
    adapter.send(b"++eot_char 33")
    adapter.send(b"++read")
    assert adapter.file.read(3) == b"0\n!"


def test_auto_reads_behind_each_line_and_who_has_no_answer_says_so(adapter: Adapter, board: Box) -> None:
    adapter.send(b"++read_tmo_ms 50")
    adapter.send(b"++auto 1")
    adapter.send(b"*ESE 5;*ESE?")
    assert adapter.file.readline() == b"5\n"
    adapter.send(b"*ESE 6")
    adapter.send(b"SYST:ERR?")
    assert adapter.file.readline().startswith(b"-420")


def test_an_answer_that_comes_too_late_is_left_in_the_box(adapter: Adapter, board: Box) -> None:
    board.write("SIM:FAUL:DEL 0.3")
    adapter.send(b"++read_tmo_ms 50")
    board.write("*IDN?")
    adapter.send(b"++read eoi")  # comes back empty
    board.write("SIM:FAUL:CLE")
    adapter.send(b"++read_tmo_ms 3000")
    assert board.query("*OPC?") == "1"
    assert board.query("SYST:ERR?").startswith("-410")


def test_polls_triggers_clears_and_service(adapter: Adapter, board: Box, wait_until) -> None:
    generator = b"%d" % ADDRESSES["generator"]
    assert adapter.ask(b"++srq") == b"0"
    board.write("*SRE 16;*IDN?")
    wait_until(lambda: adapter.ask(b"++srq") == b"1")
    assert int(adapter.ask(b"++spoll")) & 16
    assert int(adapter.ask(b"++spoll " + generator)) & 16 == 0
    board.clear()
    assert adapter.ask(b"++srq") == b"0"
    for command in (b"++loc", b"++llo", b"++ifc", b"++trg", b"++trg 5 " + generator):
        adapter.send(command)
    adapter.send(b"++addr " + generator)
    assert board.query("SYST:ERR?").startswith("-211")  # of the generator, which is addressed now
    assert adapter.ask(b"++trg" + b" 5" * 16) == b"Unrecognized command"


def test_a_gpib_has_no_close_so_that_outputs_stay_until_the_watchdog(
    lab: Lab, adapter, board, wait_until
) -> None:
    board.write("SYST:WATC 0.8;:OUTP ON;:OUTP?")
    assert board.read() == "1"
    adapter.close()
    time.sleep(0.2)
    assert lab.boxes["board"].output
    wait_until(lambda: not lab.boxes["board"].output)


def test_one_connection_is_served_at_a_time(lab: Lab, adapter: Adapter, patience) -> None:
    assert adapter.ask(b"++ver")
    with Adapter(lab.resources["prologix"], seconds=0.3) as second, pytest.raises(TimeoutError):
        second.ask(b"++ver")
    with Adapter(lab.resources["prologix"], seconds=patience(20)) as second:
        second.send(b"++ver")
        adapter.close()
        assert second.file.readline().startswith(b"Prologix")


def test_who_closes_its_own_end_gets_its_answers(adapter: Adapter, board: Box) -> None:
    adapter.send(b"*IDN?")
    adapter.send(b"++read eoi")
    adapter.socket.shutdown(socket.SHUT_WR)
    assert adapter.file.read().startswith(b"MEMTJ")


ENDLESS = {
    "a line": b"A" * 12 * MEBIBYTE,
    "a command": b"++addr " + b"9" * 12 * MEBIBYTE,
    "pluses": b"++" * 6 * MEBIBYTE,
    "escapes": b"\x1b" * 12 * MEBIBYTE,
    "reads": b"++read\n" * 9000,  # of three seconds each
}


@pytest.mark.parametrize("what", ENDLESS)
def test_endless_input_ends_with_its_host(
    lab: Lab, adapter: Adapter, board: Box, patience, what: str
) -> None:
    memory = psutil.Process().memory_info().rss
    adapter.socket.sendall(ENDLESS[what])
    adapter.close()
    with Adapter(lab.resources["prologix"], seconds=patience(20)) as again:
        board = Box(again, ADDRESSES["board"])
        assert board.query("*OPC?") == "1"
    assert psutil.Process().memory_info().rss - memory < 32 << 20


def test_a_line_that_is_too_long_is_dropped_whole(adapter: Adapter, board: Box, monkeypatch) -> None:
    monkeypatch.setattr(_prologix, "_LONGEST_LINE", 1000)
    adapter.send(b"OUTP ON;" * 1000)
    assert board.query("OUTP?;:SYST:ERR:COUN?") == "0;0"


def _nonsense(rng: random.Random) -> bytes:
    commands = (
        b"addr",
        b"auto",
        b"eos",
        b"eoi",
        b"eot_enable",
        b"eot_char",
        b"spoll",
        b"clr",
        b"trg",
        b"loc",
        b"ifc",
    )
    line = rng.choice(
        [
            b"++%s %d" % (rng.choice(commands), rng.choice([0, 1, rng.randrange(5, 11), rng.randrange(300)])),
            b"++" + rng.choice(commands),
            b"++read " + rng.choice([b"eoi", b"", b"10"]),
            rng.choice([b"*IDN?", b"*OPC?\x1b\n*IDN?", b"ARR:MASK #", b"#9", b"FETC?", b"*TRG", b"DIAG"]),
            rng.randbytes(rng.randrange(40)),
        ]
    )
    return line + rng.choice([b"\n", b"\r", b"\r\n"])


def test_ten_thousand_lines_of_nonsense(lab: Lab, wait_until, patience) -> None:
    lab.power_cycle()
    threads, memory = threading.active_count(), psutil.Process().memory_info().rss
    rng, began = random.Random(19), time.monotonic()
    for _ in range(20):
        with Adapter(lab.resources["prologix"], seconds=patience(20)) as adapter:
            reader = threading.Thread(target=adapter.until_closed)
            reader.start()
            for _ in range(500):
                adapter.socket.sendall(b"++read_tmo_ms 1\n++mode 1\n" + _nonsense(rng))
            with contextlib.suppress(OSError):
                adapter.socket.shutdown(socket.SHUT_WR)
            reader.join(patience(20))
            assert not reader.is_alive()
    assert time.monotonic() - began < patience(30)
    wait_until(lambda: threading.active_count() <= threads)
    assert psutil.Process().memory_info().rss - memory < 32 << 20
    with Adapter(lab.resources["prologix"], seconds=patience(20)) as adapter:
        for address in ADDRESSES.values():
            assert Box(adapter, address).query("*IDN?").count(",") == 3


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ("wire = 'prologix'", r"boxes\.a: .*give 'address'"),
        ("wire = 'prologix'\naddress = 31", r"boxes\.a\.address"),
        ("wire = 'prologix'\naddress = 9\nport = 1", r"boxes\.a: .*\[prologix\]"),
        ("address = 9", r"boxes\.a: .*leave it out"),
        (
            "wire = 'prologix'\naddress = 9\n[boxes.b]\nkind = 'array-board'\nwire = 'prologix'\naddress = 9",
            "two",
        ),
        ("wire = 'prologix'\naddress = 9\n[boxes.prologix]\nkind = 'array-board'", "called 'prologix'"),
    ],
)
def test_wrong_lab_files_are_refused(lab_file, keys: str, said: str) -> None:
    with pytest.raises(LabError, match=said):
        read_lab_file(lab_file(f"[boxes.a]\nkind = 'array-board'\n{keys}\n"))


def test_a_port_that_is_taken_is_named(lab: Lab, lab_file) -> None:
    port = int(lab.resources["prologix"].split("::")[2])
    path = lab_file(
        f"[prologix]\nport = {port}\n[boxes.a]\nkind = 'array-board'\nrows = 4\ncolumns = 4\n"
        "wire = 'prologix'\naddress = 9\n"
    )
    with pytest.raises(LabError, match=f"the GPIB cannot be served on 127.0.0.1:{port}"), Lab.from_toml(path):
        pass
