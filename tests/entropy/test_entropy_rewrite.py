"""Buffers that an earlier memtj wrote are written anew so that every HDF5 reads them, and nothing else changes."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import psutil
import pytest

from entropy import ACTION_DTYPE, FROM_BOTH, TUNING_DTYPE, PrunePolicy, Store, StoreError, rewrite, salvage
from entropy.buffer._opening import open_buffer, readable_everywhere, unknown_names

from .conftest import damage

DATA = Path(__file__).parent / "data"
PULSES = 40


@pytest.fixture
def old(store, made, monkeypatch) -> Store:
    """A store of two buffers as HDF5 2.0 writes them by default, with everything in them that there can be."""
    monkeypatch.setattr("entropy.buffer._format.LIBVER", "latest")
    tuning = np.zeros(made.count, TUNING_DTYPE)
    tuning["voltage_p"] = np.arange(made.count)
    usable = np.ones(PULSES * made.count, np.uint8)
    usable[7::50] = 0
    actions = np.zeros(1, ACTION_DTYPE)
    actions["state"], actions["voltage"] = FROM_BOTH, 1e-3
    with made.recording(
        store, resistances=20, tuning=tuning, conditions={"target": 0.5}, actions=True,
        rotate_bytes=20 * PULSES * made.count // 8,
    ) as record:  # fmt: skip
        for number in range(40):
            outcomes = np.random.default_rng(number).integers(0, 2, len(usable), dtype=np.uint8)
            made.append(record, outcomes, usable=usable if number % 3 else None, actions=actions)
        record.append_resistances(np.linspace(70e3, 160e3, 13))
    monkeypatch.undo()
    return store


def contents(store: Store) -> list:
    """Give all that the buffers of a store say, and its accounts."""
    found: list = [store.accounts(), store.credits()]
    for info in store.buffers():
        with h5py.File(info.path, "r") as opened:
            file: Any = opened
            texts = {name: (value.dtype.str, value.tobytes()) for name, value in file.attrs.items()}
            parts = {name: file[name][:].tobytes() for name in file}
        found += [info, texts, parts, (store.tuning(info.uuid) or (None, None))[1]]
    return found


def paths(store: Store) -> list[Path]:
    return [info.path for info in store.buffers()]


def everywhere(path: Path) -> bool:
    with open_buffer(path) as file:
        return readable_everywhere(file)


def outcomes(store: Store) -> list[str]:
    return [step.outcome for step in rewrite(store.path)]


def test_what_hdf5_2_wrote_is_told_from_what_every_release_reads(old, store, made):
    made.fill(store, [3])
    assert [everywhere(path) for path in paths(store)] == [False, False, True]
    assert [everywhere(DATA / f"version-{number}.h5") for number in (1, 2)] == [False, False]


def test_a_store_written_anew_is_the_same_store(old):
    with old.lease(100_000, purpose="test") as lease:
        bits, ranges = lease.read(70_000), lease.ranges
    before, replayed = contents(old), old.read(ranges)
    seen = []
    steps = rewrite(old.path, progress=lambda done, total: seen.append((done, total)))
    assert [(step.buffer, step.path, step.outcome) for step in steps] == [
        (info.uuid, info.path, "rewritten") for info in old.buffers()
    ]
    assert seen[-1][0] == seen[-1][1] > 0
    assert [everywhere(path) for path in paths(old)] == [True, True]
    assert contents(old) == before
    with Store(old.path, create=False) as again:
        np.testing.assert_array_equal(again.read(ranges), replayed)
        np.testing.assert_array_equal(again.read(ranges)[: len(bits)], bits)
        assert contents(again) == before
        assert again.verify().problems == []
    stamps = [path.stat().st_ino for path in paths(old)]
    assert outcomes(old) == ["current", "current"]
    assert [path.stat().st_ino for path in paths(old)] == stamps


def test_h5dump_reads_them_then(old):
    program = shutil.which("h5dump")
    if program is None:
        assert "MEMTJ_OLD_READERS" not in os.environ, "h5dump is missing: apt-get install hdf5-tools"
        pytest.skip("h5dump is missing: apt-get install hdf5-tools")

    def said(path: Path) -> str:
        return subprocess.run([program, path], capture_output=True, text=True, timeout=60).stderr

    assert all("error" in said(path) for path in paths(old))
    rewrite(old.path)
    assert not any(said(path) for path in paths(old))


@pytest.mark.parametrize("version", [1, 2])
def test_kept_files_of_each_version_stay_of_their_version(tmp_path, version):
    source = json.loads((DATA / f"version-{version}.json").read_text())
    with Store(tmp_path / "s") as store:
        store._ledger.register({
            "uuid": source["buffer"], "file": "kept.h5", "recording": source["recording"], "segment": 0,
            "created": source["created"], "simulated": 1, "conditioning": "none",
        })  # fmt: skip
        shutil.copy(DATA / f"version-{version}.h5", store.path / "kept.h5")
        before = contents(store)
    with Store(tmp_path / "s") as store:
        assert outcomes(store) == ["rewritten"]
        assert contents(store) == before
        with h5py.File(store.path / "kept.h5", "r") as file:
            assert file.attrs["format_version"] == version


def test_a_lease_that_is_held_reads_on(old, made):
    with old.lease(100_000, purpose="test") as lease:
        first = lease.read(10_000)
        assert outcomes(old) == ["rewritten", "rewritten"]
        rest = lease.read(90_000)
        ranges = lease.ranges
    np.testing.assert_array_equal(np.concatenate([first, rest]), old.read(ranges))


def test_a_live_buffer_is_left_alone_and_its_closed_segments_are_not(store, made, monkeypatch):
    monkeypatch.setattr("entropy.buffer._format.LIBVER", "latest")
    with made.recording(store, rotate_bytes=made.count) as record:
        for _ in range(20):
            made.append(record, made.cells()["column"] % 2)
        first, *_, last = rewrite(store.path)
        assert first.outcome == "rewritten"
        assert (last.outcome, last.why) == ("left", "it is being recorded")
        made.append(record, made.cells()["column"] % 2)
    assert store.verify().ok
    assert outcomes(store)[-1] == "rewritten"


def test_what_a_killed_recorder_left_is_for_salvage_which_writes_the_new_form(store, made, monkeypatch):
    monkeypatch.setattr("entropy.buffer._format.LIBVER", "latest")
    record = made.recording(store)
    made.append(record, made.cells()["column"] % 2)
    monkeypatch.setattr("entropy.buffer._writer.BufferWriter.close", lambda self: self._abandon())
    record.close()
    monkeypatch.undo()
    (step,) = rewrite(store.path)
    assert step.outcome == "left"
    assert "memtj store salvage" in step.why
    store.close()
    assert salvage(store.path).closed == [step.path.name]
    assert everywhere(step.path)


def test_archived_buffers_are_written_anew_where_they_lie_and_deleted_ones_passed_over(old, tmp_path):
    one, two = old.buffers()
    old.lease_blocks(one.uuid, 0, one.blocks - 1, purpose="spend").burn()
    old.prune(PrunePolicy(), archive=tmp_path / "shelf", dry_run=False)
    rewrite(old.path)
    before = old.read([(one.uuid, 0, 1000)])
    assert everywhere(tmp_path / "shelf" / one.path.name)
    np.testing.assert_array_equal(old.read([(one.uuid, 0, 1000)]), before)
    old.lease_blocks(two.uuid, 0, two.blocks - 1, purpose="spend").burn()
    old.prune(PrunePolicy(), dry_run=False)
    assert outcomes(old) == ["current"]


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def add(path: Path) -> None:
    with h5py.File(path, "r+", libver="latest") as file:
        file["later"] = 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: damage(path, "bits", at=100), "verify"),
        (cut, ""), (add, "it holds /later, which would be lost"), (os.remove, "is missing: bring it"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_anew_is_named_and_stays(old, spoil, said):
    one, two = paths(old)
    spoil(one)
    kept = one.read_bytes() if one.exists() else b""
    first, second = rewrite(old.path)
    assert (first.outcome, second.outcome) == ("failed", "rewritten")
    assert said in first.why
    assert str(one) in first.why or "holds" in first.why
    assert (one.read_bytes() if one.exists() else b"") == kept
    assert not list(old.path.glob("*.partial"))
    assert everywhere(two)


def test_what_it_does_not_know_is_found_by_name(old):
    path = paths(old)[0]
    with open_buffer(path) as file:
        assert unknown_names(file) == []
    with h5py.File(path, "r+", libver="latest") as file:
        file.attrs["mood"], file["bits"].attrs["unit"] = 1, "V"
    with open_buffer(path) as file:
        assert unknown_names(file) == ["attribute mood", "attribute unit of /bits"]


def test_without_room_nothing_is_begun(old, monkeypatch):
    kept = [path.read_bytes() for path in paths(old)]
    usage = shutil.disk_usage(old.path)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=len(kept[0])))
    with pytest.raises(StoreError, match=r"bytes free and its largest buffer, .* nothing was changed"):
        rewrite(old.path)
    assert [path.read_bytes() for path in paths(old)] == kept


def test_a_folder_that_takes_no_file_is_named_and_all_stays(old, monkeypatch):
    kept = [path.read_bytes() for path in paths(old)]

    def refuse(*_: object, **__: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("entropy.store._anew.create_buffer", refuse)
    steps = rewrite(old.path)
    assert [step.outcome for step in steps] == ["failed", "failed"]
    assert (
        steps[0].why == f"{paths(old)[0]} cannot be written anew: Read-only file system; it stays as it was"
    )
    assert [path.read_bytes() for path in paths(old)] == kept


def test_nothing_is_open_where_a_file_takes_anothers_place(old, monkeypatch):
    """Windows replaces no file that is open."""
    old.close()
    place = os.replace

    def replace(source: Path, target: Path) -> None:
        open_here = {os.path.realpath(file.path) for file in psutil.Process().open_files()}
        assert not open_here & {os.path.realpath(source), os.path.realpath(target)}
        place(source, target)
        replaced.append(target)

    replaced: list[Path] = []
    monkeypatch.setattr("os.replace", replace)
    assert outcomes(old) == ["rewritten", "rewritten"]
    assert len(replaced) == 2


def test_one_program_at_a_time(old, monkeypatch):
    def meanwhile(*_: object) -> None:
        for other in (lambda: rewrite(old.path), lambda: old.prune(PrunePolicy(), dry_run=False)):
            with pytest.raises(StoreError, match="salvaged, rewritten or pruned by another program"):
                other()

    rewrite(old.path, progress=meanwhile)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize(
    "stride", [pytest.param(17, id="some"), pytest.param(1, id="all", marks=pytest.mark.slow)]
)
def test_killed_at_any_line_it_leaves_one_of_the_two_whole(run, tmp_path, stride):
    found = json.loads(run("rewrite_kills.py", tmp_path, stride, timeout=600 / stride))
    assert found["points"] >= 200 / stride
    assert found["found"]["old"]
    assert found["found"]["new"] or stride > 1
    assert found["wrong"] == []
