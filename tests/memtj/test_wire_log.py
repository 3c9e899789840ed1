"""What passes on the wires of a bench, in a file that is exact, never hinders a safe state, and can be played again."""

import ast
import json
import os
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from instruments import Bench, BenchError
from instruments.bench import WireLogReplay
from instruments.bench._wire_log import WireLog
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
resource = "{meter}"
[instruments.generator]
driver = "pymeasure.instruments.agilent.Agilent33500"
resource = "{generator}"
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


@pytest.fixture(scope="module")
def boxes() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def two(boxes: Lab, tmp_path: Path) -> Path:
    """The bench file of a generator and a source-meter."""
    path = tmp_path / "two.toml"
    path.write_text(FILE.format(**boxes.resources), "utf-8")
    return path


def outputs(boxes: Lab, line: str = "") -> list[str]:
    said: list[str] = []
    for resource in boxes.resources.values():
        with BoardClient(resource) as box:
            if line:
                box.send(line)
            said.append(box.ask("OUTP?"))
    return said


def pieces(path: Path) -> list[dict[str, Any]]:
    first, *rest = (json.loads(line) for line in path.read_text().splitlines())
    assert first["format"] == "memtj wire log 1"
    return rest


def at_the_replay(file: Path, replay: WireLogReplay, path: Path) -> Path:
    """A bench file with the resources of a replay."""
    text = path.read_text("utf-8")
    for piece in pieces(file):
        if piece["what"] == "opened":
            text = text.replace(piece["data"], replay.resources[piece["box"]])
    other = path.with_name("replayed.toml")
    other.write_text(text, "utf-8")
    return other


def said(findings: list) -> list[tuple[str, str, bool, str]]:
    return [(each.instrument, each.subject, each.ok, each.detail) for each in findings]


def test_it_has_what_passed_byte_by_byte_and_the_drivers_own_lines_too(
    memtj_here: Callable, two: Path, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    memtj_here("bench", "check", two, "--wire-log", file, status=0)
    found = pieces(file)
    meter = [(piece["what"], piece["data"]) for piece in found if piece["box"] == "meter"]
    assert meter[0][0] == "opened"
    assert meter[1] == (
        "sent",
        ":FORMAT:ELEMENTS VOLTAGE, CURRENT, RESISTANCE, TIME, STATUS\n",
    )  # of pymeasure's constructor
    asked = meter.index(("sent", "OUTP?\n"))
    assert meter[asked + 1] == ("got", "0\n")
    times = [piece["at"] for piece in found]
    assert times == sorted(times)
    assert 0 <= times[0] < 60
    assert {piece["box"] for piece in found} == {"meter", "generator"}
    assert "exists already" in memtj_here("bench", "check", two, "--wire-log", file, status=1).sentence


def test_a_recording_has_its_blocks_by_length_and_crc(
    memtj_here: Callable, bench: Path, tmp_path: Path
) -> None:
    file = tmp_path / "wire.jsonl"
    options = ("--bits", "2e5", "--block-bits", "1e5", "--no-calibrate", "--wire-log", file)
    memtj_here("record", bench, "--store", tmp_path / "s", *options, status=0)
    found = pieces(file)
    long = [piece for piece in found if "bytes" in piece]
    assert sum(piece["bytes"] for piece in long) > 2e5 / 8
    assert all(piece["bytes"] > 1024 and len(piece["begins"]) == 32 for piece in long)
    assert file.stat().st_size < 1e6
    sent = [piece["data"] for piece in found if piece["what"] == "sent" and "data" in piece]
    assert any("OUTP 1" in line for line in sent)
    assert any("OUTP OFF" in line for line in sent[-4:])
    assert not [thread for thread in threading.enumerate() if thread.name == "wire log"]


def test_long_pieces_are_left_out_and_every_byte_has_its_letter(tmp_path: Path) -> None:
    wire_log = WireLog(tmp_path / "log")
    wire_log.note("box", "sent", bytes(range(256)) * 4)
    wire_log.note("box", "got", bytes(range(256)) * 4 + b"!")
    wire_log.end()
    wire_log.note("box", "got", b"later")
    wire_log.end()
    first, second, third = pieces(tmp_path / "log")
    assert first["data"].encode("latin-1") == bytes(range(256)) * 4
    assert (second["bytes"], second["crc32"]) == (1025, f"{zlib.crc32(bytes(range(256)) * 4 + b'!'):08x}")
    assert third["data"] == "later"


@pytest.mark.parametrize("disk", ["full", "hung", "gone"])
def test_no_disk_keeps_an_output_on(
    boxes: Lab, two: Path, tmp_path: Path, patience: Callable, caplog: pytest.LogCaptureFixture, disk: str
) -> None:
    assert outputs(boxes, "OUTP 1") == ["1", "1"]
    file = tmp_path / "folder" / "wire.jsonl"
    file.parent.mkdir()
    bench = Bench.from_toml(two, wire_log=file)
    if disk == "full":
        file.symlink_to("/dev/full")
    elif disk == "hung":
        os.mkfifo(file)  # nobody reads it: opening it for writing takes for ever
    else:
        file.parent.rmdir()
    began = time.monotonic()
    assert all(each.ok for each in bench.off())
    assert outputs(boxes) == ["0", "0"]
    assert time.monotonic() - began < patience(10)
    assert ("ends here" in caplog.text) == (disk != "hung")
    if disk == "hung":
        with file.open("rb"):  # so that the thread ends
            time.sleep(0.1)


def test_off_goes_on_without_a_log(memtj_here: Callable, boxes: Lab, two: Path, tmp_path: Path) -> None:
    assert outputs(boxes, "OUTP 1") == ["1", "1"]
    (tmp_path / "there").write_text("mine")
    done = memtj_here("bench", "off", two, "--wire-log", tmp_path / "there", status=0)
    assert "exists already" in done.stderr
    assert outputs(boxes) == ["0", "0"]
    assert (tmp_path / "there").read_text() == "mine"


def test_two_boxes_are_played_again(two: Path, tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    findings = Bench.from_toml(two, wire_log=file).check()
    with WireLogReplay.load(file) as replay:
        again = Bench.from_toml(at_the_replay(file, replay, two)).check()
        replay.wait()
    assert said(again) == said(findings)


def test_off_is_played_again_with_other_marks(boxes: Lab, two: Path, tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    findings = Bench.from_toml(two, wire_log=file).off()
    with WireLogReplay.load(file) as replay:
        assert said(Bench.from_toml(at_the_replay(file, replay, two)).off()) == said(findings)
        replay.wait()


def test_a_board_is_played_again_and_something_else_is_named(bench: Path, tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    findings = Bench.from_toml(bench, wire_log=file).check()
    with WireLogReplay.load(file) as replay:
        assert said(Bench.from_toml(at_the_replay(file, replay, bench)).check()) == said(findings)
        replay.wait()
    with WireLogReplay.load(file) as replay:
        Bench.from_toml(at_the_replay(file, replay, bench)).off()
        with pytest.raises(
            BenchError, match=r"the box 'board': .*OUTP OFF.* came where line \d+ of the log has"
        ):
            replay.wait()


def test_the_command_serves_it_and_ends(two: Path, tmp_path: Path, start: Callable, end: Callable) -> None:
    file = tmp_path / "wire.jsonl"
    Bench.from_toml(two, wire_log=file).check()
    replaying = start("bench", "replay", file, "--json")
    replay = WireLogReplay.load(file)
    replay.resources = json.loads(replaying.stdout.readline())["resources"]
    assert all(each.ok for each in Bench.from_toml(at_the_replay(file, replay, two)).check())
    end(replaying, None, status=0)


def test_it_begins_a_drivers_test(memtj_here: Callable, two: Path, bench: Path, tmp_path: Path) -> None:
    file = tmp_path / "wire.jsonl"
    Bench.from_toml(two, wire_log=file).off()
    text = memtj_here("bench", "replay", file, "--expected-protocol", "meter", status=0).stdout
    assert "from pymeasure.instruments.keithley import Keithley2400" in text
    assert "(b'OUTP 0', None)," in text
    assert "(b'OUTP?', b'0')," in text
    pairs = ast.literal_eval("[" + text.partition("    [\n")[2].rpartition("    ],")[0] + "]")
    rest = f"    for sent, got in {pairs[1:]}:\n        instrument.write(sent.decode())\n"
    rest += "        got and instrument.read()\n"
    exec(text.replace("    ...\n", rest), {})  # pymeasure refuses another line, and one that is left
    other = tmp_path / "board.jsonl"
    Bench.from_toml(bench, wire_log=other).check()
    text = memtj_here("bench", "replay", other, "--expected-protocol", "board", status=0).stdout
    assert text.startswith("from drivers import ArrayBoard\n")
    assert "(b'SYST:PROT?', b'1.2')," in text
    assert "*ESE" not in text
    wrong = memtj_here("bench", "replay", other, "--expected-protocol", "meter", status=1)
    assert "the log has no box 'meter': it has board" in wrong.sentence


def test_what_is_no_log_is_refused_and_half_a_line_is_left_out(
    memtj_here: Callable, two: Path, tmp_path: Path
) -> None:
    assert "is no wire log" in memtj_here("bench", "replay", two, status=1).sentence
    file = tmp_path / "wire.jsonl"
    Bench.from_toml(two, wire_log=file).check()
    whole = WireLogReplay.load(file).exchanges
    with file.open("a") as half:
        half.write('{"at": 3, "box": "met')
    assert WireLogReplay.load(file).exchanges == whole
