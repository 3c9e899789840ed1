"""The page, the driver and the simulated board name the same commands and the same numbers."""

import ast
import inspect
import re
from pathlib import Path

from drivers import _array_block, array_board
from mock_hw.boxes import array_board as box

PAGE = Path(__file__).parents[2] / "docs" / "array-board-protocol.md"
_SENDING = {
    "write": 1,
    "ask": 1,
    "_ask_block": 1,
    "_ask_cells": 1,
    "_write_block": 1,
    "_write_cells": 1,
    "_fetch": 1,
}
_DECLARING = {"control": 2, "measurement": 1, "setting": 1}


def short(header: str) -> str:
    """Write a header in its short form, optional nodes left out."""
    return re.sub(r"[a-z]", "", re.sub(r"\[[^]]*\]", "", header))


def of_the_page() -> set[str]:
    section = PAGE.read_text("utf-8").split("## Commands")[1].split("## Sequences")[0]
    return {short(match) for match in re.findall(r"^\| `([^` ]+)`", section, re.MULTILINE)}


def of_the_driver() -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(inspect.getsource(array_board))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        count = (_SENDING | _DECLARING).get(node.func.attr, 0)
        for argument in node.args[:count]:
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                found |= {unit.lstrip(":").split()[0] for unit in argument.value.split(";")}
    return found


def of_the_box() -> set[str]:
    commands = box.TABLE.commands
    return {short(command.header) + "?" for command in commands if command.read is not None} | {
        short(command.header) for command in commands if command.write is not None
    }


def test_the_page_is_read():
    assert {"*IDN?", "PULS:VOLT", "PULS:VOLT?", "FETC?", "FETC:AGA?", "OUTP", "SYST:ERR?"} <= of_the_page()
    assert len(of_the_page()) > 60


def test_page_and_driver_name_the_same_commands():
    assert of_the_driver() == of_the_page()


def test_page_and_simulated_board_name_the_same_commands():
    assert of_the_box() == of_the_page()


def test_the_header_has_the_layout_of_the_page():
    section = PAGE.read_text("utf-8").split("## The block of an acquisition")[1].split("Data:")[0]
    sizes = {"4 bytes": 4, "uint16": 2, "uint32": 4, "uint64": 8, "float64": 8}
    letters = {"4 bytes": "4s", "uint16": "H", "uint32": "I", "uint64": "Q", "float64": "d"}
    offset, layout = 0, "<"
    for at, kind in re.findall(r"^\| (\d+) \| ([^|]+) \|", section, re.MULTILINE):
        assert int(at) == offset
        offset += sizes[kind.strip()]
        layout += letters[kind.strip()]
    assert (offset, layout) == (_array_block.HEADER_BYTES, _array_block.HEADER.format)
