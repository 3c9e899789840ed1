"""Following recordings block by block, without accounting."""

import itertools

import numpy as np
import pytest

from entropy import StoreError

from .conftest import recorded_block


def test_a_recording_is_followed_from_its_first_block_to_its_end_across_buffers(store, start, patience):
    recorder = start("recorder.py", store.path, 8, 20, 0.005, 6 * 8 * 256 // 8)
    recording = recorder.stdout.readline().strip()
    followed = list(store.follow(recording))
    assert recorder.wait(patience(20)) == 0
    assert len(followed) == 20
    for index, block in enumerate(followed):
        assert int(block.row["sequence"]) == index
        np.testing.assert_array_equal(block.bits, recorded_block(8, index))
        assert block.valid is None
    assert len({block.buffer for block in followed}) == 4
    assert store.accounts().free == store.accounts().recorded == 20 * 8 * 256


def test_following_ends_where_the_recorder_was_killed(store, start):
    recorder = start("recorder.py", store.path, 8, 0, 0.001, 2**30)
    recording = recorder.stdout.readline().strip()
    following = store.follow(recording)
    first = list(itertools.islice(following, 5))
    recorder.kill()
    recorder.wait()
    rest = list(following)
    assert [int(block.row["sequence"]) for block in first + rest] == list(range(len(first + rest)))
    assert len(first + rest) == store.buffers()[0].blocks


def test_without_a_name_all_that_is_there_is_given(store, made):
    made.fill(store, [1, 2])
    made.fill(store, [3], seed=1)
    blocks = list(store.follow())
    assert [(block.index, int(block.row["pulses"])) for block in blocks] == [(0, 1), (1, 2), (0, 3)]


def test_an_unknown_recording_is_named(store):
    with pytest.raises(StoreError, match="has no recording nobody"):
        list(store.follow("nobody"))
