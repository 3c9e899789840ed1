"""Moving bits out: they are free there and burned here, and none is at both."""

import hashlib
import json

import numpy as np
import pytest

from entropy import NotEnoughBits, Store, StoreError, export_bits, move_blocks

from .conftest import interrupt, states


def as_bits(path, form: str, count: int) -> np.ndarray:
    if form == "npy":
        return np.load(path)
    raw = np.fromfile(path, np.uint8)
    return np.unpackbits(raw, count=count) if form == "packed" else raw


@pytest.mark.parametrize("form", ["packed", "bytes", "npy"])
def test_a_number_of_bits_goes_to_a_file_and_is_burned_here(store, made, tmp_path, form):
    bits = made.fill(store, [4, 4])
    said = export_bits(store, tmp_path / "out", bits=1001, form=form)
    np.testing.assert_array_equal(as_bits(tmp_path / "out", form, 1001), bits[:1001])
    assert states(store) == (2048 - 1001, 0, 0, 1001, 0)
    assert json.loads((tmp_path / "out.json").read_text()) == said
    assert said["sha256"] == hashlib.sha256((tmp_path / "out").read_bytes()).hexdigest()
    assert (said["bits"], said["form"], said["simulated"]) == (1001, form, True)
    assert [tuple(item) for item in said["ranges"]] == [(store.buffers()[0].uuid, 0, 1001)]


def test_blocks_are_exported_by_their_range(store, made, tmp_path):
    bits = made.fill(store, [1, 2, 3, 4])
    (info,) = store.buffers()
    export_bits(store, tmp_path / "out", blocks=(info.uuid, 1, 2))
    np.testing.assert_array_equal(
        as_bits(tmp_path / "out", "packed", 5 * made.count), bits[made.count : 6 * made.count]
    )
    assert store.accounts().burned == 5 * made.count
    with pytest.raises(StoreError, match=r"1,024 of the 2,304 bits .* are free and all of them were wanted"):
        export_bits(store, tmp_path / "again", blocks=(info.uuid, 1, 3))
    with pytest.raises(StoreError, match="has the blocks 0 to 3"):
        export_bits(store, tmp_path / "again", blocks=(info.uuid, 2, 4))
    assert not (tmp_path / "again").exists()
    assert store.accounts().free == 5 * made.count


def test_what_cannot_be_written_takes_no_bits(store, made, tmp_path, monkeypatch):
    made.fill(store, [4])
    (tmp_path / "there").write_text("precious")
    with pytest.raises(StoreError, match="exists already"):
        export_bits(store, tmp_path / "there", bits=8)
    (tmp_path / "half.partial").touch()
    with pytest.raises(StoreError, match="left by an export that did not end"):
        export_bits(store, tmp_path / "half", bits=8)
    (tmp_path / "half.partial").unlink()
    with pytest.raises(StoreError, match="is no folder"):
        export_bits(store, tmp_path / "no" / "where", bits=8)
    with pytest.raises(NotEnoughBits):
        export_bits(store, tmp_path / "new", bits=10**6)
    monkeypatch.setattr("entropy.store._export.shutil.disk_usage", lambda _: type("Usage", (), {"free": 5})())
    with pytest.raises(StoreError, match="5 bytes free and 128 are needed"):
        export_bits(store, tmp_path / "new", bits=1024)
    assert store.accounts().free == 1024
    assert (tmp_path / "there").read_text() == "precious"
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == ["there"]


def test_an_interrupted_export_burns_its_bits_and_leaves_no_file(store, made, tmp_path):
    made.fill(store, [4])
    with pytest.raises(KeyboardInterrupt):
        export_bits(store, tmp_path / "out", bits=1000, progress=interrupt)
    assert store.accounts().burned == 1000
    assert [item.name for item in tmp_path.iterdir() if item.is_file()] == []


def test_blocks_move_into_another_store_with_all_that_is_known_of_them(store, made, tmp_path):
    with made.recording(store, device="chip 7") as record:
        usable = np.ones(2 * made.count, np.uint8)
        usable[::7] = 0
        made.append(record, made.cells(2 * made.count)["column"] % 2, usable=usable)
        made.append(record, made.cells()["column"] % 2, stalled=True)
        made.append(record, made.cells()["column"] % 3 % 2)
    (info,) = store.buffers()
    with Store(tmp_path / "other") as other:
        recording = move_blocks(store, info.uuid, (0, 1), other)
        (there,) = other.buffers()
        assert there.recording == recording
        assert other.device(there.uuid) == "chip 7"
        assert other.procedure(there.uuid)["moved_from"] == {
            "store": store.uuid, "buffer": info.uuid, "blocks": [0, 1],
        }  # fmt: skip
        for index in range(2):
            for one, two in zip(
                store.read_block(info.uuid, index), other.read_block(there.uuid, index), strict=True
            ):
                np.testing.assert_array_equal(one, two)
        rows, theirs = store.rows(info.uuid), other.rows(there.uuid)
        for name in ("sequence", "ones", "positions", "voltage", "failed_resets", "stalled", "crc"):
            np.testing.assert_array_equal(rows[name][:2], theirs[name])
        moved = int(rows["bits"][:2].sum())
        assert other.accounts().free == moved == store.accounts().burned
        assert store.accounts().free == made.count
        assert other.verify().ok
        with pytest.raises(StoreError, match="are free and all of them were wanted"):
            move_blocks(store, info.uuid, (0, 2), other)
        with pytest.raises(StoreError, match="same store"):
            move_blocks(store, info.uuid, (2, 2), store)
        assert store.accounts().free == made.count


def test_a_move_that_is_interrupted_leaves_no_bit_free_at_both(store, made, tmp_path):
    made.fill(store, [1] * 6)
    (info,) = store.buffers()

    def interrupt_half_way(done, total):
        if done == 3 * made.count:
            raise KeyboardInterrupt

    with Store(tmp_path / "other") as other:
        with pytest.raises(KeyboardInterrupt):
            move_blocks(store, info.uuid, (0, 5), other, progress=interrupt_half_way)
        assert other.accounts().free == 3 * made.count
    assert states(store) == (0, 0, 0, 6 * made.count, 0)
