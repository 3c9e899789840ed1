"""Several processes over one store; test_entropy_kills.py kills them."""

import os

import numpy as np

from entropy import Store

PULSES = 64
BLOCK_BITS = PULSES * 256


def block(index: int) -> np.ndarray:
    """The bits that recorder.py gives its block `index`."""
    return np.random.default_rng(index).integers(0, 256, BLOCK_BITS // 8, dtype=np.uint8)


def test_a_follower_in_another_process_leases_what_a_recorder_just_committed(store, start, patience):
    recorder = start("recorder.py", store.path, PULSES, 40, 0.01, 12 * BLOCK_BITS // 8)
    for index in range(40):
        with store.lease(BLOCK_BITS, purpose="follow", wait=60) as lease:
            np.testing.assert_array_equal(lease.read(BLOCK_BITS), block(index))
    _, err = recorder.communicate(timeout=patience(30))
    assert recorder.returncode == 0, err
    assert store.accounts().consumed == 40 * BLOCK_BITS
    assert store.accounts().free == 0
    assert len(store.buffers()) == 4
    assert all(info.complete for info in store.buffers())


def test_opening_one_new_store_from_many_processes_makes_one_store(tmp_path, start, patience):
    folder = tmp_path / "together"
    recorders = [start("recorder.py", folder, PULSES, 2, 0, 2**30) for _ in range(4)]
    for recorder in recorders:
        _, err = recorder.communicate(timeout=patience(60))
        assert recorder.returncode == 0, err
    with Store(folder) as store:
        assert store.accounts().free == 4 * 2 * BLOCK_BITS
        assert len({info.recording for info in store.buffers()}) == 4
        assert store.verify().ok
        assert sorted(os.listdir(folder / "locks")) == ["open.lock"]
