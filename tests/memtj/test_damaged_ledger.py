"""A ledger that contradicts itself is called damaged by every command that opens its store, and nothing is changed."""

import shutil
from pathlib import Path

import pytest

from entropy import Store, StoreError
from entropy.testing import change_ledger, random_blocks, record_blocks
from tests.conftest import content, missing
from tests.memtj.conftest import bench_of


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged") / "store"
    with Store(folder) as store:
        record_blocks(store, random_blocks(1, 512, seed=1), cells=64)
        with store.lease(512, purpose="test") as lease:
            lease.read(512)
    change_ledger(folder, "UPDATE ranges SET bits = bits - 8 WHERE state = 'consumed'")
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["store", "ls", "STORE"],
        ["store", "ls", "STORE", "--json"],
        ["store", "conditioning", "STORE"],
        ["store", "conditioning", "STORE", "xor2"],
        ["store", "prune", "STORE", "--yes"],
        ["store", "export", "STORE", "--out", "OUT", "--bits", "64", "--yes"],
        ["store", "adopt", "STORE", "--moved"],
        ["store", "adopt", "STORE", "--copied", "--yes"],
        ["sample", "--store", "STORE", "--out", "OUT"],
        ["train", "OUT", "--entropy", "STORE"],
        ["compare", "array", "--store", "array=STORE", "--out", "OUT"],
        ["assess", "STORE"],
        ["record", "BENCH", "--store", "STORE", "--bits", "64000"],
    ],
    ids=lambda arguments: " ".join(arguments[:2]),
)
def test_every_command_says_so_and_changes_nothing(memtj_here, damaged, tmp_path, arguments, request):
    words = {"STORE": damaged, "OUT": tmp_path / "out"}
    if "BENCH" in arguments:
        words["BENCH"] = tmp_path / "bench.toml"
        words["BENCH"].write_text(bench_of(request.getfixturevalue("lab").resource), encoding="utf-8")
    before = content(damaged, but="")
    named = {"array=STORE": f"array={damaged}", **words}
    done = memtj_here(*(named.get(word, word) for word in arguments), status=1)
    assert "is damaged" in done.stderr, done
    assert "memtj store salvage" in done.stderr
    assert content(damaged, but="") == before


def test_verify_and_salvage_work_on_it(memtj_here, damaged, tmp_path):
    verified = memtj_here("store", "verify", damaged, status=1)
    assert missing(verified.stdout, "is damaged", "no or two owners at bit 504") == []


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
def test_a_ledger_of_which_nothing_is_left_is_called_that(memtj_here, damaged, tmp_path, left):
    """A power cut or a full disk leaves an empty file; it is no new store, in which the buffers would be forgotten."""
    folder = tmp_path / "store"
    folder.mkdir()
    for buffer in damaged.glob("*.h5"):
        shutil.copy(buffer, folder)
    said, name = "holds buffers but no ledger.sqlite", folder / "ledger.sqlite"
    if left == "an empty file":
        name.touch()
        said = "it is empty, and the store holds buffers"
    for words in (
        ["store", "ls", folder],
        ["store", "verify", folder],
        ["store", "conditioning", folder, "xor2"],
        ["store", "rewrite", folder],
        ["store", "prune", folder, "--yes"],
        ["store", "adopt", folder, "--moved"],
        ["sample", "--store", folder, "--out", tmp_path / "out"],
        ["assess", folder],
    ):
        done = memtj_here(*words, status=1)
        assert said in done.stdout + done.stderr, done
    with pytest.raises(StoreError, match=said):
        Store(folder)
    assert "4,096 bits would be burned" in memtj_here("store", "salvage", folder).stdout
    memtj_here("store", "salvage", folder, "--yes", status=0)
    with Store(folder) as store:
        assert store.accounts().burned == store.accounts().recorded == 4096
