"""What a person with one array meets on the first day: files of Windows editors, libraries that are missing, rates."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import pytest
from rich.console import Console

from entropy import Store
from instruments import read_bench_file
from memtj._progress import ProgressDisplay
from memtj.commands.record import _follow
from mock_hw._lab_file import read_lab_file
from mock_hw.physics import load_device
from sampler.comparison import load_plan
from tests.memtj.conftest import bench_of

NOWHERE = "TCPIP::127.0.0.1::1::SOCKET"
LAB = '[lab]\nseed = 1\n\n[boxes.board]\nkind = "array-board"\n'
DEVICE = (files("mock_hw") / "devices" / "C.toml").read_text("utf-8")
PLAN = (files("sampler") / "comparison" / "plans" / "controls.toml").read_text("utf-8")


@pytest.mark.parametrize(
    ("read", "text"),
    [(read_bench_file, bench_of(NOWHERE)), (read_lab_file, LAB), (load_device, DEVICE), (load_plan, PLAN)],
    ids=["bench", "lab", "device", "plan"],
)
def test_a_file_that_an_editor_of_windows_saved_is_read(
    read: Callable[[Path], object], text: str, tmp_path: Path
) -> None:
    file = tmp_path / "file.toml"
    file.write_text(text, "utf-8")
    expected = read(file)
    file.write_bytes(text.replace("\n", "\r\n").encode("utf-8-sig"))
    assert read(file) == expected
    file.write_text(text, "utf-16")
    with pytest.raises(Exception, match=r"file\.toml is no text in UTF-8: save it as UTF-8$"):
        read(file)


@pytest.mark.parametrize("library", ["@nix", "/nowhere/libvisa.so", "nowhere"])
def test_a_visa_library_that_is_none_is_called_that(
    library: str, memtj_here: Callable, tmp_path: Path
) -> None:
    bench = tmp_path / "bench.toml"
    bench.write_text(bench_of(NOWHERE).replace('"@py"', f'"{library}"'), "utf-8")
    done = memtj_here("bench", "check", bench, status=1)
    assert "reachable: the VISA library cannot be loaded: correct visa_library" in done.stdout


def test_what_pymeasure_tells_its_maintainers_is_not_told_here(memtj_here: Callable, tmp_path: Path) -> None:
    bench = tmp_path / "bench.toml"
    meter = '\n[instruments.meter]\ndriver = "pymeasure.instruments.keithley.Keithley2000"\n'
    bench.write_text(f'{bench_of(NOWHERE)}{meter}resource = "GPIB0::9::INSTR"\n', "utf-8")
    done = memtj_here("bench", "check", bench, status=1)
    assert "WRONG meter: role: has no role" in done.stdout
    assert "maintainers" not in done.stdout + done.stderr


def test_a_prune_that_prunes_nothing_asks_for_no_yes(memtj_here: Callable, tmp_path: Path) -> None:
    Store(tmp_path / "bits").close()
    done = memtj_here("store", "prune", tmp_path / "bits")
    assert (done.returncode, done.stdout) == (0, "none of 0 buffers would go.\n")


@dataclass
class Recording:
    """As much of a RecordingProgress as is shown."""

    stage: str
    bits: int = 0
    watch: None = None


def test_the_rate_of_a_recording_is_that_of_its_bits() -> None:
    now, told = 0.0, io.StringIO()
    with ProgressDisplay(Console(file=told), clock=lambda: now) as display:
        show = _follow(display, 5_000_000)
        show(Recording("preparing"))
        now = 10.0  # the cells were measured
        show(Recording("recording"))
        now = 10.5
        show(Recording("recording", 5_000_000))
    assert told.getvalue().splitlines()[-1] == "recording: 5.00 Mbit of 5.00 Mbit, 10.0 Mbit/s"
