"""Instruments without a role, mistyped resources, and numbers that are none: said before anything is sent."""

import gc
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import instruments
from drivers import ArrayBoard
from instruments import Bench, BenchError, read_bench_file
from mock_hw.testing import board_lab

EXAMPLE = Path(instruments.__file__).with_name("example_bench.toml")
METER = '[instruments.meter]\ndriver = "ArrayBoard"\nresource = "{}"\n\n[roles.board]'


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with board_lab(seed=5) as lab:
        yield lab.resources["board"]


@pytest.fixture
def bench_of(served: str, tmp_path: Path) -> Callable[..., Path]:
    """Write the example's bench file for the lab, each `old` text replaced by `new`."""

    def write(*changes: tuple[str, str], resource: str = served) -> Path:
        text = EXAMPLE.read_text("utf-8").replace("TCPIP::127.0.0.1::5025::SOCKET", resource)
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        path = tmp_path / "bench.toml"
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture
def with_meter(bench_of: Callable[..., Path]) -> Iterator[tuple[Path, socket.socket]]:
    """A bench file with a second instrument that has no role, and the socket on which that listens."""
    with socket.create_server(("127.0.0.1", 0)) as meter:
        meter.settimeout(0)
        resource = f"TCPIP::127.0.0.1::{meter.getsockname()[1]}::SOCKET"
        yield bench_of(("[roles.board]", METER.format(resource))), meter


def test_off_switches_off_what_it_knows_and_names_the_rest(
    memtj_here: Callable, served: str, with_meter
) -> None:
    path, meter = with_meter
    owner = ArrayBoard(served)
    owner.output_enabled = True
    said = memtj_here("bench", "off", path, status=1).stdout.splitlines()
    assert said[-2] == "ok    board: output: off, confirmed by the board"
    assert said[-1].startswith("WRONG meter: output: has no role in ")
    assert "do that by hand" in said[-1]
    assert not owner.output_enabled
    owner.close()
    with pytest.raises(BlockingIOError):
        meter.accept()  # nobody knows what may be sent there


def test_off_goes_on_after_what_nobody_expected(
    served: str, with_meter, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ArrayBoard) -> bool:
        raise KeyError("OFF")

    monkeypatch.setattr(ArrayBoard, "switch_off", broken)
    findings = Bench.from_toml(with_meter[0]).off()
    assert [(each.instrument, each.subject, each.ok) for each in findings[-2:]] == [
        ("board", "output", False),
        ("meter", "output", False),
    ]


def test_check_names_it(with_meter) -> None:
    path, meter = with_meter
    meter.close()
    bad = [(each.instrument, each.subject) for each in Bench.from_toml(path).check() if not each.ok]
    assert bad == [("meter", "reachable"), ("meter", "role")]


@pytest.mark.parametrize("command", ["record", "tune"])
def test_recording_and_tuning_refuse_before_anything_is_sent(
    memtj_here: Callable, served: str, with_meter, tmp_path: Path, command: str
) -> None:
    path, meter = with_meter
    board = ArrayBoard(served)
    before = board.voltage_limit, board.watchdog
    options = {"record": ["--store", tmp_path / "s", "--bits", 8], "tune": ["--out", tmp_path / "t"]}
    done = memtj_here(command, path, *options[command], status=1)
    assert done.sentence.startswith(f"memtj: {path}: [instruments.meter] has no role")
    assert not (tmp_path / "s").exists()
    assert (board.voltage_limit, board.watchdog) == before
    board.close()
    with pytest.raises(BlockingIOError):
        meter.accept()


@pytest.mark.parametrize(
    ("resource", "expected"),
    [
        ("TCPIP::127.0.0.1:5025::SOCKET", "write TCPIP::host::port::SOCKET, "),
        ("TCPIP::127.0.0.1::SOCKET", "write TCPIP::host::port::SOCKET, "),
        ("TCPIP::127.0.0.1::5025", "write TCPIP::host::port::SOCKET, "),
        ("TCPIP::127.0.0.1::70000::SOCKET", "with a port from 1 to 65535"),
        ("tcpip::127.0.0.1::5025::socket", "write TCPIP::host::port::SOCKET, "),
        ("ASLR3::INSTR", "ASRL/dev/ttyACM0::INSTR"),
        ("127.0.0.1:5025", "write TCPIP::host::port::SOCKET, "),
        ("COM3", "ASRL/dev/ttyACM0::INSTR"),
        ("USB::INSTR", "write USB0::0x05E6::"),
    ],
)
def test_a_mistyped_resource_is_called_that(bench_of, resource: str, expected: str) -> None:
    path = bench_of(resource=resource)
    line = next(n for n, text in enumerate(path.read_text().splitlines(), 1) if text.startswith("resource"))
    with pytest.raises(BenchError) as caught:
        read_bench_file(path)
    assert str(caught.value).startswith(f"{path}, line {line}: {resource!r} is no VISA resource: ")
    assert expected in str(caught.value)


def test_an_alias_of_a_vendors_library_is_left_to_it(bench_of) -> None:
    changes = ('visa_library = "@py"', 'visa_library = "@ivi"')
    assert read_bench_file(bench_of(changes, resource="board_in_rack_3"))
    assert read_bench_file(bench_of(changes, resource="tcpip::127.0.0.1::5025::socket"))


@pytest.mark.parametrize(
    ("resource", "said"),
    [
        ("TCPIP::127.0.0.1::{}::SOCKET", "nothing listens on port {} of 127.0.0.1"),
        ("TCPIP::no-such-host.invalid::5025::SOCKET", "the host 'no-such-host.invalid' is not known"),
        ("ASRL/dev/ttyNOWHERE::INSTR", "this computer has no such port"),
        ("USB0::0x05E6::0x2450::04::INSTR", "pyvisa-py needs pyusb"),
    ],
)
@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # pyvisa-py leaves a socket open
def test_what_cannot_be_opened_says_why(bench_of, resource: str, said: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    path = bench_of(resource=resource.format(port))
    (found,) = Bench.from_toml(path).check()
    assert (found.subject, found.ok) == ("reachable", False)
    assert said.format(port) in found.detail
    assert "\n" not in found.detail
    with pytest.raises(BenchError, match=r"key 'instruments.board.resource': "):
        Bench.from_toml(path).__enter__()
    if "invalid" in resource:
        gc.collect()  # here, where it is known


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_no_number_of_the_file_is_none(bench_of, value: str) -> None:
    text = EXAMPLE.read_text("utf-8")
    numbers = [
        line.split(" = ")[0] for line in text.splitlines() if " = " in line and '"' not in line.split("#")[0]
    ]
    assert len(numbers) == 12
    for key in numbers:
        if (key, value) == ("assumed_load", "inf"):
            continue
        before = next(
            line.split("#")[0].rstrip() for line in text.splitlines() if line.startswith(f"{key} = ")
        )
        with pytest.raises(BenchError, match=rf"line \d+: the key '\w+\.(board\.)?{key}'"):
            read_bench_file(bench_of((before, f"{key} = {value}")))
    option = ("[roles.board]", f"options = {{ timeout = {value} }}\n[roles.board]")
    with pytest.raises(BenchError, match=r"options.timeout' is wrong: an option is text, a finite number"):
        read_bench_file(bench_of(option))


# What the command line refuses before the board is spoken to


def refuse_to_open(self: Bench) -> Bench:
    raise AssertionError("the bench was opened")


POINT = ["voltage", "width", "period", "reset-width", "reset-voltage", "read-voltage", "settle"]


@pytest.mark.parametrize("value", ["nan", "inf"])
@pytest.mark.parametrize("command", ["record", "tune"])
def test_no_option_is_no_number(
    memtj_here: Callable, bench_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, value: str
) -> None:
    monkeypatch.setattr(Bench, "__enter__", refuse_to_open)
    common = {
        "record": ["record", bench_of(), "--store", tmp_path / "s", "--bits", "1e5"],
        "tune": ["tune", bench_of(), "--out", tmp_path / "t.json"],
    }[command]
    others = {"record": ["min-entropy", "false-alarm"], "tune": ["target", "tolerance"]}[command]
    for option in [*POINT, *others]:
        done = memtj_here(*common, f"--{option}", value)
        if done.returncode == 2:  # typer's own range
            assert option in done.stderr
        else:
            assert done.returncode == 1
            assert f"cannot use {option.replace('-', '_')} = {value}: " in done.sentence
    for option in {"record": ["bits", "block-bits", "ahead", "retries"], "tune": []}[command]:
        for wrong in (value, "1.5"):
            memtj_here(*common, f"--{option}", wrong, status=2)
    assert [each.name for each in tmp_path.iterdir()] == ["bench.toml"]


def test_files_that_cannot_be_are_refused_first(
    memtj_here: Callable, bench_of, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Bench, "__enter__", refuse_to_open)
    bench, there, blocked = bench_of(), tmp_path / "there.json", tmp_path / "blocked" / "x.json"
    there.write_text("mine")
    (tmp_path / "blocked").write_text("a file, no folder")
    (tmp_path / "csv.csv").write_text("mine")
    for arguments, said in (
        (("tune", bench, "--out", there), "there.json exists already"),
        (("tune", bench, "--out", blocked), "x.json cannot be written (Not a directory)"),
        (("tune", bench, "--out", tmp_path / "csv.json"), "csv.csv exists already"),
        (("tune", bench, "--out", tmp_path / "new.csv"), "would both be"),
        (
            ("record", bench, "--store", tmp_path / "s", "--bits", 8, "--csv", there),
            "there.json exists already",
        ),
        (("record", bench, "--store", tmp_path / "s", "--bits", 8, "--tuning", there), "is no tuning"),
    ):
        assert said in memtj_here(*arguments, status=1).sentence
    assert there.read_text() == "mine"
    assert not (tmp_path / "s").exists()
    nobody = bench_of(resource="ASRL/dev/ttyNOWHERE::INSTR")
    monkeypatch.undo()
    memtj_here("tune", nobody, "--out", tmp_path / "deep" / "t.json", status=1)
    assert not (tmp_path / "deep").exists()


def test_the_demo_begins_nothing_with_no_voltage(memtj_here: Callable, tmp_path: Path) -> None:
    done = memtj_here("demo", "--voltage", "nan", "--out", tmp_path / "demo", status=1)
    assert done.sentence == "memtj: --voltage nan is no voltage: give a finite number of volts."
    assert not (tmp_path / "demo").exists()


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--voltage", 1.9, "above limits.pulse_voltage"), ("--reset-voltage", 1.9, "above limits.pulse_voltage"),
        ("--width", 5e-9, "above limits.pulse_width"), ("--width", 1.9e-9, None),
        ("--period", 1.5, "cannot use period"), ("--reset-width", 1.9e-9, None),
        ("--read-voltage", 0.3, "above limits.read_voltage"),
        ("--settle", 1e-10, "cannot use settle"),
    ],
)  # fmt: skip
def test_a_setting_above_a_limit_makes_no_store(
    memtj_here: Callable,
    bench_of,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    option: str,
    value: float,
    said,
) -> None:
    begun: list[object] = []
    monkeypatch.setattr("instruments.run", lambda *given: begun.append(given) or 1 / 0)
    done = memtj_here("record", bench_of(), "--store", tmp_path / "s", "--bits", 8, option, value, status=1)
    if said is None:  # within the limits
        assert begun
    else:
        assert said in done.sentence
        assert not (tmp_path / "s").exists()
