"""Tunings and changes of the trims: kept with the blocks, through rotation, crashes, salvage and moves."""

import numpy as np
import pytest

from entropy import ACTION_DTYPE, FROM_AP, FROM_BOTH, FROM_P, TUNING_DTYPE, Store, move_blocks, salvage

from .children import in_a_child


def change(*rows: tuple[int, int, float, float]) -> np.ndarray:
    """Make actions of (cell, state, volts, seconds)."""
    made = np.zeros(len(rows), ACTION_DTYPE)
    for each, (cell, state, voltage, width) in zip(made, rows, strict=True):
        each["cell"], each["state"], each["voltage"], each["width"] = cell, state, voltage, width
        each["generation"], each["p_estimate"] = 3, 0.45
    return made


def plain(rows: np.ndarray) -> list[tuple]:
    return [
        tuple(row[name].item() for name in ("block", "cell", "state", "voltage", "width")) for row in rows
    ]


@pytest.fixture
def tuning(made) -> np.ndarray:
    table = np.zeros(made.count, TUNING_DTYPE)
    table["voltage_p"] = np.linspace(-1, 1, made.count)
    table["reason"][5] = b"open"
    return table


def ones(made, pulses: int) -> np.ndarray:
    return np.ones(pulses * made.count, np.uint8)


def test_every_segment_says_with_which_trims_its_blocks_were_made(store, made, tuning):
    arguments = {"tuning": tuning, "conditions": {"target": 0.3}, "actions": True, "rotate_bytes": 128}
    with made.recording(store, **arguments) as record:
        made.append(record, ones(made, 2), actions=change((0, FROM_P, 1e-3, 0), (9, FROM_AP, 0, 1e-12)))
        made.append(record, ones(made, 2))
        made.append(record, ones(made, 2), actions=change((0, FROM_P, 2e-3, 0), (-1, FROM_BOTH, 0, 5e-12)))
        live = store.buffers()[-1].uuid
        assert plain(store.actions(live))[-1] == (0, -1, FROM_BOTH, 0, 5e-12)
        made.append(record, ones(made, 2), actions=change((9, FROM_AP, 0, 1e-12)))
    first, second = (info.uuid for info in store.buffers())
    assert plain(store.actions(first)) == [(0, 0, FROM_P, 1e-3, 0), (0, 9, FROM_AP, 0, 1e-12)]
    assert plain(store.actions(second)) == [
        (0, 0, FROM_P, 1e-3, 0), (0, 9, FROM_AP, 0, 1e-12),  # what the segment before ended with
        (0, 0, FROM_P, 2e-3, 0), (0, -1, FROM_BOTH, 0, 5e-12), (1, 9, FROM_AP, 0, 1e-12),
    ]  # fmt: skip
    assert store.actions(second)["generation"].tolist() == [0, 0, 3, 3, 3]
    for buffer in (first, second):
        kept = store.tuning(buffer)
        assert kept is not None
        np.testing.assert_array_equal(kept[0], tuning)
        assert kept[1] == {"target": 0.3}
    assert store.verify().ok


def test_a_recording_without_them_has_none(store, made):
    with made.recording(store) as record:
        made.append(record, ones(made, 1))
        with pytest.raises(ValueError, match="actions=True"):
            made.append(record, ones(made, 1), actions=change((0, FROM_P, 1, 0)))
    (info,) = store.buffers()
    assert store.tuning(info.uuid) is None
    assert len(store.actions(info.uuid)) == 0


@pytest.mark.parametrize(
    "row",
    [
        (-2, FROM_P, 0, 0),
        (256, FROM_P, 0, 0),
        (0, 0, 0, 0),
        (0, 4, 0, 0),
        (0, 1, np.nan, 0),
        (0, 1, 0, np.inf),
    ],
)
def test_actions_that_no_reader_would_believe_are_refused(store, made, row):
    with made.recording(store, actions=True) as record, pytest.raises(ValueError, match=r"action"):
        made.append(record, ones(made, 1), actions=change(row))


def test_many_actions_of_a_block_span_chunks(store, made):
    rows = change(*((cell, FROM_P, cell * 1e-6, 0) for cell in range(made.count)))
    with made.recording(store, actions=True) as record:
        for part in (rows[:5], rows[5:200], rows[200:]):
            made.append(record, ones(made, 1), actions=part)
    found = store.actions(store.buffers()[0].uuid)
    np.testing.assert_array_equal(found["voltage"], rows["voltage"])
    assert np.bincount(found["block"].astype(int)).tolist() == [5, 195, 56]


def test_what_a_killed_writer_leaves_is_salvaged_and_moved(tmp_path, made, tuning):
    def record_and_die():
        record = made.recording(
            Store(tmp_path / "a"), tuning=tuning, conditions={"target": 0.5}, actions=True
        )
        for block in range(4):
            made.append(record, ones(made, 2), actions=change((block, FROM_P, 1e-3 * block, 0)))

    assert in_a_child(record_and_die) == 0
    with Store(tmp_path / "a") as store:
        buffer = store.buffers()[0].uuid
        before, table = store.actions(buffer), store.tuning(buffer)
        assert len(before) == 4
    assert len(salvage(tmp_path / "a").closed) == 1
    with Store(tmp_path / "a") as store, Store(tmp_path / "b") as other:
        np.testing.assert_array_equal(store.actions(buffer), before)
        after = store.tuning(buffer)
        assert table is not None
        assert after is not None
        np.testing.assert_array_equal(after[0], table[0])
        assert store.verify().ok
        move_blocks(store, buffer, (2, 3), other)
        moved = other.buffers()[0].uuid
        assert plain(other.actions(moved)) == [
            (max(0, block - 2), block, FROM_P, 1e-3 * block, 0) for block in range(4)
        ]
        assert other.tuning(moved) is not None
