"""Bits that are born used: a recording of draws is consumed at commit, and nobody can have, release or assess it."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from entropy import Commanded, NotEnoughBits, Store, StoreError
from entropy.buffer._reader import BufferReader
from entropy.quality.assessment import StoreSubject
from entropy.quality.draws import audit_draws
from entropy.store._salvage import close_properly
from entropy.testing import append_outcomes, array_cells, random_blocks, record_blocks, start_recording

CELLS = 64


@pytest.fixture
def drawn(store: Store) -> str:
    """A buffer of two blocks of draws, biased as these are, some of them left out, and one that failed a test."""
    rng = np.random.default_rng(1)
    with start_recording(store, CELLS, drawn=True) as recording:
        for p, health in ((0.02, 0), (0.9, 4)):
            outcomes = (rng.random(CELLS) < p).astype(np.uint8)
            append_outcomes(recording, outcomes, (rng.random(CELLS) < 0.7).astype(np.uint8), health=health)
        return recording.buffer


def test_draws_are_consumed_at_commit(store: Store, drawn: str) -> None:
    accounts = store.accounts()
    assert accounts.balanced
    bits = int(store.rows(drawn)["bits"].sum())
    assert 0 < bits < 2 * CELLS
    assert (accounts.recorded, accounts.consumed, accounts.free, accounts.withheld) == (bits, bits, 0, 0)
    assert [info.drawn for info in store.buffers()] == [True]


def test_a_recording_of_draws_that_runs_promises_nothing(store: Store) -> None:
    with start_recording(store, CELLS, drawn=True, expected_bits=10**6), pytest.raises(NotEnoughBits):
        store.reserve(8, purpose="live")


@pytest.mark.parametrize("withheld", [False, True])
def test_draws_are_never_leased(store: Store, drawn: str, withheld: bool) -> None:
    with pytest.raises(NotEnoughBits):
        store.lease(8, purpose="no", withheld=withheld)
    with pytest.raises(StoreError, match=r"0 of the .* are free"):
        store.lease_blocks(drawn, 0, 1, purpose="no")
    assert store.release(drawn, 0, 2 * CELLS, verdict="no") == 0
    assert store.withhold(drawn, 0, 2 * CELLS, verdict="no") == 0


def test_draws_are_never_assessed(store: Store, drawn: str) -> None:
    with pytest.raises(StoreError, match="holds draws"):
        store.credit(drawn, 0.5, bits=8, basis="no")
    with pytest.raises(StoreError, match="no recorded bits"):
        StoreSubject(store)
    raw = record_blocks(store, random_blocks(2, 64))
    assert StoreSubject(store).buffers == [raw.buffer]


def test_draws_are_read_again_to_the_last_bit(store: Store, drawn: str) -> None:
    rng = np.random.default_rng(1)
    for block, p in enumerate((0.02, 0.9)):
        outcomes, used = rng.random(CELLS) < p, rng.random(CELLS) < 0.7
        data, valid = store.read_block(drawn, block)
        assert valid is not None
        assert np.array_equal(np.unpackbits(valid), used)
        assert np.array_equal(np.unpackbits(data, count=int(used.sum())), outcomes[used])


def test_an_opening_finds_what_a_killed_writer_has_drawn(tmp_path: Path) -> None:
    with Store(tmp_path / "store") as store:
        recording = start_recording(store, CELLS, drawn=True)
        append_outcomes(recording, np.ones(CELLS, np.uint8))
        recording._mark.release(remove=True)  # as its process's end does
        with Store(tmp_path / "store") as other:
            assert (other.accounts().consumed, other.accounts().balanced) == (CELLS, True)


def test_programs_that_know_no_draws_refuse_the_file(store: Store, drawn: str) -> None:
    with h5py.File(store.buffers()[0].path) as file:
        assert file.attrs["format_version"] == 3


def asked_for(store: Store, steps: int = 60, stuck: int | None = None, **plan) -> str:
    """Record flips of 16 × 4 cells with probabilities of their own, that are kept; gives the recording."""
    rng, cells = np.random.default_rng(2), array_cells(CELLS)
    cells["row"], cells["column"] = np.divmod(np.arange(CELLS), 4)
    state = np.zeros(CELLS, bool)
    with start_recording(store, cells, drawn=True, commanded=True, **plan) as recording:
        for _ in range(steps):
            switch, usable = rng.uniform(0.2, 0.8, CELLS), rng.random(CELLS) < 0.9
            pulsed = rng.random(CELLS) < 0.8
            asked = Commanded("flip", np.where(state, 1 - switch, switch), pulsed & usable)
            flips = rng.random(CELLS) < switch
            flips[slice(0) if stuck is None else stuck] = False
            state = state ^ (flips & pulsed & usable)
            append_outcomes(recording, state.astype(np.uint8), usable.astype(np.uint8), commanded=asked)
    return recording.uuid


def test_what_draws_were_asked_for_is_read_again(store: Store) -> None:
    rng = np.random.default_rng(3)
    p, drawn = np.array([0.0, 1.0, *rng.random(CELLS - 2)]), np.arange(CELLS) % 3 != 2
    with start_recording(store, CELLS, drawn=True, commanded=True) as recording:
        for mode in ("write", "flip", "read"):
            append_outcomes(recording, np.ones(CELLS, np.uint8), commanded=Commanded(mode, p, drawn))
            found = store.commanded(recording.buffer, recording.blocks - 1)
            assert found is not None
            assert found.mode == mode
            assert np.array_equal(found.drawn, drawn)
            np.testing.assert_allclose(found.p[drawn], p[drawn], atol=0.5 / 65534)
            assert found.p[:2].tolist() == [0, 1]
    assert store.verify().ok


def test_draws_that_do_not_say_are_read_as_ever(store: Store, drawn: str) -> None:
    assert store.commanded(drawn, 0) is None
    with pytest.raises(StoreError, match="does not say what its draws were asked for"):
        audit_draws(store, store.buffers()[0].recording)
    with pytest.raises(StoreError, match="has no recording"):
        audit_draws(store, "another")


@pytest.mark.parametrize("stuck", [None, 7])
def test_draws_are_judged_by_the_files_alone(store: Store, stuck: int | None) -> None:
    recording = asked_for(store, steps=400, stuck=stuck, rotate_bytes=1000)
    assert len(store.buffers()) > 1
    found = audit_draws(store, recording)
    assert found.blocks == 400
    assert 0.7 < found.draws / (400 * CELLS) < 0.74
    assert (found.cells.tolist(), found.stream) == ([] if stuck is None else [stuck], False)


def test_damage_to_what_draws_were_asked_for_is_named_and_costs_no_bit(store: Store) -> None:
    asked_for(store, 3)
    (info,) = store.buffers()
    with h5py.File(info.path, "r+") as file:
        values: Any = file["commanded"]
        values[(1 + CELLS) + 5] ^= 1
    report = store.verify()
    assert len(report.problems) == 1
    assert "the CRC of block 1 in /commanded is wrong" in report.problems[0]
    assert not report.bad_blocks
    store.read_block(info.uuid, 1)


def test_a_file_written_anew_carries_it_along(tmp_path: Path) -> None:
    path = tmp_path / "store"
    with Store(path) as store:
        asked_for(store, 5)
        (info,) = store.buffers()
        before = [store.commanded(info.uuid, block) for block in range(5)]
    close_properly(info.path)
    with Store(path, read_only=True) as store:
        after = [store.commanded(info.uuid, block) for block in range(5)]
    assert [each.packed().tolist() for each in after if each] == [
        each.packed().tolist() for each in before if each
    ]
    assert len(before) == 5
    assert None not in before


def test_a_dataset_of_that_name_in_an_older_file_means_nothing(store: Store) -> None:
    raw = record_blocks(store, random_blocks(2, 64))
    with h5py.File(store.buffers()[0].path, "r+", libver=("v110", "v110")) as file:
        file["commanded"] = np.zeros(3)
    with Store(store.path, read_only=True) as again:
        assert again.commanded(raw.buffer, 0) is None
        assert again.verify().ok


def test_what_cannot_be_asked_for_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="draws alone"):
        start_recording(store, CELLS, commanded=True)
    p, every, bits = np.full(CELLS, 0.5), np.ones(CELLS, bool), np.zeros(CELLS, np.uint8)
    with start_recording(store, CELLS, drawn=True, commanded=True) as recording:
        for asked, message in (
            (None, "for every block"),
            (Commanded("flip", p[1:], every[1:]), "are not those of"),
            (Commanded("flip", 3 * p, every), "lies between 0 and 1"),
            (Commanded("flip", p, every[1:]), "a bool for each"),
        ):
            with pytest.raises(ValueError, match=message):
                append_outcomes(recording, bits, commanded=asked)
        assert recording.blocks == 0
    with (
        start_recording(store, CELLS, drawn=True) as recording,
        pytest.raises(ValueError, match="and none else"),
    ):
        append_outcomes(recording, bits, commanded=Commanded("flip", p, every))


def test_what_a_killed_writer_left_is_salvaged_up_to_its_last_block(tmp_path: Path) -> None:
    path = tmp_path / "store"
    p, every = np.full(CELLS, 0.25), np.ones(CELLS, bool)
    with Store(path) as store:
        recording = start_recording(store, CELLS, drawn=True, commanded=True)
        for mode in ("write", "flip"):
            append_outcomes(recording, np.ones(CELLS, np.uint8), commanded=Commanded(mode, p, every))
        column = recording._writer._commanded
        assert column is not None
        column.write(2 * (1 + CELLS), np.ones(5, np.uint16))  # of a block whose row never came
        recording._writer._file.flush()
        file = Path(shutil.copy(store.buffers()[0].path, tmp_path / "left.h5"))
    close_properly(file)
    with closing(BufferReader(file)) as reader:
        assert reader.complete
        found = [reader.commanded(block) for block in range(2)]
    assert [each.mode for each in found if each] == ["write", "flip"]
    with h5py.File(file) as opened:
        values: Any = opened["commanded"]
        assert len(values) == 2 * (1 + CELLS)
