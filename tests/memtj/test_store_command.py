"""`memtj store`: what it prints, what it changes, what it refuses."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from entropy import Store
from entropy.testing import change_ledger, random_blocks, record_blocks

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


@pytest.fixture
def memtj(memtj_here: Callable) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process; gives exit status, standard output and standard error."""

    def call(*arguments: object) -> tuple[int, str, str]:
        done = memtj_here(*arguments)
        return done.returncode, done.stdout, done.stderr

    return call


def test_ls_shows_buffers_accounts_and_who_holds_bits(memtj, store: Path) -> None:
    with Store(store) as opened, opened.lease(100, purpose="drawing"), opened.reserve(50, purpose="later"):
        status, out, _ = memtj("store", "ls", store)
        assert status == 0
        assert "leased: 100 bits by 'drawing'" in out
        assert "reserved: 50 bits for 'later'" in out
        status, out, _ = memtj("store", "ls", store, "--json")
    said = json.loads(out)
    assert said["accounts"]["free"] == 412
    assert [item["purpose"] for item in said["leases"] + said["requests"]] == ["drawing", "later"]


def test_prune_says_first_and_does_it_with_yes(memtj, store: Path, tmp_path: Path) -> None:
    status, out, _ = memtj("store", "prune", store)
    assert status == 1
    assert "would be deleted" in out
    assert "stays: 512 of its bits are not spent" in out
    assert "1 of 2 buffers would go" in out
    assert "nothing was changed: --yes does it" in out
    assert len(list(store.glob("*.h5"))) == 2
    status, out, _ = memtj("store", "prune", store, "--yes", "--archive", tmp_path / "shelf", "--json")
    assert status == 0
    assert [step["done"] for step in json.loads(out)["buffers"]] == [True, False]
    assert len(list((tmp_path / "shelf").glob("*.h5"))) == 1
    assert f"archived buffers are in {tmp_path / 'shelf'}" in memtj("store", "ls", store)[1]
    status, out, _ = memtj("store", "prune", store, "--older-than", "1h", "--burn-unspent")
    assert "stays: it is too young" in out
    status, out, _ = memtj("store", "prune", store, "--down-to", "1k", "--burn-unspent", "--yes")
    assert "deleted, 512 bits burned" in out
    with Store(store) as opened:
        assert opened.accounts().burned == 512


def test_export_to_a_file_and_to_another_store(memtj, store: Path, tmp_path: Path) -> None:
    status, out, _ = memtj(
        "store", "export", store, "--out", tmp_path / "a.npy", "--as", "npy", "--bits", "1e2", "--yes"
    )
    assert status == 0
    assert "100 bits are in" in out
    assert np.load(tmp_path / "a.npy").shape == (100,)
    name = sorted(path.name for path in store.glob("*.h5"))[1]
    with Store(store) as opened:
        name = opened.buffers()[1].path.name
    status, out, _ = memtj(
        "store", "export", store, "--to-store", tmp_path / "b", "--buffer", name, "--blocks", "1:2", "--json",
        "--yes",
    )  # fmt: skip
    assert status == 0
    assert json.loads(out)["bits"] == 256
    with Store(store) as opened, Store(tmp_path / "b") as other:
        assert (opened.accounts().burned, other.accounts().free) == (356, 256)


def test_salvage_of_a_lost_ledger(memtj, store: Path) -> None:
    status, out, _ = memtj("store", "salvage", store)
    assert (status, out) == (0, "everything was in order.\n")
    for path in store.glob("ledger*"):
        path.unlink()
    status, _, err = memtj("store", "ls", store)
    assert status == 1
    assert "no store" in err or "salvage" in err
    before = content(store)
    status, out, _ = memtj("store", "salvage", store)
    assert status == 1
    assert out.startswith("there is no ledger: a new one would be made.\n")
    assert out.endswith("1,024 bits would be burned; nothing was changed: --yes does it.\n")
    status, out, _ = memtj("store", "salvage", store, "--json")
    assert (status, json.loads(out)["dry_run"], json.loads(out)["burned"]) == (1, True, 1024)
    assert content(store) == before
    status, out, _ = memtj("store", "salvage", store, "--yes")
    assert status == 0
    assert "there was no ledger" in out
    assert out.count("512 bits, burned") == 2
    (store / "stray.h5").write_text("no HDF5")
    status, out, _ = memtj("store", "salvage", store)
    assert status == 1
    assert "problem: " in out
    assert "stray.h5" in out


def test_a_copy_is_adopted_with_its_bits_burned(memtj, store: Path, tmp_path: Path) -> None:
    shutil.copytree(store, tmp_path / "copy")
    assert memtj("store", "ls", tmp_path / "copy")[0] == 1
    assert memtj("store", "adopt", tmp_path / "copy", "--copied", "--yes")[0] == 0
    assert memtj("store", "verify", tmp_path / "copy")[0] == 0
    with Store(tmp_path / "copy") as opened:
        assert (opened.accounts().free, opened.accounts().burned) == (0, 512)


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
def test_mistakes(memtj, store: Path, tmp_path: Path, monkeypatch, arguments, status, message) -> None:
    monkeypatch.chdir(tmp_path)
    command, *options = arguments
    done, _, err = memtj("store", command, store, *options)
    assert done == status
    assert message in " ".join(err.replace("│", " ").split())
    assert not (tmp_path / "x").exists()
    with Store(store) as opened:
        assert (opened.accounts().free, opened.accounts().consumed) == (512, 512)


@pytest.mark.parametrize("command", ["ls", "verify", "prune", "salvage"])
def test_a_folder_that_is_no_store(memtj, tmp_path: Path, command: str) -> None:
    (tmp_path / "empty").mkdir()
    status, _, err = memtj("store", command, tmp_path / "empty")
    assert status == 1
    assert str(tmp_path / "empty") in err
    assert list((tmp_path / "empty").iterdir()) == []


def test_conditioning_says_and_chooses_what_the_stores_bits_go_through(memtj, store: Path) -> None:
    assert memtj("store", "conditioning", store) == (
        0,
        "no conditioning was chosen: commands use xor2.\n",
        "",
    )
    assert memtj("store", "conditioning", store, "peres") == (0, "peres:5\n", "")
    status, out, _ = memtj("store", "conditioning", store, "--json")
    assert (status, json.loads(out)["conditioning"]) == (0, "peres:5")
    status, _, error = memtj("store", "conditioning", store, "coin")
    assert status == 1
    assert error.startswith("memtj: there is no conditioning 'coin': use one of none, xor2")
    status, _, error = memtj("store", "conditioning", store, "mask", "--own-seed")
    assert (status, error) == (
        1,
        "memtj: --own-seed goes with toeplitz, not with mask: leave one of them out.\n",
    )
    assert memtj("store", "conditioning", store, "--own-seed")[0] == 1
    assert memtj("store", "conditioning", store)[1] == "peres:5\n"


def test_a_toeplitz_seed_of_the_stores_own_is_spent_and_named(memtj, store: Path) -> None:
    status, _, error = memtj("store", "conditioning", store, "toeplitz", "--own-seed")
    assert status == 1
    assert "640 bits were wanted and 512 are free" in error
    with Store(store) as opened:
        record_blocks(opened, random_blocks(4, 2 * CELLS // 8), cells=CELLS)
    status, out, _ = memtj("store", "conditioning", store, "toeplitz", "--own-seed")
    assert status == 0
    assert out.startswith("toeplitz:1920/4096:")
    assert len(bytes.fromhex(out.strip().rpartition(":")[2])) == 32
    with Store(store) as opened:
        assert opened.accounts().consumed == 512 + 640


def test_ls_says_what_was_assessed(memtj, store: Path) -> None:
    with Store(store) as opened:
        opened.credit(opened.buffers()[0].uuid, 0.875, bits=512, basis="test")
    out = memtj("store", "ls", store)[1]
    assert out.count("0.8750") == out.count("not assessed") == 1
    said = json.loads(memtj("store", "ls", store, "--json")[1])
    assert [buffer["min_entropy"] for buffer in said["buffers"]] == [0.875, None]


def accounts(path: Path) -> tuple[int, ...]:
    """Free, leased, consumed, burned and withheld bits."""
    with Store(path, read_only=True) as opened:
        found = opened.accounts()
    return found.free, found.leased, found.consumed, found.burned, found.withheld


def content(folder: Path) -> dict[str, bytes]:
    """What is in each file, but for SQLite's index of its log, which holds nothing."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".sqlite-shm"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.mark.parametrize("kind", ["--copied", "--moved"])
@pytest.mark.parametrize("yes", [[], ["--yes"]])
def test_a_store_that_lies_where_it_belongs_is_not_adopted(memtj, store: Path, kind: str, yes: list) -> None:
    before = accounts(store)
    status, _, err = memtj("store", "adopt", store, kind, *yes)
    assert status == 1
    assert f"{store} lies where it belongs, so there is nothing to adopt" in err
    assert accounts(store) == before == (512, 0, 512, 0, 0)


def test_adopting_a_copy_says_first_what_it_burns(memtj, store: Path, tmp_path: Path) -> None:
    with Store(store) as opened:
        buffer = opened.buffers()[1].uuid
        assert opened.withhold(buffer, 0, 100, verdict="test") == 100
        with opened.lease(50, purpose="the original's"):
            shutil.copytree(store, tmp_path / "copy")
    before = content(tmp_path / "copy")
    status, out, _ = memtj("store", "adopt", tmp_path / "copy", "--copied")
    assert status == 1
    assert f"512 bits of {tmp_path / 'copy'} would be burned; nothing was changed: --yes does it." in out
    status, out, _ = memtj("store", "adopt", tmp_path / "copy", "--copied", "--json")
    assert (status, json.loads(out)["dry_run"], json.loads(out)["burned"]) == (1, True, 512)
    assert content(tmp_path / "copy") == before
    status, out, _ = memtj("store", "adopt", tmp_path / "copy", "--copied", "--json", "--yes")
    assert (status, json.loads(out)["dry_run"], json.loads(out)["burned"]) == (0, False, 512)
    assert accounts(tmp_path / "copy") == (0, 0, 512, 512, 0)
    shutil.copytree(store, tmp_path / "moved")
    assert memtj("store", "adopt", tmp_path / "moved", "--moved")[0] == 0  # burns nothing
    assert accounts(tmp_path / "moved") == (412, 0, 512, 0, 100)


@pytest.mark.parametrize(
    ("options", "bits"), [(["--bits", "100"], 100), (["--blocks", "1:2"], 256), ([], 512)]
)
@pytest.mark.parametrize("target", ["--out", "--to-store"])
def test_export_says_first_what_it_burns(
    memtj, store: Path, tmp_path: Path, target: str, options: list, bits: int
) -> None:
    if "--bits" not in options:
        with Store(store, read_only=True) as opened:
            options = [*options, "--buffer", opened.buffers()[1].uuid]
    elif target == "--to-store":
        options, bits = ["--buffer", "none of this name"], 0
    before = content(store)
    status, out, _ = memtj("store", "export", store, target, tmp_path / "new", *options)
    assert status == 1
    said = f"{bits:,} bits would go to {tmp_path / 'new'} and be burned here; nothing was changed: --yes does it."
    assert not bits or said in out
    assert content(store) == before
    assert [path.name for path in tmp_path.iterdir()] == [store.name]


def test_salvage_burns_nothing_unasked(memtj, store: Path) -> None:
    with Store(store) as opened:
        second = opened.buffers()[1]
    # as if the second one came from elsewhere
    change_ledger(
        store,
        "DELETE FROM blocks WHERE buffer = 2; DELETE FROM ranges WHERE buffer = 2; DELETE FROM buffers WHERE id = 2",
    )
    before = content(store)
    status, out, _ = memtj("store", "salvage", store)
    assert status == 1
    assert f"would be entered: {second.path.name}, 512 bits, burned\n512 bits would be burned" in out
    assert content(store) == before
    assert memtj("store", "salvage", store, "--unused")[0] == 0  # which burns nothing
    assert accounts(store) == (512, 0, 512, 0, 0)
    assert memtj("store", "salvage", store)[0] == 0  # there is nothing to do


def test_salvage_of_a_damaged_ledger_says_first_what_it_burns(memtj, store: Path) -> None:
    change_ledger(store, "DELETE FROM ranges WHERE state = 'free'")
    before = content(store)
    status, out, _ = memtj("store", "salvage", store)
    assert status == 1
    assert "the ledger is damaged; kept of it would be: 512 burned, 512 consumed." in out
    assert "512 bits would be burned; nothing was changed: --yes does it." in out
    assert content(store) == before
    status, out, _ = memtj("store", "salvage", store, "--yes", "--json")
    assert (status, json.loads(out)["dry_run"], json.loads(out)["burned"]) == (0, False, 512)
    assert accounts(store) == (0, 0, 512, 512, 0)


def test_prune_says_how_many_bits_it_would_burn(memtj, store: Path, tmp_path: Path) -> None:
    before = content(store)
    status, out, _ = memtj("store", "prune", store, "--burn-unspent", "--archive", tmp_path / "shelf")
    assert status == 1
    assert "2 of 2 buffers would go" in out
    assert "512 bits burned; nothing was changed: --yes does it." in out
    status, out, _ = memtj("store", "prune", store, "--burn-unspent", "--json")
    assert (status, json.loads(out)["burned"], json.loads(out)["dry_run"]) == (1, 512, True)
    assert content(store) == before
    assert not (tmp_path / "shelf").exists()
    assert memtj("store", "prune", store, "--older-than", "1h")[0] == 0  # nothing would go


@pytest.mark.skipif(os.name == "nt", reason="mounts are POSIX's")
def test_a_store_on_a_read_only_medium_is_listed_and_verified(memtj, store: Path, tmp_path: Path) -> None:
    (tmp_path / "medium").mkdir()
    mount = ["mount", "--bind", str(store), str(tmp_path / "medium")]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", tmp_path / "medium"], check=True)
        status, out, _ = memtj("store", "ls", tmp_path / "medium", "--json")
        assert (status, json.loads(out)["accounts"]["free"]) == (0, 512)
        assert memtj("store", "ls", tmp_path / "medium")[0] == 0
        status, out, _ = memtj("store", "verify", tmp_path / "medium", "--json")
        assert (status, json.loads(out)["ok"], json.loads(out)["bits"]) == (0, True, 1024)
        assert memtj("store", "conditioning", tmp_path / "medium")[0] == 0
        assert "would be deleted" in memtj("store", "prune", tmp_path / "medium")[1]
        export = ["export", "--out", tmp_path / "x", "--bits", "8", "--yes"]
        for change in (["prune", "--yes"], ["rewrite"], export):
            status, _, err = memtj("store", change[0], tmp_path / "medium", *change[1:])
            assert status == 1
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
def test_a_mistyped_store_makes_nothing(memtj, tmp_path: Path, monkeypatch, arguments: list) -> None:
    monkeypatch.chdir(tmp_path)
    command = [*arguments[:2], "typo", *arguments[2:]] if arguments[0] == "store" else [*arguments, "typo"]
    status, _, err = memtj(*command)
    assert status == 1
    assert "typo" in err
    assert list(tmp_path.iterdir()) == []
