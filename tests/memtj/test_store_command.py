"""`memtj store`: what it prints, what it changes, what it refuses."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from entropy import CELL_DTYPE, Store

CELLS = 64
FACTS = {
    "host_time": 0.0, "board_time": 0.0, "pulses": 2, "voltage": 1.0, "width": 1e-9, "read_voltage": 0.1,
    "field": 0.0, "temperature": 300.0, "failed_resets": 0,
}  # fmt: skip


def fill(store: Store, blocks: int) -> None:
    with store.record(
        cells=np.zeros(CELLS, CELL_DTYPE), cells_per_pulse=CELLS, bench={}, procedure={}, simulated=True
    ) as recording:
        for number in range(blocks):
            bits = np.random.default_rng(number).integers(0, 256, 2 * CELLS // 8, dtype=np.uint8)
            recording.append(bits, 2 * CELLS, positions=2 * CELLS, sequence=number, **FACTS)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Two buffers of four blocks of 128 bits; the first buffer is spent."""
    with Store(tmp_path / "bits") as made:
        fill(made, 4)
        fill(made, 4)
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
    assert status == 0
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
        "store", "export", store, "--out", tmp_path / "a.npy", "--as", "npy", "--bits", "1e2"
    )
    assert status == 0
    assert "100 bits are in" in out
    assert np.load(tmp_path / "a.npy").shape == (100,)
    name = sorted(path.name for path in store.glob("*.h5"))[1]
    with Store(store) as opened:
        name = opened.buffers()[1].path.name
    status, out, _ = memtj(
        "store", "export", store, "--to-store", tmp_path / "b", "--buffer", name, "--blocks", "1:2", "--json"
    )
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
    status, out, _ = memtj("store", "salvage", store)
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
    assert memtj("store", "adopt", tmp_path / "copy", "--copied")[0] == 0
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
        (["export", "--out", "x", "--bits", "8", "--as", "hex"], 1, "use packed, bytes, npy"),
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
