"""Thousands of ways to damage a store: right bits or a clear sentence; no crash, no hang, no flood of memory."""

import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and limits memory by /proc")

FUZZER = Path(__file__).with_name("fuzzer.py")


@pytest.fixture
def folder() -> Iterator[Path]:
    """In memory where possible: the cases are about what is in files, not about disks."""
    memory = Path("/dev/shm")
    made = Path(tempfile.mkdtemp(prefix="memtj-fuzz-", dir=memory if memory.is_dir() else None))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def fuzz(folder: Path, first: int, count: int, seconds: float) -> None:
    """Run cases; fails with the number and kind of each one in which something happened that must not."""
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(FUZZER), str(folder / "store"), str(first), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
    lines = done.stdout.splitlines()
    cases = [line for line in lines if line.startswith("case ")]
    again = (
        f"run `python tests/entropy/fuzzer.py FOLDER {cases[-1].split()[1] if cases else first} 1 '' --say`"
    )
    assert done.returncode == 0, (
        f"{cases[-1:]} ended the process ({done.returncode}): {again}\n{done.stderr[-3000:]}"
    )
    assert len(cases) == count
    wrong = [line for line in lines if line.startswith("wrong ")]
    assert not wrong, f"{len(wrong)} of {count}:\n" + "\n".join(wrong[:20])


# The first 150 have every kind of damage.
@pytest.mark.parametrize(
    ("first", "count"), [(0, 150), pytest.param(150, 100, marks=pytest.mark.slow)], ids=["every kind", "more"]
)
def test_damaged_stores_give_right_bits_or_a_sentence(folder, patience, first, count):
    fuzz(folder, first, count, patience(60))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thousands_of_damaged_stores_give_right_bits_or_a_sentence(folder, patience):
    """A fifth of ten thousand cases, another one each time; all: `python tests/entropy/fuzzer.py FOLDER 250 10000`."""
    start = 250 + 2_000 * secrets.randbelow(5)
    with ThreadPoolExecutor(2) as pool:
        halves = [
            pool.submit(fuzz, folder / str(first), first, 1_000, patience(500))
            for first in (start, start + 1_000)
        ]
    for half in halves:
        half.result()
