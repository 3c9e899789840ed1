"""`memtj store`: what it prints, what it changes, what it refuses."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from entropy import Store
from entropy.testing import change_ledger, random_blocks, record_blocks
from tests.conftest import content, missing

CELLS = 64


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two buffers of four blocks of 128 bits; the first buffer is spent."""
    with Store(tmp_path / "bits") as made:
        record_blocks(made, random_blocks(4, 2 * CELLS // 8), cells=CELLS)
        record_blocks(made, random_blocks(4, 2 * CELLS // 8), cells=CELLS)
        with made.lease(512, purpose="test") as lease:
            lease.read(512)
    return tmp_path / "bits"


def test_ls_shows_buffers_accounts_and_who_holds_bits(memtj_here, store: Path) -> None:
    with Store(store) as opened, opened.lease(100, purpose="drawing"), opened.reserve(50, purpose="later"):
        out = memtj_here("store", "ls", store, status=0).stdout
        assert missing(out, "leased: 100 bits by 'drawing'", "reserved: 50 bits for 'later'") == []
        said = memtj_here("store", "ls", store, "--json").json
    assert said["accounts"]["free"] == 412
    assert [item["purpose"] for item in said["leases"] + said["requests"]] == ["drawing", "later"]


def test_prune_says_first_and_does_it_with_yes(memtj_here, store: Path, tmp_path: Path) -> None:
    out = memtj_here("store", "prune", store, status=1).stdout
    said = (
        "stays: 512 of its bits are not spent",
        "1 of 2 buffers would go",
        "nothing was changed: --yes does it",
    )
    assert missing(out, "would be deleted", *said) == []
    assert len(list(store.glob("*.h5"))) == 2
    done = memtj_here("store", "prune", store, "--yes", "--archive", tmp_path / "shelf", "--json", status=0)
    assert [step["done"] for step in done.json["buffers"]] == [True, False]
    assert len(list((tmp_path / "shelf").glob("*.h5"))) == 1
    assert f"archived buffers are in {tmp_path / 'shelf'}" in memtj_here("store", "ls", store).stdout
    done = memtj_here("store", "prune", store, "--older-than", "1h", "--burn-unspent")
    assert "stays: it is too young" in done.stdout
    done = memtj_here("store", "prune", store, "--down-to", "1k", "--burn-unspent", "--yes")
    assert "deleted, 512 bits burned" in done.stdout
    with Store(store) as opened:
        assert opened.accounts().burned == 512


def test_export_to_a_file_and_to_another_store(memtj_here, store: Path, tmp_path: Path) -> None:
    to_file = ("--out", tmp_path / "a.npy", "--as", "npy", "--bits", "1e2", "--yes")
    assert "100 bits are in" in memtj_here("store", "export", store, *to_file, status=0).stdout
    assert np.load(tmp_path / "a.npy").shape == (100,)
    with Store(store) as opened:
        to_store = (
            "--to-store",
            tmp_path / "b",
            "--buffer",
            opened.buffers()[1].path.name,
            "--blocks",
            "1:2",
        )
    done = memtj_here("store", "export", store, *to_store, "--json", "--yes", status=0)
    assert done.json["bits"] == 256
    with Store(store) as opened, Store(tmp_path / "b") as other:
        assert (opened.accounts().burned, other.accounts().free) == (356, 256)


def test_salvage_of_a_lost_ledger(memtj_here, store: Path) -> None:
    assert memtj_here("store", "salvage", store, status=0).stdout == "everything was in order.\n"
    for path in store.glob("ledger*"):
        path.unlink()
    err = memtj_here("store", "ls", store, status=1).stderr
    assert "no store" in err or "salvage" in err
    before = content(store)
    out = memtj_here("store", "salvage", store, status=1).stdout
    assert out.startswith("there is no ledger: a new one would be made.\n")
    assert out.endswith("1,024 bits would be burned; nothing was changed: --yes does it.\n")
    said = memtj_here("store", "salvage", store, "--json", status=1).json
    assert (said["dry_run"], said["burned"]) == (True, 1024)
    assert content(store) == before
    out = memtj_here("store", "salvage", store, "--yes", status=0).stdout
    assert "there was no ledger" in out
    assert out.count("512 bits, burned") == 2
    (store / "stray.h5").write_text("no HDF5")
    assert missing(memtj_here("store", "salvage", store, status=1).stdout, "problem: ", "stray.h5") == []


def test_a_copy_is_adopted_with_its_bits_burned(memtj_here, store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "copy")
    memtj_here("store", "ls", tmp_path / "copy", status=1)
    memtj_here("store", "adopt", tmp_path / "copy", "--copied", "--yes", status=0)
    memtj_here("store", "verify", tmp_path / "copy", status=0)
    assert accounts(tmp_path / "copy") == (0, 0, 512, 512, 0)


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["export"], 1, "say where to: --out FILE, or --to-store FOLDER"),
        (["export", "--out", "x"], 1, "say which bits"),
        (["export", "--out", "x", "--bits", "0"], 1, "at least one bit"),
        (["export", "--out", "x", "--bits", "8", "--blocks", "0:1"], 1, "say which bits"),
        (["export", "--out", "x", "--bits", "8", "--as", "hex"], 2, "is not one of 'packed', 'bytes', 'npy'"),
        (["export", "--to-store", "x", "--bits", "8"], 1, "give --buffer NAME"),
        (["export", "--out", "x", "--buffer", "no"], 1, "no buffer 'no'"),
        (["export", "--out", "x", "--bits", "1e9"], 1, "1,000,000,000 bits were wanted and 512 are free"),
        (["export", "--out", "x", "--bits", "many"], 2, "is no number of bits"),
        (["prune", "--older-than", "soon"], 2, "is no duration, such as 90s"),
        (["prune", "--down-to", "little"], 2, "is no size, such as 500M"),
    ],
)
def test_mistakes(memtj_here, store: Path, tmp_path: Path, monkeypatch, arguments, status, message) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = arguments
    assert message in memtj_here("store", command, store, *options, status=status).errors
    assert not (tmp_path / "x").exists()
    with Store(store) as opened:
        assert (opened.accounts().free, opened.accounts().consumed) == (512, 512)


@pytest.mark.parametrize("command", ["ls", "verify", "prune", "salvage"])
def test_a_folder_that_is_no_store(memtj_here, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    err = memtj_here("store", command, tmp_path / "empty", status=1).stderr
    assert str(tmp_path / "empty") in err
    assert list((tmp_path / "empty").iterdir()) == []


def test_conditioning_says_and_chooses_what_the_stores_bits_go_through(memtj_here, store: Path) -> None:
    for words, said in (((), "no conditioning was chosen: commands use xor2.\n"), (("peres",), "peres:5\n")):
        done = memtj_here("store", "conditioning", store, *words, status=0)
        assert (done.stdout, done.stderr) == (said, "")
    assert memtj_here("store", "conditioning", store, "--json", status=0).json["conditioning"] == "peres:5"
    error = memtj_here("store", "conditioning", store, "coin", status=1).stderr
    assert error.startswith("memtj: there is no conditioning 'coin': use one of none, xor2")
    error = memtj_here("store", "conditioning", store, "mask", "--own-seed", status=1).stderr
    assert error == "memtj: --own-seed goes with toeplitz, not with mask: leave one of them out.\n"
    memtj_here("store", "conditioning", store, "--own-seed", status=1)
    assert memtj_here("store", "conditioning", store).stdout == "peres:5\n"


def test_a_toeplitz_seed_of_the_stores_own_is_spent_and_named(memtj_here, store: Path) -> None:
    error = memtj_here("store", "conditioning", store, "toeplitz", "--own-seed", status=1).stderr
    assert "640 bits were wanted and 512 are free" in error
    with Store(store) as opened:
        record_blocks(opened, random_blocks(4, 2 * CELLS // 8), cells=CELLS)
    out = memtj_here("store", "conditioning", store, "toeplitz", "--own-seed", status=0).stdout
    assert out.startswith("toeplitz:1920/4096:")
    assert len(bytes.fromhex(out.strip().rpartition(":")[2])) == 32
    with Store(store) as opened:
        assert opened.accounts().consumed == 512 + 640


def test_ls_says_what_was_assessed(memtj_here, store: Path) -> None:
    with Store(store) as opened:
        opened.credit(opened.buffers()[0].uuid, 0.875, bits=512, basis="test")
    out = memtj_here("store", "ls", store).stdout
    assert out.count("0.8750") == out.count("not assessed") == 1
    said = memtj_here("store", "ls", store, "--json").json
    assert [buffer["min_entropy"] for buffer in said["buffers"]] == [0.875, None]


def accounts(path: Path) -> tuple[int, ...]:
    """Free, leased, consumed, burned and withheld bits."""
    with Store(path, read_only=True) as opened:
        found = opened.accounts()
    return found.free, found.leased, found.consumed, found.burned, found.withheld


@pytest.mark.parametrize("kind", ["--copied", "--moved"])
@pytest.mark.parametrize("yes", [[], ["--yes"]])
def test_a_store_that_lies_where_it_belongs_is_not_adopted(
    memtj_here, store: Path, kind: str, yes: list
) -> None:
    before = accounts(store)
    err = memtj_here("store", "adopt", store, kind, *yes, status=1).stderr
    assert f"{store} lies where it belongs, so there is nothing to adopt" in err
    assert accounts(store) == before == (512, 0, 512, 0, 0)


def test_adopting_a_copy_says_first_what_it_burns(memtj_here, store: Path, tmp_path: Path) -> None:
    with Store(store) as opened:
        buffer = opened.buffers()[1].uuid
        assert opened.withhold(buffer, 0, 100, verdict="test") == 100
        with opened.lease(50, purpose="the original's"):
            shutil.copytree(store, tmp_path / "copy")
    before = content(tmp_path / "copy")
    out = memtj_here("store", "adopt", tmp_path / "copy", "--copied", status=1).stdout
    assert f"512 bits of {tmp_path / 'copy'} would be burned; nothing was changed: --yes does it." in out
    said = memtj_here("store", "adopt", tmp_path / "copy", "--copied", "--json", status=1).json
    assert (said["dry_run"], said["burned"]) == (True, 512)
    assert content(tmp_path / "copy") == before
    said = memtj_here("store", "adopt", tmp_path / "copy", "--copied", "--json", "--yes", status=0).json
    assert (said["dry_run"], said["burned"]) == (False, 512)
    assert accounts(tmp_path / "copy") == (0, 0, 512, 512, 0)
    shutil.copytree(store, tmp_path / "moved")
    memtj_here("store", "adopt", tmp_path / "moved", "--moved", status=0)  # burns nothing
    assert accounts(tmp_path / "moved") == (412, 0, 512, 0, 100)


@pytest.mark.parametrize(
    ("options", "bits"), [(["--bits", "100"], 100), (["--blocks", "1:2"], 256), ([], 512)]
)
@pytest.mark.parametrize("target", ["--out", "--to-store"])
def test_export_says_first_what_it_burns(
    memtj_here, store: Path, tmp_path: Path, target: str, options: list, bits: int
) -> None:
    if "--bits" not in options:
        with Store(store, read_only=True) as opened:
            options = [*options, "--buffer", opened.buffers()[1].uuid]
    elif target == "--to-store":
        options, bits = ["--buffer", "none of this name"], 0
    before = content(store)
    out = memtj_here("store", "export", store, target, tmp_path / "new", *options, status=1).stdout
    said = f"{bits:,} bits would go to {tmp_path / 'new'} and be burned here; nothing was changed: --yes does it."
    assert not bits or said in out
    assert content(store) == before
    assert [path.name for path in tmp_path.iterdir()] == [store.name]


def test_salvage_burns_nothing_unasked(memtj_here, store: Path) -> None:
    with Store(store) as opened:
        second = opened.buffers()[1]
    # as if the second one came from elsewhere
    change_ledger(
        store,
        "DELETE FROM blocks WHERE buffer = 2; DELETE FROM ranges WHERE buffer = 2; DELETE FROM buffers WHERE id = 2",
    )
    before = content(store)
    out = memtj_here("store", "salvage", store, status=1).stdout
    assert f"would be entered: {second.path.name}, 512 bits, burned\n512 bits would be burned" in out
    assert content(store) == before
    memtj_here("store", "salvage", store, "--unused", status=0)  # which burns nothing
    assert accounts(store) == (512, 0, 512, 0, 0)
    memtj_here("store", "salvage", store, status=0)  # there is nothing to do


def test_salvage_of_a_damaged_ledger_says_first_what_it_burns(memtj_here, store: Path) -> None:
    change_ledger(store, "DELETE FROM ranges WHERE state = 'free'")
    before = content(store)
    out = memtj_here("store", "salvage", store, status=1).stdout
    kept = "the ledger is damaged; kept of it would be: 512 burned, 512 consumed."
    assert missing(out, kept, "512 bits would be burned; nothing was changed: --yes does it.") == []
    assert content(store) == before
    said = memtj_here("store", "salvage", store, "--yes", "--json", status=0).json
    assert (said["dry_run"], said["burned"]) == (False, 512)
    assert accounts(store) == (0, 0, 512, 512, 0)


def test_prune_says_how_many_bits_it_would_burn(memtj_here, store: Path, tmp_path: Path) -> None:
    before = content(store)
    prune = ("store", "prune", store, "--burn-unspent")
    out = memtj_here(*prune, "--archive", tmp_path / "shelf", status=1).stdout
    assert (
        missing(out, "2 of 2 buffers would go", "512 bits burned; nothing was changed: --yes does it.") == []
    )
    said = memtj_here(*prune, "--json", status=1).json
    assert (said["burned"], said["dry_run"]) == (512, True)
    assert content(store) == before
    assert not (tmp_path / "shelf").exists()
    memtj_here("store", "prune", store, "--older-than", "1h", status=0)  # nothing would go


@pytest.mark.skipif(os.name == "nt", reason="mounts are POSIX's")
def test_a_store_on_a_read_only_medium_is_listed_and_verified(
    memtj_here, store: Path, tmp_path: Path
) -> None:
    (tmp_path / "medium").mkdir()
    mount = ["mount", "--bind", str(store), str(tmp_path / "medium")]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "medium"], check=True)
        said = memtj_here("store", "ls", tmp_path / "medium", "--json", status=0).json
        assert said["accounts"]["free"] == 512
        memtj_here("store", "ls", tmp_path / "medium", status=0)
        said = memtj_here("store", "verify", tmp_path / "medium", "--json", status=0).json
        assert (said["ok"], said["bits"]) == (True, 1024)
        memtj_here("store", "conditioning", tmp_path / "medium", status=0)
        assert "would be deleted" in memtj_here("store", "prune", tmp_path / "medium").stdout
        export = ["export", "--out", tmp_path / "x", "--bits", "8", "--yes"]
        for change in (["prune", "--yes"], ["rewrite"], export):
            err = memtj_here("store", change[0], tmp_path / "medium", *change[1:], status=1).stderr
            assert f"{tmp_path / 'medium'} cannot be used as a store: Read-only file system" in err
    finally:
        subprocess.run(["umount", tmp_path / "medium"], check=True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["store", "ls"], ["store", "verify"], ["store", "salvage"], ["store", "rewrite"], ["store", "prune", "--yes"],
        ["store", "export", "--out", "x", "--bits", "8", "--yes"], ["store", "adopt", "--copied", "--yes"],
        ["store", "adopt", "--moved"], ["store", "conditioning", "xor2"], ["store", "conditioning"], ["assess"],
    ],
)  # fmt: skip
def test_a_mistyped_store_makes_nothing(memtj_here, tmp_path: Path, monkeypatch, arguments: list) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*arguments[:2], "typo", *arguments[2:]] if arguments[0] == "store" else [*arguments, "typo"]
    err = memtj_here(*command, status=1).stderr
    assert "typo" in err
    assert list(tmp_path.iterdir()) == []
