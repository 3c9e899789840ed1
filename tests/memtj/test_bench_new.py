"""Boxes are found by what they say, and a bench file that begins with them is refused until somebody fills it in."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import pyvisa

from instruments import Bench, BenchError, read_bench_file
from memtj import _labs
from mock_hw import Lab, LabSettings
from mock_hw.testing import BoardClient, canned_board

BOXES = {
    "junctions": {"mtj": {"device": "B"}},
    "magnets": {"coil": {"field_per_ampere": 0.01, "resistance": 1.0, "inductance": 0.1}},
    "boxes": {
        "generator": {"kind": "agilent-33500", "junction": "mtj"},
        "meter": {"kind": "keithley-2400", "junction": "mtj", "leads": 2.0, "wire": "hislip"},
        "gauss": {"kind": "lakeshore-425", "magnet": "coil"},
        "board": {"kind": "array-board", "rows": 4, "columns": 6},
    },
}
PATH = {"source_impedance": "2.0", "assumed_load": "inf", "attenuation": "0.0", "overshoot": "0.0"}
LIMITS = {
    "pulse_voltage": "1.0",
    "pulse_width": "1e-6",
    "read_voltage": "0.1",
    "duty": "0.5",
    "current": "1e-3",
}
FILLED = {"name": '"mine"', "resistance": "1e4", **PATH, **LIMITS}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(BOXES), seed=7) as lab:
        yield lab


@pytest.fixture
def stranger() -> Iterator[str]:
    """A box that no driver of ours is for."""
    with canned_board(lambda line: b"ACME,X,1,2\n", marked=False) as resource:
        yield resource


@pytest.fixture(autouse=True)
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of its own for the files of running labs, and a library that lists nothing."""
    monkeypatch.setattr(_labs, "_folder", lambda: tmp_path / "labs")
    listing(monkeypatch)
    return tmp_path / "labs"


def listing(monkeypatch: pytest.MonkeyPatch, *resources: str) -> None:
    monkeypatch.setattr(pyvisa.ResourceManager, "list_resources", lambda *_: resources)


def named(lab: Lab, *names: str) -> list[str]:
    return [word for name in names for word in ("--resource", lab.resources[name])]


def filled(path: Path) -> Path:
    lines = path.read_text("utf-8").splitlines()
    for at, line in enumerate(lines):
        key = line.split(" = ")[0]
        if '= "?"' in line:
            lines[at] = f"{key} = {FILLED[key]}"
    path.write_text("\n".join(lines), "utf-8")
    return path


def test_each_box_says_who_it_is_and_which_role_it_plays(
    memtj_here: Callable, lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing(monkeypatch, *lab.resources.values(), "ASRL/dev/ttyNOWHERE::INSTR", "GPIB0::INTFC")
    found = memtj_here("bench", "find", "--visa-library", "@py", "--json", status=0).json["boxes"]
    said = {box["resource"]: box for box in found}
    roles = {name: said[resource]["role"] for name, resource in lab.resources.items()}
    assert roles == {"generator": "pulse_source", "meter": "readout", "gauss": "gaussmeter", "board": "board"}
    assert "MODEL 2400" in said[lab.resources["meter"]]["identity"]
    assert "not asked" in said["ASRL/dev/ttyNOWHERE::INSTR"]["trouble"]
    assert len(found) == 5
    with BoardClient(lab.resources["generator"]) as box:
        assert box.error() == 0
    asked = memtj_here(
        "bench", "find", "--visa-library", "@py", "--baud-rate", 9600, "--json", status=0
    ).json["boxes"]
    assert "has no such port" in next(box["trouble"] for box in asked if "NOWHERE" in box["resource"])


def test_what_does_not_answer_is_named(memtj_here: Callable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, socket.create_server(("127.0.0.1", 0)) as other:
        gone = other.getsockname()[1]
        other.close()
        resources = [f"TCPIP::127.0.0.1::{port}::SOCKET" for port in (silent.getsockname()[1], gone)]
        lines = memtj_here(
            "bench",
            "find",
            "--visa-library",
            "@py",
            "--resource",
            resources[0],
            "--resource",
            resources[1],
            status=0,
        ).stdout.splitlines()
    assert lines[0] == f"{resources[0]}: does not answer *IDN? within 1 s"
    assert f"nothing listens on port {gone}" in lines[1]
    wrong = memtj_here("bench", "find", "--resource", "TCPIP::127.0.0.1::SOCKET", status=1)
    assert "is no VISA resource" in wrong.sentence


def test_a_file_for_two_boxes_is_refused_until_it_is_filled_in(
    memtj_here: Callable, lab: Lab, stranger: str, tmp_path: Path
) -> None:
    file = tmp_path / "bench.toml"
    new = (
        "bench",
        "new",
        file,
        "--visa-library",
        "@py",
        *named(lab, "meter", "generator"),
        "--resource",
        stranger,
    )
    assert memtj_here(*new, status=0).stdout.startswith(f"{file}: readout, pulse_source; fill in each")
    with pytest.raises(
        BenchError, match=r"line 5: the key 'bench\.name' \(text\) is not filled in: .* \(and 14 more\)"
    ):
        read_bench_file(file)
    before = file.read_text("utf-8")
    assert before.count('= "?"') == 15
    assert f"# {stranger}: ACME,X,1,2\n# It has no role here" in before
    assert "exists already" in memtj_here(*new, status=1).sentence
    assert file.read_text("utf-8") == before
    assert all(each.ok for each in Bench.from_toml(filled(file)).check())


def test_no_limit_is_invented_however_many_are_filled_in(
    memtj_here: Callable, lab: Lab, tmp_path: Path
) -> None:
    file = tmp_path / "bench.toml"
    memtj_here("bench", "new", file, "--visa-library", "@py", *named(lab, "board"), status=0)
    text = filled(file).read_text("utf-8")
    for key in ("pulse_voltage", "pulse_width", "read_voltage", "duty"):
        file.write_text(text.replace(f"{key} = {FILLED[key]}", f'{key} = "?"'), "utf-8")
        with pytest.raises(BenchError, match=rf"'limits\.{key}' .* is not filled in"):
            Bench.from_toml(file)
    file.write_text(text, "utf-8")
    assert (read_bench_file(file).array.rows, read_bench_file(file).array.columns) == (4, 6)


def test_two_benches_are_not_mixed(memtj_here: Callable, lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "bench.toml"
    done = memtj_here("bench", "new", file, "--visa-library", "@py", *named(lab, "board", "meter"), status=1)
    assert "that is more than one bench (board: " in done.sentence
    done = memtj_here("bench", "new", file, "--visa-library", "@py", *named(lab, "gauss"), status=1)
    assert "no box pulses or reads devices" in done.sentence
    assert "no box was found" in memtj_here("bench", "new", file, status=1).sentence
    assert not file.exists()


def test_a_rude_identity_stays_in_its_comment(memtj_here: Callable, lab: Lab, tmp_path: Path) -> None:
    file = tmp_path / "bench.toml"
    with canned_board(lambda line: b"A,B,C\r[limits]\x07\x1b[2J\n", marked=False) as resource:
        memtj_here(
            "bench",
            "new",
            file,
            "--visa-library",
            "@py",
            *named(lab, "board"),
            "--resource",
            resource,
            status=0,
        )
    assert f"\n# {resource}: A,B,C\N{REPLACEMENT CHARACTER}[limits]" in file.read_text("utf-8")
    read_bench_file(filled(file))


def test_a_running_lab_is_found_and_forgotten(
    runtime: Path, tmp_path: Path, memtj_here: Callable, start: Callable, end: Callable, wait_until: Callable,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.undo()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    listing(monkeypatch)
    labs = tmp_path / "memtj" / "labs"
    labs.mkdir(parents=True)
    (labs / f"{2**22 + 1}.json").write_text('{"resources": {"board": "TCPIP::127.0.0.1::1::SOCKET"}}')
    lab = start("lab", "--json")
    printed = lab.stdout.readline()
    (tmp_path / "lab.json").write_text(printed)
    assert (labs / f"{lab.pid}.json").read_text() == printed
    (box,) = memtj_here("bench", "find", "--json", status=0).json["boxes"]
    assert (box["role"], box["lab"]) == ("board", str(labs / f"{lab.pid}.json"))
    for name, options in (("found", []), ("given", ["--lab", tmp_path / "lab.json"])):
        memtj_here("bench", "new", tmp_path / name, *options, status=0)
        assert read_bench_file(filled(tmp_path / name)).array.rows == 64
    end(lab, 15, status=0)
    assert list(labs.iterdir()) == []
    assert memtj_here("bench", "find", status=0).stdout.startswith("no box was found")
    wrong = tmp_path / "wrong.json"
    wrong.write_text("[]")
    assert "is not what" in memtj_here("bench", "new", tmp_path / "x", "--lab", wrong, status=1).sentence


def test_a_computer_without_a_session_is_not_warned_of_it(
    monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert _labs.own_file().name.endswith(".json")
    assert not recwarn
