"""An adapter of one's own, that of docs/add-an-instrument.md: found beside the bench file, used, named, or refused."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instruments import Bench, BenchError
from instruments.bench.adapters import ReadSettings
from mock_hw import Lab, LabSettings
from mock_hw.testing import BoardClient

PAGE = Path(__file__).parents[2] / "docs" / "add-an-instrument.md"
CODE = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
ROLE = re.findall(r"```toml\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)[0]
SETTINGS = {
    "junctions": {"mtj": {"device": "B"}},
    "boxes": {
        "generator": {"kind": "agilent-33500", "junction": "mtj"},
        "meter": {"kind": "keithley-2400", "junction": "mtj", "leads": 2.0},
    },
}
FILE = """
[bench]
name = "mine"
visa_library = "@py"
[instruments.generator]
driver = "pymeasure.instruments.agilent.Agilent33500"
resource = "GENERATOR"
[roles.pulse_source]
instrument = "generator"
source_impedance = 50.0
assumed_load = inf
[array]
rows = 1
columns = 1
resistance = 1e4
[limits]
pulse_voltage = 1.0
pulse_width = 1e-6
read_voltage = 0.1
current = 1e-3
"""
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def write(lab: Lab, tmp_path: Path) -> Write:
    def write(code: str = CODE, *changes: tuple[str, str]) -> Path:
        text = ROLE.replace("TCPIP::192.168.0.9::5025::SOCKET", lab.resources["meter"]) + FILE
        for old, new in (*changes, ("GENERATOR", lab.resources["generator"])):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / "my_meter.py").write_text(code, "utf-8")
        path = tmp_path / "bench.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def test_check_names_the_file_and_changes_nothing(lab: Lab, write: Write) -> None:
    findings = Bench.from_toml(write()).check()
    assert all(each.ok for each in findings), findings
    said = {each.subject: each.detail for each in findings if each.instrument == "meter"}
    assert re.fullmatch(r"MyMeter of .*my_meter\.py, sha256 [0-9a-f]{12}", said["own code"])
    assert said["settings"] == "sources 0 V"


def test_off_sends_its_safe_state(lab: Lab, write: Write) -> None:
    with BoardClient(lab.resources["meter"]) as box:
        box.send("OUTP 1")
        assert box.ask("OUTP?") == "1"
    assert all(each.ok for each in Bench.from_toml(write()).off())
    with BoardClient(lab.resources["meter"]) as box:
        assert box.ask("OUTP?") == "0"


def test_it_reads_the_junction_within_its_limits(lab: Lab, write: Write) -> None:
    bench = Bench.from_toml(write())
    opening = bench._opening
    box, _ = opening.open("meter")
    try:
        role: Any = opening.role("readout", box)
        role.prepare()
        role.adapter.prepare(ReadSettings(0.02, 1e-4))
        ohms = role.adapter.read()
        assert 1e3 < ohms < 1e4
        with pytest.raises(BenchError, match=r"above limits\.read_voltage"):
            role.adapter.prepare(ReadSettings(0.2, 1e-4))
        role.safe_state()
        with BoardClient(lab.resources["meter"]) as client:
            assert client.ask("OUTP?") == "0"
    finally:
        box.adapter.close()


def test_a_file_that_changed_is_run_anew(write: Write) -> None:
    path = write()
    assert Bench.from_toml(path).check()
    write(CODE.replace("sources", "gives"))
    assert any(each.detail == "gives 0 V" for each in Bench.from_toml(path).check())


@pytest.mark.parametrize(
    ("code", "change", "said"),
    [
        (
            CODE,
            ("my_meter.py:MyMeter", "other.py:MyMeter"),
            r"key 'roles\.readout\.adapter'.*other\.py.* cannot be read",
        ),
        (CODE, (":MyMeter", ":YourMeter"), r"my_meter\.py has no class 'YourMeter'"),
        (
            CODE,
            ("my_meter.py:MyMeter", "MyMeter"),
            r"'MyMeter' names no class in a file: write FILE\.py:CLASS",
        ),
        ("1 / 0", (":MyMeter", ":MyMeter"), r"my_meter\.py raises ZeroDivisionError"),
        ("class MyMeter: pass", (":MyMeter", ":MyMeter"), r"is no adapter, it lacks driver, models"),
        (
            "class MyBox: pass",
            ("pymeasure.instruments.Instrument", "my_meter.py:MyBox"),
            r"key 'instruments\.meter\.driver'.*'my_meter\.py:MyBox' is no pymeasure Instrument",
        ),
    ],
)
def test_what_is_no_adapter_is_named_and_the_other_box_is_switched_off(
    lab: Lab, write: Write, code: str, change: tuple[str, str], said: str
) -> None:
    path = write(code, change)
    (wrong,) = [each for each in Bench.from_toml(path).check() if not each.ok]
    assert re.search(said, wrong.detail), wrong
    with BoardClient(lab.resources["generator"]) as box:
        box.send("OUTP 1")
        assert box.ask("OUTP?") == "1"
    assert {each.instrument for each in Bench.from_toml(path).off() if not each.ok} == {"meter"}
    with BoardClient(lab.resources["generator"]) as box:
        assert box.ask("OUTP?") == "0"


def test_a_board_needs_none(write: Write) -> None:
    path = write(CODE, ("[roles.readout]", "[roles.board]"))
    with pytest.raises(BenchError, match=r"a board needs no adapter"):
        Bench.from_toml(path)
