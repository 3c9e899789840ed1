"""The laboratory: its file, its resources, and as a process of its own."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import pytest

import mock_hw
from mock_hw import Lab, LabError, describe
from mock_hw.testing import BoardClient

TWO_BOXES = """
[lab]
seed = 5
[boxes.small]
kind = "array-board"
rows = 3
columns = 5
serial_number = "S-7"
[boxes.hot]
kind = "array-board"
temperature = 320.0
limits = { voltage = 1.5 }
"""


def ask(resource: str, line: str) -> str:
    with BoardClient(resource, timeout=10) as client:
        return client.ask(line)


def test_boxes_of_a_file(lab_file):
    path = lab_file(TWO_BOXES)
    with Lab.from_toml(path) as lab:
        assert lab.seed == 5
        assert list(lab.resources) == ["small", "hot"]
        small, hot = lab.resources.values()
        assert ask(small, "ARR:SIZE?;*IDN?") == "3,5;MEMTJ,ARRAY-BOARD-SIM,S-7,1.2"
        assert ask(hot, "ARR:SIZE?;:LIM:VOLT?") == "64,64;1.5"
        assert float(ask(hot, "SYST:TEMP?")) == pytest.approx(320, abs=3)
        with pytest.raises(LabError, match="no box 'cold'; it serves small, hot"):
            lab.power_cycle("cold")
    assert lab.resources == {}
    with pytest.raises(OSError, match="Errno"):
        ask(small, "*IDN?")
    with Lab.from_toml(path, seed=6) as lab:
        assert lab.seed == 6


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals on Windows")
def test_serial_box(lab_file):
    content = '[boxes.line]\nkind = "array-board"\nrows = 4\ncolumns = 4\nwire = "serial"\n'
    with Lab.from_toml(lab_file(content)) as lab:
        resource = lab.resources["line"]
        assert resource.startswith("ASRL/dev/")
        assert resource.endswith("::INSTR")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("boxes = 3", "boxes: .*dictionary"),
        ("", "boxes: Field required"),
        ("[boxes]", "boxes: .*at least 1"),
        ("[boxes.a]\nkind = 'scope'", r"boxes\.a\.kind: .*'array-board'"),
        ("[boxes.a]\nkind = 'array-board'\nrow = 4", r"boxes\.a\.row: Extra inputs"),
        ("[boxes.a]\nkind = 'array-board'\nrows = 0", r"boxes\.a\.rows: .*greater than or equal to 1"),
        ("[boxes.a]\nkind = 'array-board'\nrows = '64'", r"boxes\.a\.rows: .*integer"),
        ("[boxes.a]\nkind = 'array-board'\nlimits.width = nan", r"boxes\.a\.limits\.width: .*finite"),
        ("[boxes.a]\nkind = 'array-board'\ndevice = 3", r"boxes\.a\.device: .*string"),
        ("[boxes.a\nkind =", "not valid TOML: .*line 1"),
    ],
)
def test_wrong_file_names_file_and_key(lab_file, content, message):
    path = lab_file(content)
    with pytest.raises(LabError, match=message) as caught:
        Lab.from_toml(path)
    assert str(path) in str(caught.value)


def test_missing_file_and_taken_port(tmp_path, lab_file):
    with pytest.raises(LabError, match=r"cannot read the lab file .*none\.toml"):
        Lab.from_toml(tmp_path / "none.toml")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = lab_file(f'[boxes.a]\nkind = "array-board"\nport = {taken.getsockname()[1]}\n')
        with pytest.raises(LabError, match=r"box 'a' cannot be served on 127\.0\.0\.1:"), Lab.from_toml(path):
            pass


def test_devices_of_boxes_and_of_the_call(tmp_path, lab_file):
    def sets(**call: str) -> dict[str, str]:
        return {box: dict(rows)["set"][0] for box, rows in describe(path, **call).items()}

    one = '[boxes.a]\nkind = "array-board"\n'
    path = lab_file(one + 'device = "A"\n' + one.replace("boxes.a", "boxes.b"))
    assert sets() == {"a": "A", "b": "C"}
    assert sets(device="B") == {"a": "B", "b": "B"}
    # A device file lies beside the lab file, wherever the lab is started from.
    (tmp_path / "mine.toml").write_text(
        (Path(mock_hw.__file__).parent / "devices" / "A.toml").read_text("utf-8")
    )
    path.write_text(one + 'device = "mine.toml"\n')
    assert sets() == {"a": "A"}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('device = "Q"', "box 'a': there is no device 'Q': name one of A, B, C"),
        ('device = "none.toml"', r"box 'a': cannot read the device file .*none\.toml"),
        (
            "limits.voltage = 2.5",
            r"limits\.voltage = 2\.5 V is beyond the 2 V that the model of device 'C' covers",
        ),
        ("limits.width = 1e-8", r"limits\.width = 1e-08 s is beyond the 2e-09 s"),
    ],
)
def test_a_device_that_cannot_be_had(lab_file, lines, message):
    with pytest.raises(LabError, match=message):
        Lab.from_toml(lab_file(f'[boxes.a]\nkind = "array-board"\n{lines}\n'))


def test_without_a_seed_the_lab_says_which_it_took():
    assert Lab.default().seed != Lab.default().seed


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM between processes on Windows")
@pytest.mark.parametrize("number", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGTERM])
def test_process_serves_until_a_signal_and_exits_0(start, number, patience):
    process = start("from mock_hw import serve; serve(json=True, seed=3)")
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    assert ready["pid"] == process.pid
    assert ready["seed"] == 3
    assert ask(ready["resources"]["board"], "SYST:ORIG?") == "SIM"
    process.send_signal(number)
    assert process.wait(patience(20)) == 0
    assert process.stdout.read() == ""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM between processes on Windows")
def test_a_signal_in_the_middle_of_its_waiting_ends_it(start, patience):
    """Where the lab waits by an Event, a signal that comes while `wait` holds its lock had `set` wait for ever."""
    script = (
        "import signal, sys, threading\n"
        "from mock_hw import serve\n"
        "wait = threading.Condition.wait\n"
        "def interrupted(self, timeout=None):\n"
        "    if sys._getframe(2).f_code is serve.__wrapped__.__code__:\n"
        "        signal.raise_signal(signal.SIGTERM)\n"
        "    return wait(self, timeout)\n"
        "threading.Condition.wait = interrupted\n"
        "serve(json=True)"
    )
    process = start(script)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    assert process.wait(patience(10)) == 0


def test_process_ends_with_its_parents_pipe(start, patience):
    process = start("from mock_hw import serve; serve(exit_with_stdin=True)")
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline().startswith("board: TCPIP::127.0.0.1::")
    assert "seed" in process.stdout.readline()
    process.stdin.close()
    assert process.wait(patience(20)) == 0


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "killpg"), reason="POSIX only")
def test_process_does_not_outlive_a_killed_parent(start):
    parent = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', "
        "'from mock_hw import serve; serve(json=True, exit_with_stdin=True)'], stdin=subprocess.PIPE)\n"
        "time.sleep(100)"
    )
    process = start(parent)
    assert process.stdout is not None
    ready = json.loads(process.stdout.readline())
    process.kill()
    # The lab holds the other end of this pipe: it ends when the lab has ended.
    assert process.stdout.read() == ""
    with pytest.raises(OSError, match="Errno"):
        ask(ready["resources"]["board"], "*IDN?")
