"""What all tests need: where their files lie, how slow this machine is now, and limits of time scaled by it."""

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest

# A shell starts background jobs with Ctrl-C ignored, and children inherit that: the tests send it to theirs.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# There are as many test processes as cores: more threads would wait for each other, and burn the processor meanwhile.
# Before numpy and torch are imported, and for every process that a test starts.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Hypothesis lets no example take 200 ms; on a busy machine each may. A test's own time limit bounds them all.
hypothesis.settings.register_profile("memtj", deadline=None)
hypothesis.settings.load_profile("memtj")

# Measured once, by the first process; workers and the scripts that tests start inherit it.
SLOWNESS = "MEMTJ_TEST_SLOWNESS"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--physics-seeds",
        type=int,
        default=1,
        help="seeds with which each statistical test of the device physics runs",
    )


def pytest_configure(config: pytest.Config) -> None:
    if SLOWNESS not in os.environ:
        os.environ[SLOWNESS] = f"{_measure_slowness():.2f}"
    # Files in memory, where there is plenty: half of the time of many tests would be waiting for a disk to sync.
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and memory.is_dir() and shutil.disk_usage(memory).free > 4 << 30:
        tempfile.tempdir = os.environ["TMPDIR"] = str(memory)


def pytest_report_header(config: pytest.Config) -> str:
    return (
        f"limits of time: {os.environ[SLOWNESS]} times those of an idle machine ({SLOWNESS}); "
        f"files: {tempfile.gettempdir()} (TMPDIR)"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Scale the time limit of each test, its own or that of all."""
    limit = config.getoption("timeout")
    general = float(config.getini("timeout") if limit is None else limit)
    for item in items:
        own = item.get_closest_marker("timeout")
        seconds = own.args[0] if own is not None and own.args else general
        item.add_marker(pytest.mark.timeout(patience_for(seconds)), append=False)


def _measure_slowness() -> float:
    """Measure how many times longer work takes here now than on an idle core of some years ago; at least 1.

    The quickest of a few bursts of arithmetic shows the core, what others use of the processors shows the share
    of it that is left for as many test processes as there are cores.
    """

    def burst() -> float:
        began, total = time.perf_counter(), 0
        for number in range(200_000):
            total += number * number
        return time.perf_counter() - began

    psutil.cpu_percent()
    time.sleep(0.2)
    cores = psutil.cpu_count() or 1
    others = max(psutil.cpu_percent() / 100, psutil.getloadavg()[0] / cores)
    return min(max(1.0, min(burst() for _ in range(5)) / 0.02) * (1 + others), 20.0)


def patience_for(seconds: float) -> float:
    return seconds * float(os.environ[SLOWNESS])


@pytest.fixture(scope="session")
def patience() -> Callable[[float], float]:
    """Scale a limit of time, in seconds on an idle machine, by how slow this one is now.

    For limits that say "it never came", never for what physics or a protocol promises.
    """
    return patience_for


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A folder on a disk, for what is too large for memory or is about the disk."""
    place = Path("/var/tmp")
    folder = Path(tempfile.mkdtemp(prefix="memtj-", dir=place if place.is_dir() else None))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def content(folder: Path, but: str = ".sqlite-shm") -> dict[str, bytes]:
    """What each file below a folder holds, and b"" for a folder.

    Files of one ending are left out: those of SQLite's index of its log, which holds nothing.
    """
    paths = [path for path in folder.rglob("*") if path.suffix != but]
    return {str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes() for path in paths}


def missing(text: str, *parts: str) -> list[str]:
    """Which of these parts a text lacks."""
    return [part for part in parts if part not in text]


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Wait until a condition holds: `wait_until(condition, seconds=10, what="what did not come")`, scaled."""

    def wait(
        condition: Callable[[], object], seconds: float = 10, what: str = "it did not come to pass"
    ) -> None:
        deadline = time.monotonic() + patience_for(seconds)
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.005)

    return wait
