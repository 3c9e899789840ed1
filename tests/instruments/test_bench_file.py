"""The bench file: what it may say, and the sentence that each mistake gets."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from types import UnionType
from typing import get_args

import pytest
from pydantic import BaseModel

from instruments import BenchError, read_bench_file
from instruments.bench._file import BenchFile, RoleSection

PAGE = Path(__file__).parents[2] / "docs" / "bench-file.md"
ANY = "TCPIP::127.0.0.1::5025::SOCKET"


def keys(model: type[BaseModel], path: str = "") -> Iterator[str]:
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, UnionType) and issubclass(get_args(kind)[0], BaseModel):
            kind = get_args(kind)[0]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from keys(kind, f"{path}{'ROLE' if kind is RoleSection else name}.")
        elif getattr(kind, "__origin__", None) is dict and isinstance(kind.__args__[1], type):
            yield from keys(kind.__args__[1], f"{path}{name}.{name.upper().rstrip('S')}.")
        else:
            yield path + name


def test_the_page_documents_every_key_and_no_other():
    section, documented = "", set()
    for line in PAGE.read_text("utf-8").splitlines():
        if heading := re.match(r"## `\[(.+)\]`", line):
            section = heading[1]
        elif section and (row := re.match(r"\| `(\w+)` \|", line)):
            documented.add(f"{section}.{row[1]}")
    assert documented == set(keys(BenchFile))


def test_the_example_is_valid(write_bench: Callable[..., Path]):
    file = read_bench_file(write_bench(ANY))
    assert file.limits.pulse_voltage == 1.8
    assert file.roles.board.assumed_load == float("inf")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "pulse_width = 2e-9",
            'pulse_width = "2 ns"',
            r"line 30: .*'limits.pulse_width' \(seconds\) is wrong",
        ),
        ("pulse_width = 2e-9", "pulse_width = 2", r"line 30: .*'limits.pulse_width' \(seconds\) is wrong"),
        ("pulse_voltage = 1.8", "pulse_voltage = nan", r"line 29: .*'limits.pulse_voltage' \(volts\)"),
        ("pulse_voltage = 1.8", "pulse_voltage = -1.8", r"line 29: .*greater than 0"),
        ("pulse_voltage = 1.8", "pulse_voltage = true", r"line 29: .*'limits.pulse_voltage'"),
        ("read_voltage = 0.2", "", r"line 28: the key 'limits.read_voltage' \(volts\) is missing"),
        (
            "duty = 0.5",
            "dutty = 0.5",
            r"line 32: there is no key 'limits.dutty' here; known are pulse_voltage",
        ),
        ("duty = 0.5", "field = 0.5", r"line 32: the key 'limits.field' .* there is none"),
        (f"rows = {32}", "rows = 6.5", r"line 21: .*'array.rows' \(whole number\)"),
        (
            "[roles.board]",
            "[roles.selector]",
            r"line 13: the role 'selector' is not supported by this version",
        ),
        ("[roles.board]", "[roles.bored]", r"line 13: there is no role 'bored'"),
        ('instrument = "board"', 'instrument = "bord"', r"line 14: there is no instrument 'bord'; .*'board'"),
        (
            "source_impedance = 50.0",
            "",
            r"line 13: the key 'roles.board.source_impedance' \(ohms\) is missing",
        ),
        ("assumed_load = inf", "assumed_load = 0", r"line 16: .*'roles.board.assumed_load'"),
        ("[limits]", "[limits", r"is not valid TOML: .*line 28"),
        ("[array]", "[arrays]", r"there is no key 'arrays' here|the key 'array'"),
        ('driver = "ArrayBoard"', "driver = 3", r"line 10: .*'instruments.board.driver' \(text\)"),
        ('name = "example bench"', 'name = ""', r"line 5: .*'bench.name'"),
    ],
)
def test_a_mistake_is_named_with_its_line(write_bench: Callable[..., Path], old: str, new: str, said: str):
    path = write_bench(ANY, (old, new))
    with pytest.raises(BenchError, match=said) as caught:
        read_bench_file(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value).split("is not valid TOML")[0]


def test_a_file_that_is_not_there(tmp_path: Path):
    with pytest.raises(BenchError, match=r"cannot read the bench file .*nowhere\.toml: No such file"):
        read_bench_file(tmp_path / "nowhere.toml")
