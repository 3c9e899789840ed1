"""Bits that are born used: a recording of draws is consumed at commit, and nobody can have, release or assess it."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from entropy import NotEnoughBits, Store, StoreError
from entropy.quality.assessment import StoreSubject
from entropy.testing import append_outcomes, random_blocks, record_blocks, start_recording

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
