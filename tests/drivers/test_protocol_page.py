"""The page, the driver and the simulated board name the same commands and the same numbers."""

import ast
import re
from pathlib import Path

import drivers.array_board
from drivers.array_board import _block
from mock_hw._lab_file import BoxSettings, LabSection, LimitSettings, PrologixSettings
from mock_hw._scpi import Table
from mock_hw.boxes import array_board as box
from mock_hw.faults._board import simulator_commands

PAGE = Path(__file__).parents[2] / "docs" / "array-board-protocol.md"
LAB_PAGE = PAGE.with_name("simulated-lab.md")
_SENDING = {
    "write": 1,
    "ask": 1,
    "_ask_block": 1,
    "_ask_cells": 1,
    "_write_block": 1,
    "_write_cells": 1,
    "_since_1_1": 1,
    "_fetch": 1,
    "_floats": 1,
    "values": 1,
}
_DECLARING = {"control": 2, "measurement": 1, "setting": 1}


def short(header: str) -> str:
    """Write a header in its short form, optional nodes left out."""
    return re.sub(r"[a-z]", "", re.sub(r"\[[^]]*\]", "", header))


def of_the_page() -> set[str]:
    section = PAGE.read_text("utf-8").split("## Commands")[1].split("## Sequences")[0]
    return {short(match) for match in re.findall(r"^\| `([^` ]+)`", section, re.MULTILINE)}


def of_the_driver() -> set[str]:
    found = {"*ESE", "*ESE?"}  # what marks are made of
    sources = [path.read_text("utf-8") for path in Path(drivers.array_board.__file__).parent.glob("*.py")]
    for node in (node for source in sources for node in ast.walk(ast.parse(source))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        count = (_SENDING | _DECLARING).get(node.func.attr, 0)
        for argument in node.args[:count]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found |= {unit.lstrip(":").split()[0] for unit in argument.value.split(";")}
    return found


def of_a_table(table: Table) -> set[str]:
    return {short(command.header) + "?" for command in table.commands if command.read is not None} | {
        short(command.header) for command in table.commands if command.write is not None
    }


def test_the_page_is_read():
    assert {"*IDN?", "PULS:VOLT", "PULS:VOLT?", "FETC?", "FETC:AGA?", "OUTP", "SYST:ERR?"} <= of_the_page()
    assert len(of_the_page()) > 60


def test_page_and_driver_name_the_same_commands():
    assert of_the_driver() == of_the_page()


def test_page_and_simulated_board_name_the_same_commands():
    assert of_a_table(box.TABLE) == of_the_page()


def faults_of_the_page() -> list[tuple[str, str]]:
    """First two columns of the table of faults: command, table of the lab file."""
    section = LAB_PAGE.read_text("utf-8").split("## Faults")[1]
    return re.findall(r"^\| `(SIM[^` ]+)`[^|]*\|([^|]*)\|", section, re.MULTILINE)


def test_what_breaks_the_simulated_board_is_on_the_page_of_the_lab_and_nowhere_else():
    assert of_a_table(Table(simulator_commands(None))) == {
        short(command) for command, _ in faults_of_the_page()
    }
    assert all(command.header.startswith("SIMulator:") for command in simulator_commands(None))
    spoken = of_the_driver() | of_the_page() | of_a_table(box.TABLE)
    assert not {header for header in spoken if header.startswith("SIM")}


def test_the_page_of_the_lab_has_every_fault_of_its_file_with_its_keys():
    schema = BoxSettings.model_json_schema()["$defs"]
    kinds = {entry["properties"]["kind"]["const"]: set(entry["properties"]) for entry in schema.values()
             if "kind" in entry["properties"]}  # fmt: skip
    written = {}
    for _, cell in faults_of_the_page():
        if kind := re.search(r'`kind = "(\w+)"`', cell):
            written[kind[1]] = set(re.findall(r"`(\w+)(?: =[^`]*)?`", cell))
    assert written == kinds


def test_the_header_has_the_layout_of_the_page():
    section = PAGE.read_text("utf-8").split("## The block of an acquisition")[1].split("Data:")[0]
    sizes = {"4 bytes": 4, "uint16": 2, "uint32": 4, "uint64": 8, "float64": 8}
    letters = {"4 bytes": "4s", "uint16": "H", "uint32": "I", "uint64": "Q", "float64": "d"}
    offset, layout = 0, "<"
    for at, kind in re.findall(r"^\| (\d+) \| ([^|]+) \|", section, re.MULTILINE):
        assert int(at) == offset
        offset += sizes[kind.strip()]
        layout += letters[kind.strip()]
    assert (offset, layout) == (_block.HEADER_BYTES, _block.HEADER.format)


def test_the_page_of_the_lab_has_every_key_of_its_file():
    section = LAB_PAGE.read_text("utf-8").split("## The lab file")[1].split("```toml")[0]
    written: dict[str, set[str]] = {}
    table = ""
    for first, keys in re.findall(r"^\| ([^|]*)\| ((?:`\w+`(?:, )?)+) \|", section, re.MULTILINE):
        table = first.strip(" `") or table
        written.setdefault(table, set()).update(re.findall(r"`(\w+)`", keys))
    assert written == {
        "[lab]": set(LabSection.model_fields),
        "[boxes.NAME]": set(BoxSettings.model_fields) - {"limits", "faults"},
        "[boxes.NAME.limits]": set(LimitSettings.model_fields),
        "[prologix]": set(PrologixSettings.model_fields),
    }
