"""The role of the field beside a board: ramped, read back, confirmed by a gaussmeter, down on every way out."""

import contextlib
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymeasure.instruments.kepco import KepcoBOP3612

from entropy import Store
from instruments import Bench, BenchError, run_procedure
from instruments.bench.adapters import KepcoBOPSupply, MagnetSettings
from instruments.procedures import RecordBits
from mock_hw import Lab, LabSettings
from mock_hw.testing import BoardClient

SETTINGS = {
    "magnets": {"coil": {"field_per_ampere": 0.02, "resistance": 3.2, "inductance": 0.16}},
    "boxes": {
        "board": {"kind": "array-board", "rows": 4, "columns": 4},
        "supply": {"kind": "kepco-bop", "magnet": "coil"},
        "probe": {"kind": "lakeshore-425", "magnet": "coil"},
    },
}
FILE = """
[bench]
name = "in a field"
visa_library = "@py"
[instruments.board]
driver = "ArrayBoard"
resource = "BOARD"
[instruments.supply]
driver = "pymeasure.instruments.kepco.KepcoBOP3612"
resource = "SUPPLY"
options = { timeout = 2000 }
[instruments.probe]
driver = "pymeasure.instruments.lakeshore.LakeShore425"
resource = "PROBE"
options = { timeout = 2000 }
[roles.board]
instrument = "board"
source_impedance = 50.0
assumed_load = inf
[roles.field]
instrument = "supply"
axis = "z"
field_per_ampere = 0.02
ramp = 0.1
voltage = 8.0
[roles.gaussmeter]
instrument = "probe"
[array]
rows = 4
columns = 4
resistance = 1e5
[limits]
pulse_voltage = 1.5
pulse_width = 2e-9
read_voltage = 0.2
field = 0.04
"""
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def write(lab: Lab, tmp_path: Path) -> Write:
    lab.power_cycle("supply")

    def write(*changes: tuple[str, str]) -> Path:
        text = FILE
        for old, new in (*changes, *((name.upper(), lab.resources[name]) for name in lab.resources)):
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "bench.toml"
        path.write_text(text, "utf-8")
        return path

    return write


def told(lab: Lab, *lines: str) -> str:
    with BoardClient(lab.resources["supply"]) as box:
        for line in lines[:-1]:
            box.send(line)
        return str(box.ask(lines[-1]))


def is_down(lab: Lab) -> bool:
    return told(lab, "OUTP?") == "0" and abs(lab.magnets["coil"].field()) < 1e-3


def test_a_killed_program_leaves_no_field(lab: Lab, write: Write, wait_until: Callable) -> None:
    code = f"""
import os, signal
from instruments import Bench
with Bench.from_toml({str(write())!r}) as bench:
    bench.set_field(0.03)
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    )  # until its guardian has ended
    assert done.returncode == -signal.SIGKILL
    assert "'supply': 'ramped down" in done.stderr or "'supply': 'off" in done.stderr, done.stderr
    assert "'board': 'off, confirmed by the board'" in done.stderr
    assert is_down(lab)


def test_a_field_is_ramped_confirmed_and_down_when_the_bench_is_left(lab: Lab, write: Write) -> None:
    magnet = lab.magnets["coil"]
    with Bench.from_toml(write()) as bench:
        assert bench.set_field(0.0) == 0.0
        assert told(lab, "OUTP?") == "0", "the output is on in a field alone"
        began = time.monotonic()
        assert bench.set_field(0.03) == pytest.approx(0.03, rel=0.02)
        assert time.monotonic() - began >= 0.2, "at 0.1 T/s"
        assert magnet.field() == pytest.approx(0.03, rel=0.02)
        assert bench.set_field(-0.02) == pytest.approx(-0.02, rel=0.02)
        assert bench.snapshot()["roles"]["field"]["instrument"] == "supply"
    assert is_down(lab)


@pytest.mark.parametrize("field", [0.05, -0.05])
def test_a_field_above_its_limit_is_refused_before_anything_is_sent(
    lab: Lab, write: Write, field: float
) -> None:
    with Bench.from_toml(write()) as bench:
        bench.set_field(0.01)
        with pytest.raises(BenchError, match=r"above limits\.field = 0\.04 T"):
            bench.set_field(field)
        assert lab.magnets["coil"].field() == pytest.approx(0.01, rel=0.05)
    assert is_down(lab)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("field_per_ampere = 0.02", "field_per_ampere = 0.04"), "'probe' reads .* T where 0.03 T were set"),
        (("voltage = 8.0", "voltage = 1.0"), "A flow in the magnet of the 'supply' where 1.5 A were set"),
    ],
)
def test_a_field_that_does_not_come_is_said_and_taken_down(
    lab: Lab, write: Write, change: tuple[str, str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("instruments.bench.adapters._kepco_bop._ARRIVES", 1.0)
    with Bench.from_toml(write(change)) as bench:
        with pytest.raises(BenchError, match=said):
            bench.set_field(0.03)
        assert is_down(lab)


def test_an_error_inside_takes_the_field_down(lab: Lab, write: Write) -> None:
    with contextlib.suppress(KeyError), Bench.from_toml(write()) as bench:
        bench.set_field(0.03)
        raise KeyError
    assert is_down(lab)


def test_a_cut_wire_is_connected_anew_to_take_the_field_down(
    lab: Lab, write: Write, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), Bench.from_toml(write()) as bench:
        bench.set_field(0.03)
        bench.instruments["supply"].adapter.close()
    assert is_down(lab)
    assert "confirmed over a new connection" in caplog.text


@pytest.mark.parametrize("mode", ["CURR", "VOLT"])
def test_off_ramps_down_what_another_program_has_left(lab: Lab, write: Write, mode: str) -> None:
    assert told(lab, f"FUNC:MODE {mode}", "CURR 2", "VOLT 8", "OUTP 1", "OUTP?") == "1"
    found = {each.instrument: each for each in Bench.from_toml(write()).off() if each.subject == "output"}
    assert list(found) == ["board", "supply", "probe"], "the safe order"
    assert all(each.ok for each in found.values())
    assert found["supply"].detail == "ramped down and off, confirmed by the box"
    assert found["probe"].detail == "it only reads: there is nothing to switch off"
    assert is_down(lab)


def test_check_says_what_there_is_and_changes_nothing(lab: Lab, write: Write) -> None:
    told(lab, "FUNC:MODE VOLT", "CURR 2", "VOLT 1", "OUTP 1", "OUTP?")
    said = {(each.instrument, each.subject): each.detail for each in Bench.from_toml(write()).check()}
    assert said["supply", "output"].startswith("on")
    assert "voltage mode, 1 V within 2 A: no field source" in said["supply", "settings"]
    assert told(lab, "OUTP?") == "1"
    told(lab, "OUTP 0", "OUTP?")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("field = 0.04", "", r"'limits\.field' \(tesla\) is missing"),
        ('axis = "z"', 'axis = "x"', r"'roles\.field\.axis'"),
        ("ramp = 0.1", "ramp = 0", r"'roles\.field\.ramp' \(tesla per second\)"),
        ("ramp = 0.1", "rump = 0.1", r"no key 'roles\.field\.rump' here; known are instrument, adapter"),
        ("[roles.field]\n", "[roles.gaussmeter]\n#", "Cannot declare"),
    ],
)
def test_a_mistake_in_the_file_is_named(write: Write, old: str, new: str, said: str) -> None:
    with pytest.raises(BenchError, match=said):
        Bench.from_toml(write((old, new)))


def test_a_limit_that_wants_more_than_the_box_gives_is_refused(lab: Lab) -> None:
    box: Any = KepcoBOP3612(lab.resources["supply"], visa_library="@py")
    try:
        with pytest.raises(BenchError, match=r"gives 12 A and 36 V: 1 T are 50 A"):
            KepcoBOPSupply(box, MagnetSettings(0.02, 0.1, 1.0, 8.0))
    finally:
        box.adapter.close()


def test_a_recording_is_in_its_field_and_its_blocks_say_so(
    lab: Lab, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    magnet, during = lab.magnets["coil"], list[float]()
    with Bench.from_toml(write()) as bench, Store(tmp_path / "store") as store:
        procedure = RecordBits(
            bench=bench, store=store, bits=20_000, block_bits=8192, calibrate=False, field=0.03
        )
        monkeypatch.setattr(procedure, "_on_commit", lambda *_: during.append(magnet.field()))
        run_procedure(procedure, tmp_path / "rows.csv")
        assert abs(magnet.field()) < 1e-3, "down before the bench is left"
        (buffer,) = store.buffers()
        rows = store.rows(buffer.uuid)["field"]
    assert len(rows) > 1
    assert len(during) == len(rows)
    assert [*rows, *during] == pytest.approx([0.03] * (len(rows) + len(during)), rel=0.02)


def test_a_recording_in_a_field_that_cannot_be_is_refused_before_anything_is_on(
    lab: Lab, write: Write
) -> None:
    with Bench.from_toml(write()) as bench:
        with pytest.raises(BenchError, match=r"above limits\.field"):
            RecordBits(bench=bench, field=0.05).rehearse()
        assert told(lab, "OUTP?") == "0"
    path = write(
        (
            '[roles.field]\ninstrument = "supply"\naxis = "z"\nfield_per_ampere = 0.02\nramp = 0.1\nvoltage = 8.0\n',
            "",
        ),
        ('[roles.gaussmeter]\ninstrument = "probe"\n', ""),
        ("field = 0.04\n", ""),
    )
    text = path.read_text("utf-8")
    begin, end = text.index("[instruments.supply]"), text.index("[roles.board]")
    path.write_text(text[:begin] + text[end:], "utf-8")
    with (
        Bench.from_toml(path) as bench,
        pytest.raises(BenchError, match=r"has no field to set: give it a \[roles\.field\]"),
    ):
        RecordBits(bench=bench, field=0.01).rehearse()


def test_a_supply_that_is_on_is_left_to_the_program_that_uses_it(lab: Lab, write: Write) -> None:
    told(lab, "FUNC:MODE CURR", "VOLT 8", "CURR 1", "OUTP 1", "OUTP?")
    with pytest.raises(BenchError, match=r"the output of the 'supply' is on"):
        Bench.from_toml(write()).__enter__()
    assert told(lab, "OUTP?") == "1"
    told(lab, "OUTP 0", "OUTP?")
