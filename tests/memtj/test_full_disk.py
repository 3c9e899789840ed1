"""`memtj record` where the disk takes no more: it ends, switches off, and keeps what it committed."""

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import missing
from tests.memtj.conftest import all_free

pytestmark = pytest.mark.skipif(os.name == "nt", reason="file-size limits are POSIX's")

LIMIT = 12 << 20  # bytes of a file


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file of this process may grow beyond LIMIT, as on a disk that is full then."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_it_cleanly(memtj_here: Callable, lab, bench: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    command = ("record", bench, "--store", store, "--mode", "toggle", "--no-calibrate")
    with full_disk():
        done = memtj_here(*command, "--bits", "1e10", "--block-bits", "1e6", status=1)
    assert not lab.output_is_on()
    assert lab.ask("SYST:WATC:TRIP?") == "0"
    said = ("no more can be written (File too large)", "Free some space and start a new recording")
    assert missing(done.sentence, *said) == []
    assert done.stdout == ""
    before = all_free(store)
    assert before >= 30 * 999_424
    # With room it goes on without any repair.
    memtj_here(*command, "--bits", "1e6", status=0)
    assert all_free(store) >= before + 1_000_000
