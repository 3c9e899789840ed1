"""Assessment: what is read, that nothing is spent, and that faults of known size are found where they are."""

from pathlib import Path

import numpy as np
import pytest

from entropy import NoConditioning, NotEnoughBits, StoreError, Xor, cell_statistics
from entropy.quality.assessment import (
    FileSubject,
    Settings,
    StoreSubject,
    assess,
    autocorrelation,
    estimate_by_cell,
    health_of,
    ideal_estimates,
)
from entropy.quality.assessment._cells import _by_cell
from entropy.quality.assessment._ideal import _KNOWN, _KNOWN_COUNT, _estimate
from entropy.quality.assessment._subject import Reading
from entropy.quality.estimators import LEAST_BITS
from entropy.quality.estimators._counting import markov, markov_of_counts
from entropy.quality.statistics import PairSums

SMALL = Settings(bits=50_000, windows=4, sequences=2, sequence_bits=20_000, ideal=0)


def pulses(count, cells, *, stay=0.0, one=0.5, seed=0):
    """Outcomes of cells of which each keeps its last one with probability `stay`; uint8, (count, cells)."""
    rng = np.random.default_rng(seed)
    fresh = (rng.random((count, cells)) < one).astype(np.uint8)
    keep = rng.random((count, cells)) < stay
    for at in range(1, count):
        fresh[at] = np.where(keep[at], fresh[at - 1], fresh[at])
    return fresh


def record(store, made, outcomes, blocks=4, loss=0.0, **more):
    """Record outcomes as one buffer; gives its usable bits in order, and the mask."""
    cells = outcomes.shape[1]
    rng = np.random.default_rng(9)
    kept, masks = [], []
    with made.recording(store, cells=cells, **more) as recording:
        for number, block in enumerate(np.array_split(outcomes, blocks)):
            usable = (rng.random(block.size) >= loss).astype(np.uint8)
            made.append(
                recording,
                block.ravel(),
                usable=usable if loss else None,
                host_time=1e9 + 10 * number,
            )
            kept.append(block.ravel()[usable.astype(bool)])
            masks.append(usable.reshape(block.shape))
    return np.concatenate(kept), np.concatenate(masks).astype(bool)


@pytest.mark.parametrize("loss", [pytest.param(0.0, marks=pytest.mark.slow), 0.2])
def test_a_store_is_read_in_order_and_nothing_is_spent(store, made, loss):
    bits, _ = record(store, made, pulses(300, 64), loss=loss)
    more, _ = record(store, made, pulses(200, 64, seed=1), loss=loss)
    before = store.accounts()
    subject = StoreSubject(store)
    both = np.concatenate([bits, more])
    assert subject.bits == len(both)
    np.testing.assert_array_equal(subject.read(0, len(both)), both)
    np.testing.assert_array_equal(subject.read(19_001, 777), both[19_001:19_778])
    with pytest.raises(NotEnoughBits):
        subject.read(len(both) - 1, 2)
    assert (subject.cells, subject.recordings, subject.simulated) == (64, 2, True)
    assess(subject, SMALL)
    assert store.accounts() == before


@pytest.mark.parametrize("conditioning", [NoConditioning(), Xor(2), Xor(3)])
def test_conditioned_bits_are_those_that_a_lease_would_give(store, made, conditioning):
    record(store, made, pulses(100, 128), loss=0.05)
    reading = Reading(StoreSubject(store))
    assessed = [conditioning.read(reading, 640) for _ in range(3)]
    with store.lease(conditioning.bits_in(640) * 3, purpose="test") as lease:
        for bits in assessed:
            np.testing.assert_array_equal(bits, conditioning.read(lease, 640))


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_cell_by_cell_is_each_cells_outcomes_in_a_row(store, made, loss):
    outcomes = pulses(400, 20)
    _, mask = record(store, made, outcomes, loss=loss)
    sample, series = _by_cell(StoreSubject(store), cell_statistics(store), 10**6)
    assert sample.tolist() == list(range(20))
    for cell, bits in zip(sample, series, strict=True):
        np.testing.assert_array_equal(bits, outcomes[mask[:, cell], cell])


def test_few_cells_are_sampled_where_each_gave_many_bits(store, made):
    outcomes = pulses(3000, 64)
    record(store, made, outcomes)
    sample, series = _by_cell(StoreSubject(store), cell_statistics(store), 32_000)
    assert len(sample) == 16
    assert [len(bits) for bits in series] == [2000] * 16


def test_memory_of_cells_is_found_cell_by_cell_alone(store, made):
    """Neighbours are independent, so in the order recorded nothing shows; each cell stays with probability 0.65."""
    record(store, made, pulses(2000, 256, stay=0.3))
    found = assess(StoreSubject(store), SMALL)
    assert found.raw.markov > 0.98
    assert found.cells is not None
    assert found.cells.by_cell.markov == pytest.approx(-np.log2(0.65), abs=0.03)
    assert found.original == found.cells.by_cell.assessed < 0.7
    assert found.cells.by_cell.markov == pytest.approx(
        estimate_by_cell(StoreSubject(store), cell_statistics(store), SMALL.bits).markov
    )
    assert np.median(found.cells.markov) == pytest.approx(-np.log2(0.65), abs=0.06)
    assert found.cells.single is None


def test_drift_shows_over_the_windows(store, made):
    drifting = np.concatenate([pulses(250, 256, one=p, seed=i) for i, p in enumerate((0.45, 0.5, 0.55, 0.6))])
    record(store, made, drifting, blocks=8)
    found = assess(StoreSubject(store), SMALL)
    assert [window.ones for window in found.windows] == pytest.approx([0.45, 0.5, 0.55, 0.6], abs=0.02)
    assert [window.seconds for window in found.windows] == pytest.approx(
        [0, 206_000 / 3 / 3200, 206_000 / 1.5 / 3200, 206_000 / 3200],
        abs=0.001,  # 32,000 bits in 10 s
    )
    assert found.windows[3].min_entropy.most_common_value < 0.75


def test_a_claim_is_supported_or_not(store, made):
    record(store, made, pulses(500, 256))
    low = assess(StoreSubject(store), Settings(**{**vars(SMALL), "claim": 0.2}))
    high = assess(StoreSubject(store), Settings(**{**vars(SMALL), "claim": 1.0}))
    assert (low.supported, high.supported) == (True, False)
    assert low.initial == 0.2
    assert high.initial == high.original
    assert assess(StoreSubject(store), SMALL).supported is None
    with pytest.raises(ValueError, match="claim"):
        assess(StoreSubject(store), Settings(claim=1.5))


def test_conditioned_bits_are_assessed_too_or_a_note_says_why_not(store, made):
    record(store, made, pulses(500, 256, one=0.6))
    settings = Settings(**{**vars(SMALL), "conditioning": Xor(2)})
    found = assess(StoreSubject(store), settings)
    assert found.conditioned is not None
    assert found.conditioned.name == "xor2"
    assert found.conditioned.bits_in == 2 * found.conditioned.bits == 80_000
    # P(1) of 0.6 leaves a bias of 2 (0.1)² after the XOR of two
    assert found.conditioned.min_entropy.most_common_value > 0.9 > found.raw.most_common_value + 0.15
    assert not found.sp800_22.ok
    few = StoreSubject(store)
    for conditioning in (Xor(9),):  # 9 words of 32 bits of 256 cells: cells are shared
        found = assess(few, Settings(**{**vars(SMALL), "conditioning": conditioning}))
        assert found.conditioned is None
        assert any("after xor9 were not assessed" in note for note in found.notes)


def test_the_starts_of_ten_recordings_are_restarts(store, made):
    for number in range(10):
        record(store, made, pulses(100, 64, seed=number), blocks=2)
    found = assess(StoreSubject(store), SMALL)
    assert found.restarts is not None
    assert (found.restarts.rows, found.restarts.columns) == (10, 1000)
    assert found.restarts.passed
    assert found.assessed == found.initial
    assert any("not the standard's 1,000" in note for note in found.notes)
    subject = StoreSubject(store)
    starts = subject.starts(1000)
    np.testing.assert_array_equal(starts[3], pulses(100, 64, seed=3).ravel()[:1000])
    one = StoreSubject(store, recording=store.buffers()[4].recording[:13])
    np.testing.assert_array_equal(one.read(0, 5000), pulses(100, 64, seed=4).ravel()[:5000])
    assert assess(one, SMALL).restarts is None


def test_a_matrix_of_restarts_decides_the_assessment(store, made):
    record(store, made, pulses(500, 256))
    alike = np.tile(pulses(1, 1000, seed=3), (50, 1))
    found = assess(StoreSubject(store), Settings(**{**vars(SMALL), "claim": 0.2}), restarts=alike)
    assert found.supported is False
    assert found.assessed == 0


def markov_plainly(bits):
    """SP 800-90B 6.3.3 as it is written: the likeliest of six sequences of 128 bits, by its table of pairs."""
    table = np.bincount(2 * bits[:-1] + bits[1:], minlength=4).reshape(2, 2)
    steps, first = np.log2(table / table.sum(1, keepdims=True)), np.log2(np.bincount(bits) / len(bits))
    paths = []
    for a, b in ((0, 1), (1, 0)):
        paths.append(first[a] + 127 * steps[a, a])
        paths.append(first[a] + 64 * steps[a, b] + 63 * steps[b, a])
        paths.append(first[a] + steps[a, b] + 126 * steps[b, b])
    return min(-max(paths) / 128, 1.0)


@pytest.mark.parametrize("ones", [0.1, 0.5])
def test_markov_of_counts_is_the_estimator(ones):
    bits = (np.random.default_rng(1).random(5000) < ones).astype(np.uint8)
    x, y = bits[:-1].astype(np.int64), bits[1:].astype(np.int64)
    pairs = PairSums(*(np.array([value]) for value in (len(x), x.sum(), y.sum(), (x * y).sum())))
    found = markov_of_counts(np.array([bits.sum()]), np.array([len(bits)]), pairs)
    assert found[0] == pytest.approx(markov(bits), abs=1e-12)
    assert found[0] == pytest.approx(markov_plainly(bits), abs=1e-12)


def test_markov_of_cells_that_never_change_or_gave_nothing():
    pairs = PairSums(*(np.array(values) for values in ([99, 99, 0], [0, 99, 0], [0, 99, 0], [0, 99, 0])))
    found = markov_of_counts(np.array([0, 100, 0]), np.array([100, 100, 0]), pairs)
    assert found[:2].tolist() == [0, 0]
    assert np.isnan(found[2])


def test_health_alarms_are_counted():
    rng = np.random.default_rng(2)
    fair = rng.integers(0, 2, 102_400, dtype=np.uint8)
    quiet = health_of(fair, 0.9)
    assert quiet is not None
    assert quiet.ok
    assert quiet.repetition_cutoff == 1 + 45
    bad = fair.copy()
    bad[1000:1050] = 1
    bad[50 * 1024 : 51 * 1024] = (rng.random(1024) < 0.9).astype(np.uint8)
    bad[50 * 1024] = 1
    loud = health_of(bad, 0.9)
    assert loud is not None
    assert loud.repetition_alarms == 1
    assert loud.longest_repetition >= 50
    assert loud.proportion_alarms == 1
    assert health_of(fair, 0.0) is None


def test_autocorrelation_is_pearsons():
    bits = (np.cumsum(np.random.default_rng(3).random(20_000) < 0.4) % 2).astype(np.uint8)
    for lag, value in enumerate(autocorrelation(bits, 5), 1):
        assert value == pytest.approx(np.corrcoef(bits[:-lag], bits[lag:])[0, 1], abs=1e-3)
    assert np.isnan(autocorrelation(np.ones(100, np.uint8), 3)).all()


def test_perfect_bits_are_given_less_than_one_bit_and_more_the_more_there_are():
    assert ideal_estimates(20_000, 2)[0] < ideal_estimates(300_000, 1)[0] < 1
    assert ideal_estimates(20_000, 2) == ideal_estimates(20_000, 2)


def test_the_ideal_that_is_kept_is_what_the_estimators_say() -> None:
    assert pytest.approx(_KNOWN[1], rel=1e-12) == _estimate(_KNOWN_COUNT, 1)
    assert ideal_estimates(_KNOWN_COUNT, 2) == _KNOWN[:2]


# --- files


def test_every_form_of_a_file_gives_the_same_bits(tmp_path: Path):
    bits = np.random.default_rng(0).integers(0, 2, 16_000, dtype=np.uint8)
    np.packbits(bits).tofile(tmp_path / "packed")
    bits.tofile(tmp_path / "bytes")
    np.save(tmp_path / "array.npy", bits)
    text = "\n".join("".join(map(str, bits[at : at + 80])) for at in range(0, len(bits), 80))
    (tmp_path / "text").write_text(text + "\n")
    for name, form in (("packed", "packed"), ("bytes", "bytes"), ("array.npy", "npy"), ("text", "bytes")):
        subject = FileSubject(tmp_path / name)
        assert (subject.form, subject.bits, subject.simulated) == (form, 16_000, None)
        np.testing.assert_array_equal(subject.read(0, 16_000), bits)
        np.testing.assert_array_equal(subject.read(1003, 2222), bits[1003:3225])
        packed = Xor(2).read(Reading(subject), 3200)
        np.testing.assert_array_equal(packed, Xor(2).read(Reading(FileSubject(tmp_path / "packed")), 3200))
    found = assess(FileSubject(tmp_path / "packed"), SMALL)
    assert found.simulated is None
    assert found.cells is None
    assert any("nothing of cells" in note for note in found.notes)


@pytest.mark.parametrize(
    ("content", "form", "said"),
    [
        (b"", None, "is empty"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), None, "name the store's folder"),
        (b"\x89PNG" + bytes(100), None, "a picture"),
        (b"hello, world\n" * 900, None, "is text, not bits"),
        (b"\x93NUMPY rubbish", None, "cannot be read as bits"),
        (bytes(range(256)) * 9, "bytes", "other values than 0 and 1"),
        (bytes(9000), "hex", "no form 'hex'"),
    ],
)
def test_files_that_are_no_bits_are_refused(tmp_path: Path, content, form, said):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(StoreError, match=said):
        FileSubject(tmp_path / "file", form)


def test_too_few_bits_and_no_bits_are_said(store, made, tmp_path: Path):
    with pytest.raises(StoreError, match="no recorded bits"):
        StoreSubject(store)
    record(store, made, pulses(10, 64), blocks=1)
    with pytest.raises(NotEnoughBits, match=f"{LEAST_BITS:,} bits were wanted and 640"):
        assess(StoreSubject(store), SMALL)
    record(store, made, pulses(10, 32), blocks=1)
    with pytest.raises(StoreError, match="32, 64 cells: choose one with --recording"):
        StoreSubject(store)
    with pytest.raises(StoreError, match="no recording 'zz'"):
        StoreSubject(store, recording="zz")
    (tmp_path / "few").write_bytes(bytes(range(100)))
    with pytest.raises(NotEnoughBits, match="800 are there to assess"):
        assess(FileSubject(tmp_path / "few", "packed"), SMALL)
