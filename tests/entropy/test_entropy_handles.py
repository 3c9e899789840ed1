"""Of two handles on one dataset HDF5 may show one chunk's rows in the place of all others: nothing of ours holds two.

(h5py's issue 2803: it needs a refresh of one of them.)
"""

import threading

import h5py
import numpy as np
import pytest

from entropy import Store

BLOCKS = 120  # in four chunks of rows; of bits in eight


def outcomes(number: int, count: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 2, 520 * count, dtype=np.uint8)


def test_a_recorder_opens_no_dataset_twice(store, made, monkeypatch):
    with made.recording(store, resistances=30) as record:
        made.append(record, outcomes(0, made.count))

        def refuse(_: h5py.Group, name: str) -> None:
            pytest.fail(f"/{name} is opened again")

        monkeypatch.setattr(h5py.Group, "__getitem__", refuse)
        for _ in range(2):
            assert record.append_resistances(np.array([78e3, 156e3])) == 2
            made.append(record, outcomes(1, made.count))
        monkeypatch.undo()
    (info,) = store.buffers()
    np.testing.assert_allclose(store.resistances(info.uuid), [78e3, 156e3] * 2, rtol=1e-4)
    assert store.verify().ok


def test_two_stores_of_one_process_read_while_it_records_and_a_program_holds_handles(
    store, made, monkeypatch, patience
):
    """One follows, one leases, a third verifies, and h5py has the file open for a plot, as in one program."""
    monkeypatch.setattr(h5py.Dataset, "refresh", lambda _: pytest.fail("a dataset of ours is refreshed"))
    followed: list[np.ndarray] = []
    with Store(store.path) as other, Store(store.path) as third, made.recording(store) as record:
        made.append(record, outcomes(0, made.count))
        (info,) = other.buffers()
        with h5py.File(info.path, "r", swmr=True) as plot:
            held = [plot["bits"], plot["blocks"], plot["bits"]]
            follower = threading.Thread(
                target=lambda: followed.extend(
                    np.unpackbits(block.bits) for block in other.follow(record.uuid)
                )
            )
            follower.start()
            leased = []
            for number in range(1, BLOCKS):
                made.append(record, outcomes(number, made.count))
                if number % 20 == 0:
                    with third.lease(20 * 520 * made.count, purpose="test") as lease:
                        leased.append(np.unpackbits(lease.read(lease.remaining)))
                    assert third.verify().ok
                    assert len(other.rows(info.uuid)) == len(third.rows(info.uuid)) == number + 1
            del held
        record.close()
        follower.join(patience(20))
    known = [outcomes(number, made.count) for number in range(BLOCKS)]
    np.testing.assert_array_equal(np.concatenate(followed), np.concatenate(known))
    np.testing.assert_array_equal(np.concatenate(leased), np.concatenate(known)[: 100 * 520 * made.count])
