"""A bench of a pulse source and a readout: checked, and switched off in the safe order."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from instruments import Bench, BenchError
from mock_hw import Lab, LabSettings
from mock_hw.testing import BoardClient

SETTINGS = {
    "junctions": {"mtj": {"device": "B"}},
    "boxes": {
        "generator": {"kind": "agilent-33500", "junction": "mtj"},
        "meter": {"kind": "keithley-2400", "junction": "mtj", "leads": 2.0},
    },
}
FILE = """
[bench]
name = "classic"
visa_library = "@py"
[instruments.meter]
driver = "pymeasure.instruments.keithley.Keithley2400"
resource = "METER"
[instruments.generator]
driver = "pymeasure.instruments.agilent.Agilent33500"
resource = "GENERATOR"
[roles.readout]
instrument = "meter"
source_impedance = 2.0
assumed_load = inf
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
    def write(*changes: tuple[str, str]) -> Path:
        text = FILE
        for old, new in (
            *changes, ("METER", lab.resources["meter"]), ("GENERATOR", lab.resources["generator"]),
        ):  # fmt: skip
            text = text.replace(old, new)
        path = tmp_path / "bench.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def outputs(lab: Lab, line: str = "") -> list[str]:
    said: list[str] = []
    for name in ("generator", "meter"):
        with BoardClient(lab.resources[name]) as box:
            if line:
                box.send(line)
            said.append(box.ask("OUTP?"))
    return said


def test_check_says_what_there_is_and_changes_no_output(lab: Lab, write: Write) -> None:
    assert outputs(lab, "OUTP 0") == ["0", "0"]
    findings = Bench.from_toml(write()).check()
    assert all(each.ok for each in findings)
    said = {(each.instrument, each.subject): each.detail for each in findings}
    assert "33521A" in said["generator", "identity"]
    assert said["generator", "output"] == said["meter", "output"] == "off"
    assert said["meter", "settings"] == "sources 0 V, compliance 0.000105 A"
    assert "leads" in " ".join(each.detail for each in findings if each.subject == "not read back")
    assert outputs(lab) == ["0", "0"]


def test_off_reaches_both_in_the_safe_order(lab: Lab, write: Write) -> None:
    assert outputs(lab, "OUTP 1") == ["1", "1"]
    found = [each for each in Bench.from_toml(write()).off() if each.subject == "output"]
    assert [(each.instrument, each.ok) for each in found] == [("generator", True), ("meter", True)]
    assert outputs(lab) == ["0", "0"]


def test_off_goes_on_where_one_is_absent_and_names_it(lab: Lab, write: Write) -> None:
    assert outputs(lab, "OUTP 1") == ["1", "1"]
    findings = Bench.from_toml(write(("GENERATOR", "TCPIP::127.0.0.1::1::SOCKET"))).off()
    assert {each.instrument for each in findings if not each.ok} == {"generator"}
    assert outputs(lab)[1] == "0"
    outputs(lab, "OUTP 0")


def test_a_wrong_box_is_named_and_not_switched(lab: Lab, write: Write) -> None:
    path = write(("GENERATOR", "X"), ("METER", lab.resources["generator"]), ("X", lab.resources["meter"]))
    wrong = [each for each in Bench.from_toml(path).check() if not each.ok]
    assert [(each.instrument, each.subject) for each in wrong] == [
        ("meter", "identity"),
        ("generator", "identity"),
    ]
    assert all("is no box for the driver" in each.detail for each in wrong)


def test_entering_and_leaving_leaves_both_off(lab: Lab, write: Write) -> None:
    with Bench.from_toml(write()) as bench:
        snapshot = bench.snapshot()
        assert bench.readout.instrument == "meter"
        with BoardClient(lab.resources["generator"]) as box:
            box.send("OUTP 1")
    assert outputs(lab) == ["0", "0"]
    assert "33521A" in snapshot["instruments"]["generator"]["identity"]
    assert snapshot["roles"]["pulse_source"]["path"]["assumed_load"] == "inf"
    assert snapshot["roles"]["readout"]["path"]["gain"] == pytest.approx(1e4 / 10_002)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("current = 1e-3", "", r"'limits\.current' \(amperes\) is missing"),
        ("rows = 1", "rows = 2", "have one junction"),
        ("[roles.readout]", "[roles.board]", r"alone, or \[roles\.pulse_source\] and \[roles\.readout\]"),
        ("current = 1e-3", "current = nan", r"'limits\.current' \(amperes\)"),
    ],
)
def test_a_mistake_in_the_file_is_named(write: Write, old: str, new: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        Bench.from_toml(write((old, new)))
