"""Full disks, damaged files and files that are not what they seem."""

import os
import shutil
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from entropy import BLOCK_DTYPE, Store, StoreError
from entropy import verify as verify_store
from entropy.buffer._format import CELL_DTYPE
from entropy.buffer._opening import open_buffer
from entropy.buffer._reader import BufferReader
from entropy.buffer._view import checksum
from entropy.store._verify import BadBlock, verify
from entropy.testing import change_ledger
from tests.conftest import missing

from .conftest import damage, interrupt, spend, states


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
@pytest.mark.parametrize("how", ["reserved", "plain"])
def test_on_a_full_disk_committed_blocks_stay_and_the_error_says_what_to_do(tmp_path, run, how):
    arguments = ["plain"] if how == "plain" else []
    *committed, sentence, last = run("full_disk.py", tmp_path / "s", 5 << 20, *arguments).splitlines()
    blocks = len(committed)
    assert blocks >= 10
    assert committed == [str(index) for index in range(blocks)]
    assert ".h5: no more can be written (File too large)" in sentence
    assert f"its {blocks} committed blocks are intact. Free some space" in sentence
    assert last == f"True {blocks}"
    expected = np.random.default_rng(0).integers(0, 256, 1 << 18, dtype=np.uint8)
    with Store(tmp_path / "s") as store:
        (info,) = store.buffers()
        assert info.complete == (how == "reserved")
        for index in range(blocks):
            np.testing.assert_array_equal(store.read_block(info.uuid, index)[0], expected)
        assert store.verify().ok
        assert store.accounts().balanced


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
def test_no_room_for_even_an_empty_buffer_is_a_sentence(tmp_path, start, patience):
    Store(tmp_path / "s").close()
    process = start("full_disk.py", tmp_path / "s", 200_000)
    _, err = process.communicate(timeout=patience(60))
    assert process.returncode == 1
    assert "cannot be made: File too large; free some space" in err
    assert not list((tmp_path / "s").glob("*.h5"))


def test_a_damaged_byte_of_bits_is_found_by_reading_and_by_verify(store, made):
    made.fill(store, [4, 4, 4])
    (info,) = store.buffers()
    damage(info.path, "bits", at=4 * made.count // 8 + 5)

    def read():
        with store.lease(3000, purpose="test") as lease:
            lease.read(1024)
            lease.read(100)

    with pytest.raises(StoreError, match=r"\.h5: the CRC of block 1 in /bits is wrong"):
        read()
    assert store.accounts().burned == 3000
    report = store.verify()
    assert not report.ok
    (problem,) = report.problems
    assert missing(problem, str(info.path), "block 1") == []
    assert (report.blocks, report.bits) == (2, 2048)
    assert report.bad_blocks == [BadBlock(info.uuid, info.path.name, 1, problem)]


def test_a_damaged_mask_is_found(store, made):
    with made.recording(store) as record:
        usable = np.ones(made.count, np.uint8)
        usable[5] = 0
        made.append(record, np.ones(made.count, np.uint8), usable=usable)
    (info,) = store.buffers()
    damage(info.path, "valid")
    assert any("block 0 in /valid" in problem for problem in store.verify().problems)


def test_a_damaged_block_row_is_found_and_its_block_is_not_read(store, made):
    made.fill(store, [4, 4, 4])
    (info,) = store.buffers()
    store.close()
    damage(info.path, "blocks", at=BLOCK_DTYPE.itemsize + 40)
    with Store(store.path) as again:
        assert any("row of block 1 is damaged" in problem for problem in again.verify().problems)
        assert len(again.rows(info.uuid)) == 1
        assert sum(states(again)) == 3 * 1024, "the ledger kept its copy of the rows"


def test_a_missing_buffer_is_named_and_the_accounts_still_hold(store, made):
    made.fill(store, [4])
    (info,) = store.buffers()
    store.close()
    info.path.unlink()
    with Store(store.path) as again:
        assert states(again) == (1024, 0, 0, 0, 0)
        report = again.verify()
        (problem,) = report.problems
        assert missing(problem, f"{info.path} is missing", "(free: bits 0 to 1,023)") == []
        assert [bad.block for bad in report.bad_blocks] == [0]
        with pytest.raises(StoreError, match="are missing"), again.lease(8, purpose="test") as lease:
            lease.read(8)


def test_a_ledger_that_disagrees_is_found(store, made):
    made.fill(store, [4, 4])
    store.close()
    spans = "(1, 0, 100, 'free', NULL), (1, 90, 1958, 'consumed', NULL)"
    change_ledger(
        store.path,
        f"UPDATE blocks SET ones = ones + 1 WHERE idx = 1; DELETE FROM ranges; INSERT INTO ranges VALUES {spans}",
    )
    problems = "\n".join(verify_store(store.path).problems)
    faults = (
        "no ledger or is damaged",
        "row of block 1 differs",
        "no or two owners at bit 90",
        "do not add up",
    )
    assert missing(problems, *faults) == []


def test_gaps_in_the_boards_sequence_and_strays_are_information(store, made):
    with made.recording(store) as record:
        for sequence in (4, 5, 9):
            made.append(record, np.ones(made.count, np.uint8), sequence=sequence)
    (store.path / "stray.h5").write_bytes(b"")
    report = store.verify()
    assert report.ok
    assert missing("\n".join(report.notes), "steps by 4 before block 2", "stray.h5: not in the ledger") == []


def test_another_acquisition_is_no_gap(store, made):
    with made.recording(store) as record:
        for sequence in (3, 4, 0, 1, 2, 0, 0, 1, 5):
            made.append(record, np.ones(made.count, np.uint8), sequence=sequence)
    notes = "\n".join(store.verify().notes)
    assert missing(notes, "begins again at 0 3 times (block 2, 5, 6)", "steps by 4 before block 8") == []
    assert notes.count("steps by") == 1


def test_a_missing_buffer_says_which_ranges_are_gone_and_abbreviates_many(store, made):
    made.fill(store, [40])
    (info,) = store.buffers()
    for first in range(0, 800, 100):
        store.withhold(info.uuid, first, 10, verdict="test")
    spend(store, 5000)
    info.path.unlink()
    (problem,) = store.verify().problems
    gone = "; consumed: bits 712 to 5,711; withheld: bits 0 to 9, 100 to 109, "
    assert missing(problem, gone, "and 3 more ranges of 30 bits)") == []


def test_every_bad_block_of_every_buffer_is_named(store, made):
    made.fill(store, [4] * 30, rotate_bytes=10 * 128)
    infos = store.buffers()
    damage(infos[0].path, "bits", at=3 * 128)
    damage(infos[1].path, "blocks", at=8 * BLOCK_DTYPE.itemsize)
    os.truncate(infos[2].path, 3000)
    report = store.verify()
    named = {(bad.buffer, bad.file, bad.block) for bad in report.bad_blocks}
    expected = [(0, 3), (1, 8), (1, 9), *((2, block) for block in range(10))]
    assert named == {(infos[buffer].uuid, infos[buffer].path.name, block) for buffer, block in expected}
    assert len(report.bad_blocks) == len(expected)
    assert report.blocks == 30 - len(expected)


def test_what_is_left_of_a_file_that_was_cut_short_is_still_read(store, made):
    made.fill(store, [1024] * 30)  # 32 KiB a block, 8 of them a chunk
    (info,) = store.buffers()
    with h5py.File(info.path, "r") as file:
        last = file["bits"].id.get_chunk_info(3)
    os.truncate(info.path, last.byte_offset + 2 * 1024 * made.count // 8 + 5)
    report = store.verify()
    assert [bad.block for bad in report.bad_blocks] == [26, 27, 28, 29]
    assert "row of block 26 is damaged (it ends beyond /bits or the file; 4 rows" in report.problems[0]
    assert spend(store, 20 * 1024 * made.count)


def test_sums_of_the_ledger_that_do_not_hold_are_found(store, made):
    made.fill(store, [4, 4])
    store.close()
    change_ledger(store.path, "UPDATE buffers SET ones = ones + 1, bytes = 7")
    with Store(store.path) as again:
        problems = "\n".join(again.verify().problems)
    assert missing(problems, "ones and it is said to have", "have 256 bytes and it is said to have 7") == []


def test_a_buffer_under_anothers_name_is_found(store, made):
    for seed in (1, 2):
        made.fill(store, [4], seed)
    first, second = store.buffers()
    shutil.copy(first.path, second.path)
    (problem,) = store.verify().problems
    assert f"{second.path} is buffer {first.uuid} and the ledger has {second.uuid} under this name" in problem


def test_buffers_that_were_put_elsewhere_are_verified_there(store, made, tmp_path, monkeypatch):
    for seed in range(4):
        made.fill(store, [4], seed)
    infos = store.buffers()
    for info in infos[1:]:
        info.path.rename(tmp_path / info.path.name)
    damage(tmp_path / infos[2].path.name, "bits")
    places = [None, *(str(tmp_path / info.path.name) for info in infos[1:3]), "deleted"]
    records = store._ledger.buffers
    monkeypatch.setattr(
        store._ledger,
        "buffers",
        lambda **more: [
            replace(record, place=place) for record, place in zip(records(**more), places, strict=False)
        ],
    )
    report = store.verify()
    (problem,) = report.problems
    assert str(tmp_path / infos[2].path.name) in problem
    assert report.blocks == 2
    places[1] = str(tmp_path / "gone.h5")
    report = store.verify()
    assert len(report.problems) == 1
    assert any("gone.h5: archived there and not there now" in note for note in report.notes)


def test_a_live_buffer_is_verified_as_far_as_it_was_when_verify_began(store, start):
    recorder = start("recorder.py", store.path, 64, 0, 0, 2**30)
    recorder.stdout.readline()
    for _ in range(10):
        for _ in range(20):
            recorder.stdout.readline()
        known = store.accounts().recorded
        seen: list[tuple[int, int]] = []
        report = store.verify(lambda done, total, seen=seen: seen.append((done, total)))
        assert report.ok, report.problems
        assert report.bits >= known
        assert seen == sorted(seen)
        assert seen[-1][0] == seen[-1][1]


def test_ctrl_c_ends_verify_at_once(store, made, patience):
    made.fill(store, [4096] * 40, rotate_bytes=2**24)
    before = threading.active_count()
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        store.verify(interrupt)
    assert time.monotonic() - began < patience(2)
    assert threading.active_count() == before
    assert store.verify().ok


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("pulses", [1, 3, 1000, 40_000])
def test_blocks_of_every_size_are_verified_in_pieces(store, made, threads, pulses):
    """Smaller than a piece, larger, and with masks; every one of them damaged is found."""
    rng = np.random.default_rng(pulses)
    with made.recording(store) as record:
        for index in range(7):
            outcomes = rng.integers(0, 2, pulses * made.count + made.count * index, dtype=np.uint8)
            usable = (rng.random(len(outcomes)) > 0.1).astype(np.uint8) if index % 2 else None
            made.append(record, outcomes, usable=usable)
    (info,) = store.buffers()
    assert verify(store.path, store._ledger, None, threads).ok
    row = store.rows(info.uuid)[3]
    damage(info.path, "bits", at=int(row["first_byte"]) % (1 << 18), chunk=int(row["first_byte"]) >> 18)
    damage(
        info.path, "valid", at=-1 + int(row["valid_offset"]) % (1 << 14), chunk=int(row["valid_offset"]) >> 14
    )
    report = verify(store.path, store._ledger, None, threads)
    assert [bad.block for bad in report.bad_blocks] == [1, 3]
    assert "block 3 in /bits" in report.problems[1]


def test_verify_reports_its_progress_in_bytes(store, made):
    made.fill(store, [4] * 5, rotate_bytes=256)
    seen = []
    assert store.verify(lambda done, total: seen.append((done, total))).ok
    assert seen == [(256, 640), (512, 640), (640, 640)], "a small buffer is one step"


# --- files that are not what they seem


@pytest.fixture
def buffer(store, made):
    made.fill(store, [4])
    (info,) = store.buffers()
    store.close()
    return info.path


def exchange(name, make):
    """Put something else in the place of an object of a file."""

    def change(file):
        del file[name]
        make(file)

    return change


def put(name, value):
    """Put something into a file."""
    return lambda file: file.__setitem__(name, value)


def bits(*shape_and_type, **more):
    """Make other bits than a buffer's."""
    return exchange("bits", lambda file: file.create_dataset("bits", *shape_and_type, **more))


OUTSIDE = [(str(Path(tempfile.gettempdir()) / "memtj-no-such-bits"), 0, 128)]
VIRTUAL = h5py.VirtualLayout((128,), np.uint8)
VIRTUAL[:] = h5py.VirtualSource("other.h5", "bits", (128,))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (exchange("valid", lambda file: file.__setitem__("valid", file["bits"])), "two names stand for one dataset"),
        (exchange("cells", lambda file: file.create_dataset("cellz", (3,), CELL_DTYPE)), "/cells is missing"),
        (exchange("bits", put("bits", h5py.ExternalLink("secret.h5", "/bits"))), "/bits is a link to elsewhere"),
        (exchange("bits", put("bits", h5py.SoftLink("/cells"))), "/bits is a link to elsewhere"),
        (put("more", h5py.ExternalLink("secret.h5", "/bits")), "/more is a link"),
        (bits((3,), h5py.string_dtype()), "/bits holds another type than in a buffer"),
        (bits(data=np.zeros(128, np.uint8), compression="gzip"), "outside the file or filtered"),
        (bits((128,), np.uint8, external=OUTSIDE), "outside the file or filtered"),
        (exchange("bits", lambda file: file.create_virtual_dataset("bits", VIRTUAL)), "outside the file or filtered"),
        (lambda file: file.attrs.modify("format_version", np.uint32(99)), "format 99 and this program reads 1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_no_buffer_has_is_refused_before_anything_is_followed(buffer, change, why):
    with h5py.File(buffer, "r+", libver="latest") as file:
        change(file)
    with pytest.raises(StoreError, match=why):
        open_buffer(buffer)


def test_one_flipped_bit_of_metadata_does_not_stop_the_process(buffer, patience):
    """HDF5 in SWMR mode reads it again a hundred times, waiting twice as long each time."""
    data = bytearray(buffer.read_bytes())
    data[60] ^= 1
    data[11] = 5  # as a killed writer leaves it
    data[44:48] = checksum(bytes(data[:44])).to_bytes(4, "little")
    buffer.write_bytes(data)
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"checksum.*restore it from a copy"):
        open_buffer(buffer)
    assert time.monotonic() - began < patience(1)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"first_byte": 0}, "does not begin where the block before it ends"),
        ({"first_byte": 1 << 63}, "does not begin where"),
        ({"bits": (1 << 63) + 9}, "more bits than the file has room for"),
        ({"bits": 3000, "positions": 3072, "valid_offset": 0}, "ends beyond /bits"),
        ({"ones": 1025}, "more ones than bits"),
        ({"positions": 1025}, "not whole pulses"),
        ({"positions": 1280}, "no mask and other bits than positions"),
        ({"valid_offset": 0, "positions": 1 << 50}, "more bits than the file has room for"),
        ({"valid_offset": 0}, "mask ends beyond /valid"),
        ({"valid_offset": -2}, "no mask and other bits"),
    ],
)
def test_rows_that_contradict_themselves_are_not_believed_though_their_check_is_right(
    store, made, change, why
):
    made.fill(store, [4, 4, 4])
    (info,) = store.buffers()
    with h5py.File(info.path, "r+", libver="latest") as file:
        rows = file["blocks"][:]
        for name, value in change.items():
            rows[name][1] = value
        rows["row_crc"][1] = zlib.crc32(rows[1].tobytes()[:140])
        file["blocks"][:] = rows
    reader = BufferReader(info.path)
    assert len(reader.rows) == 1
    assert reader.unsound_rows() == 2
    assert why in reader.fault
    assert any("row of block 1 is damaged (" in problem for problem in store.verify().problems)


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("bits", 1 << 50),
        ("valid", 1 << 50),
        ("blocks", 1 << 50),
        ("resistances", 1 << 50),
        ("resistances", 1 << 24),
    ],
)
def test_sizes_that_the_file_has_no_room_for_are_refused(store, made, name, size):
    made.recording(store, resistances=8).close()
    (info,) = store.buffers()
    with h5py.File(info.path, "r+", libver="latest") as file:
        file[name].resize((size,))
    with pytest.raises(StoreError, match=f"/{name} says that it has"):
        open_buffer(info.path)


def test_a_chunk_that_is_not_there_is_no_data(store, made):
    made.fill(store, [1024] * 16)
    (info,) = store.buffers()
    with h5py.File(info.path, "r+", libver="latest") as file:
        keep = file["bits"][:]
        del file["bits"]
        bits = file.create_dataset(
            "bits", (len(keep),), "u1", chunks=(1 << 15,), maxshape=(None,), fill_time="never"
        )
        for at in range(0, len(keep), 1 << 15):
            if at != 5 << 15:
                bits[at : at + (1 << 15)] = keep[at : at + (1 << 15)]
    os.truncate(info.path, info.path.stat().st_size + (1 << 15))
    report = store.verify()
    assert [bad.block for bad in report.bad_blocks] == [5]
    with pytest.raises(
        StoreError, match=r"bytes 163,840 to 196,607 of /bits are not in the file, so block 5 is lost"
    ):
        store.read_block(info.uuid, 5)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such pipes")
def test_a_pipe_in_place_of_a_buffer_does_not_wait(buffer):
    buffer.unlink()
    os.mkfifo(buffer)
    with pytest.raises(StoreError, match="no regular file"):
        open_buffer(buffer)


@pytest.mark.parametrize(
    ("content", "why"), [("foreign", "no memtj buffer"), ("not HDF5", "cannot be opened as a buffer")]
)
def test_what_is_no_buffer_is_refused(tmp_path, content, why):
    (tmp_path / "file.h5").write_text(content)
    if content == "foreign":
        with h5py.File(tmp_path / "file.h5", "w", libver="latest") as file:
            file["x"] = np.arange(3)
    with pytest.raises(StoreError, match=why):
        open_buffer(tmp_path / "file.h5")


def test_a_ledger_that_is_none_is_refused(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="no ledger or is damaged"):
        Store(tmp_path)


def test_a_ledger_of_another_version_is_refused(store):
    store.close()
    change_ledger(store.path, "UPDATE meta SET value = '9' WHERE key = 'version'")
    with pytest.raises(StoreError, match="ledger of version 9"):
        Store(store.path)


def test_a_ledger_that_names_a_file_outside_the_store_is_refused(store, made, tmp_path):
    made.fill(store, [4])
    (info,) = store.buffers()
    store.close()
    change_ledger(store.path, "UPDATE buffers SET file = '../x.h5'")
    with Store(store.path) as again, pytest.raises(StoreError, match="outside the store"):
        again.rows(info.uuid)
