"""Whatever becomes of a program that has the boxes of a bench on, they go off: looked at in the simulated world."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from instruments import Bench, BenchError
from instruments.bench import read_bench_file
from instruments.bench._guardian import Guardian
from mock_hw import Lab, LabSettings

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
HOST = Path(__file__).with_name("guarded_host.py")
Host = tuple["subprocess.Popen[str]", psutil.Process]
pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals between processes are POSIX's")


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab(LabSettings.model_validate(SETTINGS), seed=7) as lab:
        yield lab


@pytest.fixture
def path(lab: Lab, tmp_path: Path) -> Path:
    path = tmp_path / "bench.toml"
    path.write_text(FILE.format(**lab.resources), "utf-8")
    return path


def is_on(lab: Lab) -> tuple[bool, bool]:
    """Whether the generator is at the junction, and whether volts of the meter stand across it."""
    junction = lab.junctions["mtj"]
    with junction.lock:
        return bool(junction._levels), junction._standing != 0


def has_ended(process: psutil.Process) -> bool:
    """Whether it has, though nobody may have asked for its status yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def start(lab: Lab, path: Path) -> Iterator[Callable[[str], Host]]:
    """Start a program with both outputs on; gives it and its guardian."""
    closing = contextlib.ExitStack()

    def begin(how: str) -> Host:
        host = subprocess.Popen(
            [sys.executable, HOST, path, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            start_new_session=True,
        )  # fmt: skip
        closing.callback(host.communicate)
        closing.callback(host.kill)
        assert host.stdout is not None
        assert host.stdout.readline() == "on\n", host.stderr and host.stderr.read()
        if how in ("orderly", "clumsy"):
            return host, psutil.Process()
        assert is_on(lab) == (True, True)
        guardians = [
            child for child in psutil.Process(host.pid).children() if "_guard" in " ".join(child.cmdline())
        ]
        return host, guardians[0]

    with closing:
        yield begin


@pytest.fixture
def goes_off(lab: Lab, wait_until: Callable) -> Callable[[psutil.Process], float]:
    """Wait until both are off and the guardian has gone; gives the seconds until they were off."""

    def wait(guardian: psutil.Process) -> float:
        began = time.monotonic()
        wait_until(lambda: is_on(lab) == (False, False), 20, "an output stays on")
        seconds = time.monotonic() - began
        wait_until(lambda: has_ended(guardian), 20, "the guardian stays")
        return seconds

    return wait


def test_a_killed_program_leaves_nothing_on(
    start: Callable[[str], Host], goes_off: Callable, patience: Callable
) -> None:
    host, guardian = start("asleep")
    host.kill()
    seconds = goes_off(guardian)
    assert seconds < patience(2)
    said = host.communicate()[1]
    assert "memtj's guardian of" in said
    assert "has ended without leaving it" in said
    assert "'generator': 'off, confirmed by the box'" in said


def test_neither_does_one_whose_child_holds_the_pipe(
    start: Callable[[str], Host], goes_off: Callable, patience: Callable
) -> None:
    host, guardian = start("forked")
    children = [child for child in psutil.Process(host.pid).children() if child.pid != guardian.pid]
    try:
        host.kill()
        os.waitpid(host.pid, 0)
        host.returncode = -9
        assert goes_off(guardian) < patience(3)
    finally:
        for child in children:
            child.kill()


def test_nor_one_that_hangs_and_it_does_not_go_on_unguarded(
    lab: Lab, start: Callable[[str], Host], goes_off: Callable, patience: Callable
) -> None:
    host, guardian = start("asleep")
    host.send_signal(signal.SIGSTOP)
    assert 3 < goes_off(guardian) < patience(10)
    host.send_signal(signal.SIGCONT)
    said = host.communicate(timeout=patience(20))[1]
    assert host.returncode != 0
    assert "gave no sign of life for 5 s" in said
    assert "nobody watches over the bench" in said
    assert is_on(lab) == (False, False)


def test_ctrl_c_of_the_terminal_reaches_the_program_alone(
    lab: Lab, start: Callable[[str], Host], goes_off: Callable
) -> None:
    host, guardian = start("deaf")
    os.killpg(host.pid, signal.SIGINT)
    guardian.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert not has_ended(guardian)
    assert is_on(lab) == (True, True)
    os.killpg(host.pid, signal.SIGKILL)
    goes_off(guardian)


def test_a_guardian_that_is_ended_switches_off_and_ends_the_program(
    start: Callable[[str], Host], goes_off: Callable, patience: Callable
) -> None:
    host, guardian = start("asleep")
    guardian.send_signal(signal.SIGTERM)
    goes_off(guardian)
    assert (
        "the guardian has switched the bench off: it was told to" in host.communicate(timeout=patience(20))[1]
    )


def test_a_program_whose_guardian_is_killed_leaves_the_bench(
    lab: Lab, start: Callable[[str], Host], goes_off: Callable, patience: Callable
) -> None:
    host, guardian = start("asleep")
    guardian.kill()
    goes_off(guardian)
    assert "nobody watches over the bench" in host.communicate(timeout=patience(20))[1]


def test_what_the_program_cannot_switch_off_it_tells_the_guardian(
    lab: Lab, start: Callable[[str], Host], patience: Callable
) -> None:
    host, _ = start("clumsy")
    said = host.communicate(timeout=patience(30))[1]
    assert "the guardian has tried once more: the 'generator': off, confirmed by the box" in said
    assert is_on(lab) == (False, False)


def test_an_orderly_program_and_one_that_has_nothing_on_need_none(
    lab: Lab, path: Path, start: Callable[[str], Host], patience: Callable, wait_until: Callable
) -> None:
    host, _ = start("orderly")
    assert host.communicate(timeout=patience(20))[1] == ""
    assert is_on(lab) == (False, False)
    host, guardian = start("unarmed")  # as a program that was refused a box which another one uses
    host.kill()
    wait_until(lambda: has_ended(guardian), 10, "the guardian stays")
    assert is_on(lab) == (True, True)
    assert all(each.ok for each in Bench.from_toml(path).off())


def test_it_says_which_box_takes_no_second_connection(
    lab: Lab, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    text = path.read_text("utf-8").replace(lab.resources["meter"], "TCPIP::127.0.0.1::1::SOCKET")
    path.write_text(text, "utf-8")
    guardian = Guardian(read_bench_file(path), str(path))
    guardian.begin()
    try:
        guardian.connect()
    finally:
        guardian.end(True)
    assert "the 'meter' is switched off only after this program has ended" in caplog.text
    assert "'generator'" not in caplog.text


def test_a_board_has_none_and_a_bench_may_go_without(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no process")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    with pytest.raises(
        BenchError, match=r"cannot be started \(no process\): start again, or write guardian = false"
    ):
        Guardian(read_bench_file(path), str(path)).begin()
    path.write_text(
        path.read_text("utf-8").replace("[instruments.meter]", "guardian = false\n[instruments.meter]")
    )
    Guardian(read_bench_file(path), str(path)).begin()
