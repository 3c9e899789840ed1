"""The buffer format as a contract: a file of version 1 that is kept, read by the page's own reader and by ours."""

import json
import re
import shutil
from contextlib import closing
from pathlib import Path

import h5py
import numpy as np
import pytest

from entropy import TUNING_DTYPE, Store, StoreError
from entropy.buffer._format import row_crcs
from entropy.buffer._opening import open_buffer
from entropy.buffer._reader import BufferReader
from entropy.buffer._view import checksum

DATA = Path(__file__).parent / "data"
PAGE = Path(__file__).parents[2] / "docs" / "buffer-format.md"
VERSIONS = ("version-1", "version-2")
EXPECTED = json.loads((DATA / "version-1.json").read_text())
FACTS = ("sequence", "host_time", "board_time", "pulses", "voltage", "width", "read_voltage", "field", "temperature",
         "failed_resets", "health", "stalled")  # fmt: skip


@pytest.fixture
def kept(tmp_path) -> Path:
    """A copy of the kept file, so that nothing can change it."""
    return Path(shutil.copy(DATA / "version-1.h5", tmp_path / "kept.h5"))


@pytest.fixture
def second(tmp_path) -> Path:
    """A copy of the kept file of version 2."""
    return Path(shutil.copy(DATA / "version-2.h5", tmp_path / "second.h5"))


def outcomes(block: dict) -> np.ndarray:
    """Give what a block must read as; int8, (pulses, cells), −1 where not usable."""
    rows = [["-01".index(letter) - 1 for letter in pulse] for pulse in block["outcomes"]]
    return np.array(rows, np.int8).reshape(-1, EXPECTED["cells_per_pulse"])


def the_pages_reader() -> tuple[str, dict]:
    """Take the reader out of the page, as text and as what it defines."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line[4:] for line in blocks[0].splitlines() if line.startswith((">>> ", "... ", "..."))]
    code = "\n".join(lines[: next(i for i, line in enumerate(lines) if line.startswith("for "))])
    defined: dict = {}
    exec(code, defined)
    return code, defined


@pytest.mark.parametrize("version", VERSIONS)
def test_the_reader_on_the_page_reads_the_kept_files_in_thirty_lines(version):
    code, defined = the_pages_reader()
    assert len([line for line in code.splitlines() if line.strip()]) <= 30
    found = list(defined["blocks_of"](DATA / f"{version}.h5"))
    assert len(found) == len(EXPECTED["blocks"])
    for (row, block), expected in zip(found, EXPECTED["blocks"], strict=True):
        np.testing.assert_array_equal(block, outcomes(expected))
        assert {name: float(row[name]) for name in FACTS} == {name: expected[name] for name in FACTS}


def test_the_page_names_every_attribute_dataset_and_field(second):
    page = PAGE.read_text(encoding="utf-8")
    with h5py.File(second, "r") as file:
        fields = [
            name for each in ("blocks", "cells", "tuning", "actions") for name in file[each].dtype.names
        ]
        for name in [*file.attrs, *file["resistances"].attrs, *fields]:
            assert f"`{name}`" in page, name
        for name in file:
            assert f"| `/{name}` |" in page, name


def test_our_reader_reads_the_kept_file_bit_for_bit(kept):
    reads_as_kept(kept, EXPECTED)


def test_our_reader_reads_the_kept_file_of_version_2_bit_for_bit(second):
    expected = json.loads((DATA / "version-2.json").read_text())
    assert expected["blocks"] == EXPECTED["blocks"]
    reads_as_kept(second, expected)
    with closing(BufferReader(second)) as reader:
        tuning = reader.tuning()
        assert tuning is not None
        for name, values in expected["tuning"].items():
            np.testing.assert_array_equal(tuning[name], np.array(values, tuning.dtype[name]))
        assert json.loads(reader.text("tuning")) == expected["conditions"]
        assert [list(row)[:-1] for row in reader.actions().tolist()] == expected["actions"]


def reads_as_kept(path: Path, expected_of_all: dict) -> None:
    reader = BufferReader(path, expected_of_all["buffer"])
    assert len(reader.rows) == len(EXPECTED["blocks"])
    for index, expected in enumerate(EXPECTED["blocks"]):
        block, known = reader.load(index), outcomes(expected).reshape(-1)
        read = np.full(block.positions, -1, np.int8)
        read[block.positions_of(0, block.bits)] = np.unpackbits(block.data, count=block.bits)
        np.testing.assert_array_equal(read, known)
        assert {name: float(reader.rows[index][name]) for name in FACTS} == {
            name: expected[name] for name in FACTS
        }
        assert reader.rows[index]["ones"] == (known == 1).sum()
    for name, values in EXPECTED["cells"].items():
        np.testing.assert_array_equal(reader.cells()[name], values)
    ohms = np.array(EXPECTED["resistances"], float)
    ohms[ohms > 4 * 160e3] = np.inf
    np.testing.assert_allclose(reader.resistances(), ohms, atol=EXPECTED["resistances_within"])
    assert reader.complete
    for name in ("bench", "procedure", "device"):
        assert json.loads(reader.text(name)) == EXPECTED[name]
    assert reader.text("created") == expected_of_all["created"]
    reader.close()


def test_datasets_of_version_2_mean_nothing_in_a_file_of_version_1(kept):
    with h5py.File(kept, "r+", libver="latest") as file:
        file.create_dataset("tuning", data=np.arange(3))
        file.create_dataset("actions", data="of somebody else")
        file.attrs["tuning"] = "of any length"
    reads_as_kept(kept, EXPECTED)
    with closing(BufferReader(kept)) as reader:
        assert reader.tuning() is None
        assert len(reader.actions()) == 0


@pytest.mark.parametrize("wrong", ["crc", "cell", "state", "order", "short"])
def test_a_damaged_action_is_found(second, wrong):
    with h5py.File(second, "r+", libver="latest") as file:
        rows = file["actions"][:]
        changes = {
            "crc": ("voltage", 9.0),
            "cell": ("cell", 10),
            "state": ("state", 4),
            "order": ("block", 0),
        }
        if wrong in changes:
            rows[changes[wrong][0]][2] = changes[wrong][1]
        if wrong != "crc":
            rows["row_crc"] = row_crcs(rows)
        file["actions"][:] = rows
        if wrong == "short":
            file["actions"].resize((50,))
    damaged = f"row {4 if wrong == 'short' else 2} of /actions is damaged"
    with closing(BufferReader(second)) as reader, pytest.raises(StoreError, match=damaged):
        reader.actions()


def test_a_file_of_today_has_what_the_kept_file_has(store, made, second):
    """A new attribute, dataset or type is a change of the format: the page has to say it, and this test."""
    tuning = np.zeros(made.count, TUNING_DTYPE)
    made.recording(store, resistances=8, tuning=tuning, actions=True).close()
    with h5py.File(second, "r") as old, h5py.File(store.buffers()[0].path, "r") as new:
        assert set(old.attrs) == set(new.attrs)
        assert set(old) == set(new)
        assert {name: old[name].dtype for name in old} == {name: new[name].dtype for name in new}


@pytest.mark.parametrize(
    "add",
    [
        lambda file: file.attrs.create("salvaged", np.bytes_("2026-03-01T12:00:00+00:00")),
        lambda file: file.attrs.create("later", np.zeros((3, 3))),
        lambda file: file["blocks"].attrs.create("later", "text of any length"),
        lambda file: file.create_dataset("later", data=np.arange(100), compression="gzip"),
        lambda file: file.create_group("later/within"),
    ],
)
def test_what_later_versions_may_add_changes_nothing(kept, add):
    with h5py.File(kept, "r+", libver="latest") as file:
        add(file)
    test_our_reader_reads_the_kept_file_bit_for_bit(kept)


def test_a_salvaged_file_says_when(kept):
    with h5py.File(kept, "r+", libver="latest") as file:
        file.attrs["salvaged"] = np.bytes_("2026-03-01T12:00:00+00:00")
    with closing(BufferReader(kept)) as reader:
        assert reader.text("salvaged") == "2026-03-01T12:00:00+00:00"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("format_version", np.uint32(4), "buffer format 4 and this program reads 1, 2, 3"),
        ("bit_order", np.bytes_("least significant bit first"), "other than raw bits in the order"),
        ("conditioning", np.bytes_("xor2"), "other than raw bits"),
        ("bench", "a text of variable length", "no text of fixed length"),
        ("segment", np.zeros(2), "no single value"),
        ("cells_per_pulse", np.uint32(11), "has 11 cells and describes 10"),
        ("cells_per_pulse", np.float64(10), "no number"),
        ("salvaged", np.uint8(1), "no text of fixed length"),
    ],
)
def test_what_needs_a_new_version_is_refused(kept, name, value, message):
    with h5py.File(kept, "r+", libver="latest") as file:
        file.attrs[name] = value
    with pytest.raises(StoreError, match=message):
        open_buffer(kept)


def test_a_missing_attribute_is_refused_by_name(kept):
    with h5py.File(kept, "r+", libver="latest") as file:
        del file.attrs["simulated"]
    with pytest.raises(StoreError, match="no attribute simulated"):
        open_buffer(kept)


def test_a_large_bench_is_kept_outside_the_header_and_read(store, made):
    bench = {"text": "x" * 60_000, "more": "é" * 9000}
    made.recording(store, bench=bench, procedure={"p": "y" * 30_000}).close()
    assert store.bench(store.buffers()[0].uuid) == bench


def test_the_checksum_is_that_of_hdf5():
    head = (DATA / "version-1.h5").read_bytes()[:48]
    assert checksum(head[:44]) == int.from_bytes(head[44:], "little")
    assert checksum(b"") == 0xDEADBEEF
    assert checksum(b"Four score and seven years ago") == 0x17770551, "of the author's own test"


def test_a_kept_file_in_a_store_is_leased_and_verified(tmp_path, kept):
    """As after the ledger was told of it: the store reads it as its own."""
    with Store(tmp_path / "s") as store:
        store._ledger.register({
            "uuid": EXPECTED["buffer"], "file": "kept.h5", "recording": EXPECTED["recording"], "segment": 0,
            "created": EXPECTED["created"], "simulated": 1, "conditioning": "none",
        })  # fmt: skip
        shutil.copy(kept, store.path / "kept.h5")
        known = [outcomes(block).reshape(-1) for block in EXPECTED["blocks"] if not block["health"]]
        bits = np.concatenate([block[block >= 0] for block in known])
        with store.lease(len(bits), purpose="test") as lease:
            np.testing.assert_array_equal(np.unpackbits(lease.read(len(bits)), count=len(bits)), bits)
        assert store.accounts().withheld == 40
        report = store.verify()
        assert report.ok, report.problems
        assert report.blocks == 7
