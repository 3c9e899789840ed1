"""A long recording beside a follower: memory, handles and speed stay what they were at the beginning."""

import json
import shutil
import statistics
import sys
from pathlib import Path

import pytest

from entropy import Store

from .conftest import end_of, states

MIB = 1 << 20
GIB = 1 << 30
GROWTH = 50e6  # bytes that memory may grow by

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads what a process holds from /proc")


def endure(start, folder: Path, total: int, rotate: int, piece: int, limit: float) -> tuple[list, list]:
    """Record `total` bytes while another process leases them; what both said of each piece of it."""
    try:
        recorder = start("endurance_recorder.py", folder, total, rotate, piece)
        recorder.stdout.readline()
        follower = start("endurance_follower.py", folder, total, piece)
        said = []
        for process in (recorder, follower):
            said.append([json.loads(line) for line in end_of(process, limit).splitlines()])
        with Store(folder) as store:
            assert states(store) == (0, 0, 8 * total, 0, 0)
            assert [info.bytes for info in store.buffers()] == [rotate] * (total // rotate)
            assert all(info.complete for info in store.buffers())
        return said[0], said[1]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def growth(said: list[dict], after: int) -> int:
    """Bytes by which a process grew since it had done `after` bytes."""
    return max(item["resident"] for item in said if item["done"] >= after) - next(
        item["resident"] for item in said if item["done"] >= after
    )


def hold_to_the_beginning(recorder: list[dict], follower: list[dict], after: int) -> None:
    assert max(growth(recorder, after), growth(follower, after)) < GROWTH
    later = [item for item in recorder if item["done"] >= after]
    for thing in ("files", "threads"):
        # the thread that puts a buffer on the disk may be between two buffers
        assert max(item[thing] for item in later) - later[0][thing] <= 1
    assert {item["threads"] for item in follower} == {follower[0]["threads"]}


def test_a_recording_of_many_segments_holds_no_more_memory_than_one_of_few(tmp_path, start, patience):
    recorder, follower = endure(start, tmp_path / "store", 128 * MIB, 16 * MIB, 8 * MIB, patience(60))
    hold_to_the_beginning(recorder, follower, after=32 * MIB)


def third(said: list[dict], name: str, *, first: bool) -> float:
    """The median of a rate over the first or the last third."""
    values = [item[name] for item in said]
    size = len(values) // 3
    return statistics.median(values[:size] if first else values[-size:])


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_ten_gibibytes_end_as_they_began(on_disk, start, capsys, patience):
    """Memory grows by less than 50 MB, and the last third is as fast as the first.

    The clock alone would measure the disk, which throttles once the page cache is full, and whoever else uses the
    processors. So each slice is set against a plain file written right after it and against the processor time
    that it took; medians of thirds.
    """
    room = shutil.disk_usage(on_disk)
    # a slice more for the plain file; a fifth of the disk's free room is left to others
    total = min(10 * GIB, int(0.8 * room.free) // GIB * GIB - GIB)
    if total < 2 * GIB:
        pytest.skip(f"{room.free / GIB:.1f} GiB of room are too little for a long recording")
    recorder, follower = endure(start, on_disk / "store", total, GIB, 64 * MIB, patience(800))
    for item in recorder:
        item["against_plain"] = item["rate"] / item["plain_rate"]
    end_over_begin = {
        name: third(recorder, name, first=False) / third(recorder, name, first=True)
        for name in ("rate", "plain_rate", "against_plain", "processor_rate")
    }
    with capsys.disabled():
        short = "" if total == 10 * GIB else " (the disk has no room for 10)"
        print(f"\n{total // GIB} GiB recorded{short}, last third over first:")
        for name, ratio in end_over_begin.items():
            begin = third(recorder, name, first=True)
            print(f"  {name:<16}{ratio:6.2f}   (first third: {begin:.3g})")
        for name, said in (("recorder", recorder), ("follower", follower)):
            grown, now = growth(said, GIB) / 1e6, said[-1]
            print(
                f"  {name}: grew by {grown:.1f} MB to {now['resident'] / 1e6:.0f}; {now['files']} files open"
            )
    hold_to_the_beginning(recorder, follower, after=GIB)
    # What slows the machine down slows a plain file beside it as much; processor time is printed and not judged, since
    # it too goes up where other programs take the caches.
    assert end_over_begin["against_plain"] >= 0.9
