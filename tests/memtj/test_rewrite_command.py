"""`memtj store rewrite`: what it says, and when it ends with exit code 1."""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from entropy import Recording, Store
from entropy.testing import append_bits, start_recording
from tests.conftest import missing

CELLS = 64


def begin(store: Store) -> Recording:
    recording = start_recording(store, CELLS)
    append_bits(recording, np.arange(256, dtype=np.uint8))
    return recording


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two buffers as an earlier version wrote them."""
    monkeypatch.setattr("entropy.buffer._format.LIBVER", "latest")
    with Store(tmp_path / "bits") as made:
        begin(made).close()
        begin(made).close()
    monkeypatch.undo()
    return tmp_path / "bits"


def test_it_says_what_it_did(memtj_here: Callable, store: Path) -> None:
    first, second = sorted(path.name for path in store.glob("*.h5"))
    done = memtj_here("store", "rewrite", store, status=0)
    total = "2 of 2 buffers rewritten; 0 needed nothing."
    assert missing(done.stdout, f"rewritten: {first}", f"rewritten: {second}", total) == []
    said = memtj_here("store", "rewrite", store, "--json").json
    assert [row["outcome"] for row in said["buffers"]] == ["current", "current"]
    # recordings of one second are told apart by a random part of their names
    assert sorted(Path(row["path"]).name for row in said["buffers"]) == [first, second]
    memtj_here("store", "verify", store, status=0)
    assert memtj_here("store", "ls", store, "--json").json["accounts"]["free"] == 4096


def test_a_live_buffer_is_named_and_no_failure(memtj_here: Callable, store: Path) -> None:
    with Store(store) as opened, begin(opened):
        done = memtj_here("store", "rewrite", store, status=0)
    assert missing(done.stdout, "it is being recorded", "2 of 3 buffers rewritten") == []


def test_what_failed_is_named_with_exit_code_1(memtj_here: Callable, store: Path) -> None:
    first, second = sorted(store.glob("*.h5"))
    with h5py.File(first, "r+") as file:
        file["mine"] = 1
    os.remove(second)
    done = memtj_here("store", "rewrite", store, status=1)
    assert missing(done.stdout, f"problem: {first.name}: it holds /mine", f"{second} is missing") == []
    outcomes = memtj_here("store", "rewrite", store, "--json").json["buffers"]
    assert [row["outcome"] for row in outcomes] == ["failed", "failed"]


def test_no_store_is_one_sentence_and_makes_none(memtj_here: Callable, tmp_path: Path) -> None:
    done = memtj_here("store", "rewrite", tmp_path / "typo", status=1)
    assert done.stderr.startswith("memtj: ")
    assert "is no store" in done.stderr
    assert not (tmp_path / "typo").exists()
