"""Full disks, damaged files and files that are not what they seem."""

import sqlite3
import sys

import h5py
import numpy as np
import pytest

from entropy import BLOCK_DTYPE, Store, StoreError
from entropy._format import CELL_DTYPE, open_buffer


@pytest.mark.skipif(sys.platform == "win32", reason="RLIMIT_FSIZE is POSIX")
@pytest.mark.parametrize("how", ["reserved", "plain"])
def test_on_a_full_disk_committed_blocks_stay_and_the_error_says_what_to_do(tmp_path, start, how):
    arguments = ["plain"] if how == "plain" else []
    process = start("full_disk.py", tmp_path / "s", 5 << 20, *arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, (process.returncode, err)
    assert "infinite loop" not in err
    *committed, sentence, last = out.splitlines()
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
def test_no_room_for_even_an_empty_buffer_is_a_sentence(tmp_path, start):
    with Store(tmp_path / "s"):
        pass
    process = start("full_disk.py", tmp_path / "s", 200_000)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "cannot be made: File too large; free some space" in err
    assert not list((tmp_path / "s").glob("*.h5"))


def damage(path, what: str, at: int = 0) -> None:
    """Flip a byte of a dataset where it lies in the file."""
    with h5py.File(path, "r") as file:
        offset = file[what].id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as file:
        file.seek(offset + at)
        byte = file.read(1)[0]
        file.seek(offset + at)
        file.write(bytes([byte ^ 1]))


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
    assert str(info.path) in problem
    assert "block 1" in problem
    assert report.blocks == 2


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
        assert again.accounts().recorded == 3 * 1024, "the ledger kept its copy of the rows"
        assert again.accounts().balanced


def test_a_missing_buffer_is_named_and_the_accounts_still_hold(store, made):
    made.fill(store, [4])
    (info,) = store.buffers()
    store.close()
    info.path.unlink()
    with Store(store.path) as again:
        assert again.accounts().free == 1024
        assert again.accounts().balanced
        (problem,) = again.verify().problems
        assert f"{info.path} is missing" in problem
        with pytest.raises(StoreError, match="is missing"), again.lease(8, purpose="test") as lease:
            lease.read(8)


def test_a_ledger_that_disagrees_is_found(store, made):
    made.fill(store, [4, 4])
    store.close()
    with sqlite3.connect(store.path / "ledger.sqlite") as db:
        db.execute("UPDATE blocks SET ones = ones + 1 WHERE idx = 1")
        db.execute("DELETE FROM ranges")
        db.execute("INSERT INTO ranges VALUES (1, 0, 100, 'free', NULL)")
        db.execute("INSERT INTO ranges VALUES (1, 90, 1958, 'consumed', NULL)")
    db.close()
    with Store(store.path) as again:
        problems = "\n".join(again.verify().problems)
    assert "row of block 1 differs" in problems
    assert "no or two owners at bit 90" in problems
    assert "do not add up" in problems


def test_gaps_in_the_boards_sequence_and_strays_are_information(store, made):
    with made.recording(store) as record:
        for sequence in (4, 5, 9):
            made.append(record, np.ones(made.count, np.uint8), sequence=sequence)
    (store.path / "stray.h5").write_bytes(b"")
    report = store.verify()
    assert report.ok
    assert any("steps by 4 before block 2" in note for note in report.notes)
    assert any("stray.h5: not in the ledger" in note for note in report.notes)


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


def replace(path, name, make):
    with h5py.File(path, "r+", libver="latest") as file:
        del file[name]
        make(file)


def test_another_format_version_is_refused_by_name(buffer):
    with h5py.File(buffer, "r+") as file:
        file.attrs.modify("format_version", np.uint32(99))
    with pytest.raises(StoreError, match="buffer format 99 and this program reads 1"):
        open_buffer(buffer)


def test_a_foreign_hdf5_file_is_refused(tmp_path):
    with h5py.File(tmp_path / "foreign.h5", "w", libver="latest") as file:
        file["x"] = np.arange(3)
    with pytest.raises(StoreError, match="no memtj buffer"):
        open_buffer(tmp_path / "foreign.h5")


def test_what_is_no_hdf5_file_is_refused(tmp_path):
    (tmp_path / "text.h5").write_text("not HDF5")
    with pytest.raises(StoreError, match="cannot be opened as a buffer"):
        open_buffer(tmp_path / "text.h5")


@pytest.mark.parametrize("link", [h5py.ExternalLink("secret.h5", "/bits"), h5py.SoftLink("/cells")])
def test_links_are_refused_before_anything_is_followed(buffer, link):
    replace(buffer, "bits", lambda file: file.__setitem__("bits", link))
    with pytest.raises(StoreError, match="/bits is a link to elsewhere"):
        open_buffer(buffer)


def test_a_link_beside_the_datasets_is_refused_too(buffer):
    with h5py.File(buffer, "r+") as file:
        file["more"] = h5py.ExternalLink("secret.h5", "/bits")
    with pytest.raises(StoreError, match="/more is a link"):
        open_buffer(buffer)


def test_python_objects_are_refused(buffer):
    strings = h5py.string_dtype()
    replace(buffer, "bits", lambda file: file.create_dataset("bits", (3,), strings))
    with pytest.raises(StoreError, match="/bits holds another type than in a buffer"):
        open_buffer(buffer)


def test_filtered_external_and_virtual_data_are_refused(buffer, tmp_path):
    data = np.zeros(128, np.uint8)
    replace(buffer, "bits", lambda file: file.create_dataset("bits", data=data, compression="gzip"))
    with pytest.raises(StoreError, match="outside the file or filtered"):
        open_buffer(buffer)
    outside = [(str(tmp_path / "raw"), 0, 128)]
    replace(buffer, "bits", lambda file: file.create_dataset("bits", (128,), np.uint8, external=outside))
    with pytest.raises(StoreError, match="outside the file or filtered"):
        open_buffer(buffer)
    layout = h5py.VirtualLayout((128,), np.uint8)
    layout[:] = h5py.VirtualSource("other.h5", "bits", (128,))
    replace(buffer, "bits", lambda file: file.create_virtual_dataset("bits", layout))
    with pytest.raises(StoreError, match="outside the file or filtered"):
        open_buffer(buffer)


def test_a_missing_dataset_is_refused(buffer):
    replace(buffer, "cells", lambda file: file.create_dataset("cellz", (3,), CELL_DTYPE))
    with pytest.raises(StoreError, match="/cells is missing"):
        open_buffer(buffer)


def test_a_ledger_that_is_none_is_refused(tmp_path):
    (tmp_path / "ledger.sqlite").write_bytes(b"x" * 5000)
    with pytest.raises(StoreError, match="no ledger or is damaged"):
        Store(tmp_path)


def test_a_ledger_of_another_version_is_refused(store):
    store.close()
    with sqlite3.connect(store.path / "ledger.sqlite") as db:
        db.execute("UPDATE meta SET value = '9' WHERE key = 'version'")
    db.close()
    with pytest.raises(StoreError, match="ledger of version 9"):
        Store(store.path)


def test_a_ledger_that_names_a_file_outside_the_store_is_refused(store, made, tmp_path):
    made.fill(store, [4])
    (info,) = store.buffers()
    store.close()
    with sqlite3.connect(store.path / "ledger.sqlite") as db:
        db.execute("UPDATE buffers SET file = '../x.h5'")
    db.close()
    with Store(store.path) as again, pytest.raises(StoreError, match="outside the store"):
        again.rows(info.uuid)
