"""Every box on every wire, by the classes that drive it; where messages have an end, they keep to IEEE 488.2."""

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymeasure.adapters import PrologixAdapter

from mock_hw import Lab
from tests.mock_hw.every_box import BOXES, CASES, DRIVERS, SETTINGS, WIRES, driven, lab_of, opened
from tests.mock_hw.gpib_client import gpib

PAGE = (Path(__file__).parents[2] / "docs" / "simulated-instruments.md").read_text("utf-8")
SPEAKING = ("board", "generator", "fast_generator", "meter", "supply")  # who has an error queue
MESSAGES = tuple(wire for wire in WIRES if wire != "tcp")


@pytest.fixture(scope="module")
def served() -> Iterator[Callable[[str], Lab]]:
    """A lab of every box on a wire, served from its first use to the end of the module."""
    labs: dict[str, Lab] = {}
    with contextlib.ExitStack() as stack:

        def serve(wire: str) -> Lab:
            if wire not in labs:
                boxes = ("board",) if wire == "serial" else ()
                labs[wire] = stack.enter_context(lab_of(wire, *boxes))
            labs[wire].power_cycle()
            return labs[wire]

        yield serve


@pytest.fixture
def box(served, patience) -> Iterator[Callable[[str, str], Any]]:
    """Open a box on a wire until the end of the test: by pyvisa-py, where that can do what is asked here."""
    with contextlib.ExitStack() as stack:

        def open_box(name: str, wire: str) -> Any:
            by = gpib if wire == "prologix" else opened
            return stack.enter_context(by(served(wire), name, patience(10)))

        yield open_box


def test_the_page_says_which_box_is_on_which_wire() -> None:
    section = PAGE.split("## Wires")[1].split("\n## ")[0]
    heads, _, *rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in section.splitlines()
        if line.startswith("|")
    ]
    said = {
        (row[0], wire.strip('"'))
        for row in rows
        for wire, there in zip(heads, row, strict=True)
        if there == "yes"
    }
    assert said == {(BOXES[name]["kind"], wire) for name, wire in CASES} | {("array-board", "serial")}


def check(box: Any, settings: dict[str, object]) -> None:
    """Set all, then read all back."""
    for key, value in settings.items():
        setattr(box, key, value)
    for key, value in settings.items():
        back = getattr(box, key)
        assert back == (pytest.approx(value, rel=1e-5) if isinstance(value, float) else value), key


@pytest.mark.parametrize(("name", "wire"), CASES)
def test_its_class_sets_and_reads_back(served, patience, name, wire) -> None:
    with driven(served(wire), name, patience(10)) as box:
        check(box, SETTINGS[name])


@pytest.mark.parametrize("wire", MESSAGES)
@pytest.mark.parametrize("name", SPEAKING)
class TestMessages:
    def test_status_byte_errors_and_device_clear(self, box, wait_until, name, wire) -> None:
        instrument = box(name, wire)
        assert not instrument.read_stb() & 16
        instrument.write("*IDN?")
        wait_until(lambda: instrument.read_stb() & 16)
        assert instrument.read().count(",") == 3
        assert not instrument.read_stb() & 16
        instrument.write("NONSENSE")
        wait_until(lambda: instrument.read_stb() & 4)
        assert instrument.query("SYST:ERR?").startswith("-113")
        instrument.write_raw(b"*OPC?")  # without a line feed: the end of the message is one all the same
        assert float(instrument.read()) == 1
        instrument.clear()
        assert re.match(r"\+?0,", instrument.query("SYST:ERR?"))

    def test_an_answer_that_is_not_read_is_interrupted(self, box, name, wire) -> None:
        instrument = box(name, wire)
        for messages in (
            ("*IDN?", "*OPC?"),
            ("*IDN?\n*OPC?",),
            ("*IDN?", "*ESE 3\n*OPC?"),
            ("*IDN?\n*ESE 3\n*OPC?",),
        ):
            for message in messages:
                instrument.write(message)
            assert float(instrument.read()) == 1
            assert instrument.query("SYST:ERR?").startswith("-410")
            assert re.match(r"\+?0,", instrument.query("SYST:ERR?"))

    def test_a_hundred_questions(self, box, name, wire) -> None:
        instrument = box(name, wire)
        for number in range(100):
            assert float(instrument.query(f"*ESE {number};*ESE?")) == number


@pytest.mark.parametrize("wire", WIRES)
def test_blocks_larger_than_a_message(wire, patience) -> None:
    """160,000 bytes of any values both ways: messages of VXI-11 have 65,536, pyvisa-py reads 20,480 at a time."""
    volts = np.random.default_rng(5).uniform(-0.05, 0.05, 40_000).astype(">f4")
    with lab_of(wire, "board", rows=200, columns=200) as lab, driven(lab, "board", patience(20)) as board:
        board.trim = volts.reshape(200, 200)
        np.testing.assert_array_equal(board.trim, volts.reshape(200, 200))
        assert board.check_errors() == []


@pytest.mark.parametrize("wire", MESSAGES[1:])  # HiSLIP has no request to read
@pytest.mark.parametrize("name", SPEAKING)
def test_who_reads_where_there_is_nothing_to_say_is_told(box, name, wire) -> None:
    instrument = box(name, wire)
    instrument.timeout = 50
    with pytest.raises(Exception, match=r"Timeout|timed out"):
        instrument.read()
    instrument.timeout = 10_000
    assert instrument.query("SYST:ERR?").startswith("-420")


@pytest.mark.parametrize("wire", MESSAGES[1:])  # pyvisa-py has none over HiSLIP
def test_a_trigger(box, wire) -> None:
    generator = box("generator", wire)
    generator.assert_trigger()
    assert generator.query("SYST:ERR?").startswith("-211")


@pytest.mark.parametrize("name", [name for name in BOXES if name != "board"])  # whose driver reads by itself
def test_pymeasures_own_adapter_drives_a_box_on_the_gpib(served, patience, name) -> None:
    lab = served("prologix")
    address = int(lab.resources[name].split("::")[1])
    socket = lab.resources["prologix"].removeprefix("PRLGX-").replace("INTFC", "SOCKET")
    lines = {"read_termination": "\n", "write_termination": "\n"}
    adapter = PrologixAdapter(
        socket, address, visa_library="@py", timeout=1000 * patience(10), eos="", **lines
    )
    with contextlib.closing(adapter):
        assert adapter.version.startswith("Prologix")
        adapter.gpib_read_timeout = 3000
        check(DRIVERS[name](adapter), SETTINGS[name])
