"""Several processes over one store; test_entropy_kills.py kills them."""

import os

import numpy as np

from entropy import Store

from .conftest import end_of, recorded_block, states

PULSES = 64
BLOCK_BITS = PULSES * 256


def test_a_follower_in_another_process_leases_what_a_recorder_just_committed(store, start, patience):
    recorder = start("recorder.py", store.path, PULSES, 40, 0.01, 12 * BLOCK_BITS // 8)
    for index in range(40):
        with store.lease(BLOCK_BITS, purpose="follow", wait=60) as lease:
            np.testing.assert_array_equal(lease.read(BLOCK_BITS), recorded_block(PULSES, index))
    end_of(recorder, patience(30))
    assert states(store) == (0, 0, 40 * BLOCK_BITS, 0, 0)
    assert len(store.buffers()) == 4
    assert all(info.complete for info in store.buffers())


def test_opening_one_new_store_from_many_processes_makes_one_store(tmp_path, start, patience):
    folder = tmp_path / "together"
    recorders = [start("recorder.py", folder, PULSES, 2, 0, 2**30) for _ in range(4)]
    for recorder in recorders:
        end_of(recorder, patience(60))
    with Store(folder) as store:
        assert store.accounts().free == 4 * 2 * BLOCK_BITS
        assert len({info.recording for info in store.buffers()}) == 4
        assert store.verify().ok
        assert sorted(os.listdir(folder / "locks")) == ["open.lock"]
