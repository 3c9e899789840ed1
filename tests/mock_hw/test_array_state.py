"""The array: exact outcomes for cells that are certain, statistics for those that are not."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy.special import ndtr
from scipy.stats import norm

from mock_hw import MacrospinDevice, Selection, Sequence, SimulatedArray
from mock_hw._array import Run, Trims, stream_words
from tests.mock_hw.conftest import draw, sequence

FAMILY_WISE = 1e-6


@dataclass
class CertainDevice:
    """Cells that flip always or never: `writes` for pulses of 1 V, `resets` for others; readings without noise."""

    writes: np.ndarray
    resets: np.ndarray
    temperature_offset = 0.0

    def __post_init__(self) -> None:
        self.cells = len(self.writes)
        self.compared = self.converted = lambda ohms: ohms
        self.advance = self.wear = self.load = lambda *_: None
        self.retention_rate = lambda *_, **how: np.zeros(self.cells)
        self.resistances = lambda *_: (np.full(self.cells, 78e3), np.full(self.cells, 170e3))
        self.read_noise = lambda *_: np.full(self.cells, 50.0)

    def switching_probability(self, voltage, width, temperature, field, antiparallel):
        return np.where(voltage == 1.0, self.writes, self.resets).astype(float)


SHAPES = [(1, 1), (1, 7), (3, 5), (8, 8), (5, 13), (1, 64), (13, 5), (9, 57), (8, 65), (16, 64), (31, 33)]


@pytest.mark.parametrize("toggle", [True, False])
@pytest.mark.parametrize(("rows", "columns"), SHAPES)
def test_certain_cells_any_shape_rectangle_mask_and_block(rows, columns, toggle):
    rng = np.random.default_rng(rows * 100 + columns)
    for trial in range(6):
        device = CertainDevice(rng.random(rows * columns) < 0.5, rng.random(rows * columns) < 0.7)
        array = SimulatedArray(device, rows, columns, trial)
        first, last = np.sort(rng.integers(0, rows, 2)), np.sort(rng.integers(0, columns, 2))
        select = Selection(*map(int, (*first, *last))) if trial else Selection(0, rows - 1, 0, columns - 1)
        mask = rng.random((rows, columns)) < (0.8 if trial % 2 else 1.1)
        seq = sequence(
            rows, columns, selection=select, mask=mask, toggle=toggle, voltage=np.ones((rows, columns))
        )
        before = array.antiparallel
        run = Run(array, seq)
        bits, valid, failures = draw(run, 3, 1, 2)
        run.end()
        expected, good, after = _simulate_certain(device, before, seq, 6)
        np.testing.assert_array_equal(bits, expected)
        np.testing.assert_array_equal(valid, good)
        np.testing.assert_array_equal(array.antiparallel, after)
        used = mask[select.first_row : select.last_row + 1, select.first_column : select.last_column + 1]
        assert failures == 6 * used.sum() - good.sum()


def _simulate_certain(device: CertainDevice, state: np.ndarray, seq: Sequence, pulses: int):
    where = np.s_[
        seq.selection.first_row : seq.selection.last_row + 1,
        seq.selection.first_column : seq.selection.last_column + 1,
    ]
    state = state.copy()
    s, used = state[where], seq.mask[where]
    writes, resets = (x.reshape(state.shape)[where] for x in (device.writes, device.resets))
    bits, valid = [], []
    for _ in range(pulses):
        good = used.copy()
        if not seq.toggle:
            s ^= s & used & resets
            good &= ~s
        s ^= used & writes
        bits.append((s & good).ravel())
        valid.append(good.ravel())
    return np.array(bits), np.array(valid), state


@pytest.mark.parametrize("toggle", [True, False])
@pytest.mark.parametrize("columns", [64, 13])
def test_same_seed_same_bits_whatever_the_blocks(columns, toggle):
    drawn = []
    for blocks in [(2100,), (1, 7, 92, 1000, 1000), (700,) * 3]:
        array = SimulatedArray(MacrospinDevice.of("C", 16 * columns, 4), 16, columns, 9)
        run = Run(array, sequence(16, columns, toggle=toggle, reset_voltage=1.1))
        bits, valid, failures = draw(run, *blocks)
        run.end()
        drawn.append((bits.tobytes(), valid.tobytes(), failures, array.antiparallel.tobytes()))
    assert len(set(drawn)) == 1
    other = SimulatedArray(MacrospinDevice.of("C", 16 * columns, 4), 16, columns, 10)
    assert draw(Run(other, sequence(16, columns, toggle=toggle)), 2100)[0].tobytes() != drawn[0][0]


def test_the_next_run_draws_other_numbers():
    array = SimulatedArray(MacrospinDevice.of("C", 64, 4), 8, 8, 9)
    bits = [draw(Run(array, sequence(8, 8, toggle=False)), 100)[0].tobytes() for _ in range(2)]
    assert bits[0] != bits[1]


def drawn(seed: int = 31, **changes: object) -> tuple[MacrospinDevice, Sequence, tuple]:
    """4,096 pulses of 64 × 64 cells of set C: the device, the sequence, what `draw` gives."""
    device, seq = MacrospinDevice.of("C", 4096, 2), sequence(64, 64, **changes)
    return device, seq, draw(Run(SimulatedArray(device, 64, 64, seed), seq), 4096)


def _limit(tests: int) -> float:
    """|z| that one of `tests` exceeds with the family-wise false-alarm rate; half a sigma for the tails' skew."""
    return float(norm.isf(FAMILY_WISE / tests / 2)) + 0.5


def levels(device: MacrospinDevice, seq: Sequence) -> tuple[np.ndarray, np.ndarray]:
    """What the cells read in P and in AP under a sequence."""
    relaxed = seq.period - seq.width + seq.settle
    return device.resistances(seq.read_voltage, seq.temperature, relaxed, seq.settle)


def above(device: MacrospinDevice, seq: Sequence) -> list[np.ndarray]:
    """Probability of a reading above the threshold, in P and in AP."""
    thresholds = device.compared(seq.thresholds.ravel())
    return [
        ndtr((r - thresholds) / device.read_noise(r, seq.read_voltage, seq.settle, 300.0))
        for r in levels(device, seq)
    ]


def _laws(device: MacrospinDevice, seq: Sequence) -> tuple[np.ndarray, np.ndarray]:
    v, w, trims = seq.voltage.ravel(), np.full(device.cells, seq.width), seq.trims
    w += 0.0 if trims.width is None else trims.width.ravel()
    p = device.switching_probability(v, w, 300.0, 0.0, False)
    v = v + (0.0 if trims.voltage_from_ap is None else trims.voltage_from_ap.ravel())
    w = w + (0.0 if trims.width_from_ap is None else trims.width_from_ap.ravel())
    return p, device.switching_probability(v, w, 300.0, 0.0, True)


def _trims() -> Trims:
    """Trims of every kind, of every cell its own."""
    rng = np.random.default_rng(8)
    width, volts, more = (rng.uniform(-1, 1, (64, 64)) for _ in range(3))
    return Trims(3e-11 * width, 0.1 * volts, 2e-11 * more)


@pytest.mark.parametrize("trims", [Trims(), _trims(), "on the way"])
def test_toggle_flips_every_cell_with_its_own_probabilities(trims):
    """Family-wise false-alarm rate 1e-6 over 3 × 4,096 tests; trims on the way hold from the next pulse on."""
    device = MacrospinDevice.of("C", 4096, 2)
    seq = sequence(64, 64, trims=Trims() if trims == "on the way" else trims)
    run = Run(SimulatedArray(device, 64, 64, 31), seq)
    if trims == "on the way":
        draw(run, 100)
        seq = replace(seq, voltage=seq.voltage - 0.05, trims=_trims())
        run.retrim(seq.voltage, seq.trims)
    bits, _, _ = draw(run, 4096)
    p, q = _laws(device, seq)
    before, after = bits[:-1].astype(bool), bits[1:].astype(bool)
    limit = _limit(3 * 4096)
    for law, start in ((p, ~before), (q, before)):
        visits, flips = start.sum(axis=0), (start & (before != after)).sum(axis=0)
        z = (flips - visits * law) / np.sqrt(visits * law * (1 - law))
        assert np.abs(z).max() < limit
        assert 0.95 < z.std() < 1.05
    rho, n = 1 - p - q, len(before)
    b = bits.astype(np.float64) - p / (p + q)
    lag = (b[:-1] * b[1:]).mean(axis=0) / (b**2).mean(axis=0)
    assert np.abs((lag - rho) / np.sqrt((1 - rho**2) / n)).max() < limit + 0.5


@pytest.mark.parametrize("toggle", [True, False])
def test_cells_that_are_trimmed_on_the_way_have_the_law_of_their_trims(toggle):
    """All of them, or some: what is drawn is what a run draws that has those trims from its beginning."""
    trims, few = _trims(), np.zeros((64, 64))
    few.flat[::37] = 0.02
    runs = []
    for at_once in (True, False):
        array = SimulatedArray(MacrospinDevice.of("C", 4096, 2), 64, 64, 31)
        last = sequence(64, 64, toggle=toggle, voltage=np.full((64, 64), 1.1) + few, trims=trims)
        run = Run(array, last if at_once else sequence(64, 64, toggle=toggle))
        if not at_once:
            run.retrim(last.voltage - few, trims)
            run.retrim(last.voltage, trims)
        runs.append(draw(run, 300))
    for first, second in zip(*runs, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("toggle", [True, False])
def test_rows_of_whole_words_do_not_depend_on_what_the_streams_held(toggle, masked):
    mask = np.ones((8, 16), bool)
    mask[3, 5] = not masked
    drawn = []
    for before in (0, 0xA5A5A5A5A5A5A5A5):
        run = Run(
            SimulatedArray(MacrospinDevice.of("C", 128, 2), 8, 16, 31),
            sequence(8, 16, toggle=toggle, mask=mask),
        )
        assert run.whole_words
        out, valid = (np.full(stream_words(500 * 128), before, np.uint64) for _ in range(2))
        drawn.append((run.bits(500, out, valid), out[:-1], valid[:-1] if run.can_be_invalid else None))
    np.testing.assert_equal(drawn[0], drawn[1])


def test_reset_mode_mean_of_every_cell_and_failed_resets():
    """Family-wise false-alarm rate 1e-6 over 2 × 4,096 tests; the reset is made poor so that many fail."""
    device, seq, (bits, valid, failures) = drawn(toggle=False, reset_voltage=1.2, reset_width=0.46e-9)
    pulses = 4096
    p, q = _laws(device, seq)
    r = device.switching_probability(np.full(4096, 1.2), 0.46e-9, 300.0, 0.0, True)
    good, ones = valid.sum(axis=0), bits.sum(axis=0)
    limit = _limit(2 * 4096)
    z = (ones - good * p) / np.sqrt(good * p * (1 - p))
    assert np.abs(z).max() < limit
    assert 0.95 < z.std() < 1.05
    memory = (1 - r) * (1 - p - q)
    fail = (1 - r) * p / (1 - memory)
    spread = np.sqrt(pulses * fail * (1 - fail) * (1 + np.abs(memory)) / (1 - np.abs(memory)))
    assert np.abs((pulses - good - pulses * fail) / spread).max() < limit
    assert failures == valid.size - valid.sum() > 0.05 * valid.size


def test_read_errors_are_folded_in_for_every_cell():
    """Family-wise false-alarm rate 1e-6 over 4,096 tests; a poor read voltage makes a tenth of the readings wrong."""
    device, seq, (bits, _, _) = drawn(read_voltage=0.001, settle=5e-8, threshold=115e3)
    p, q = _laws(device, seq)
    high = above(device, seq)
    assert 0.02 < high[0].mean() < 0.45
    a, rho = p / (p + q), np.abs(1 - p - q)
    mean = (1 - a) * high[0] + a * high[1]
    z = (bits.mean(axis=0) - mean) / np.sqrt(mean * (1 - mean) / len(bits) * (1 + rho) / (1 - rho))
    assert np.abs(z).max() < _limit(4096)
    assert z.std() > 0.8


def test_read_errors_decide_over_reset_and_check_too():
    """Family-wise false-alarm rate 1e-6 over 2 × 4,096 tests, against the exact two-state chain of every cell."""
    device, seq, (bits, valid, failures) = drawn(
        toggle=False, read_voltage=0.002, settle=1e-8, threshold=115e3, reset_voltage=1.2, reset_width=0.48e-9
    )
    pulses = 4096
    p, q = _laws(device, seq)
    r_p, r_ap = (
        device.switching_probability(np.full(4096, 1.2), 0.48e-9, 300.0, 0.0, s) for s in (False, True)
    )
    e0, e1 = above(device, seq)
    stay, rise = 1 - e1 * r_ap, e0 * r_p
    memory = (stay - rise) * (1 - p - q)
    before = (p + rise * (1 - p - q)) / (1 - memory)
    checked = before * stay + (1 - before) * rise
    valid_rate = 1 - checked * e1 - (1 - checked) * e0
    ones_rate = checked * (1 - e1) * ((1 - q) * e1 + q * e0) + (1 - checked) * (1 - e0) * (
        p * e1 + (1 - p) * e0
    )
    inflation = (1 + np.abs(memory)) / (1 - np.abs(memory))
    for rate, seen in ((valid_rate, valid.mean(axis=0)), (ones_rate, bits.mean(axis=0))):
        z = (seen - rate) / np.sqrt(rate * (1 - rate) / pulses * inflation)
        assert np.abs(z).max() < _limit(2 * 4096)
    assert failures == valid.size - valid.sum()


def test_cells_are_independent_of_their_neighbours():
    """Family-wise false-alarm rate 1e-6 over 8 × 4,096 pairs of cells, near, a word, and a group apart."""
    _, _, (bits, _, _) = drawn(seed=5, toggle=False)
    b = bits - bits.mean(axis=0)
    b = (b / b.std(axis=0)).astype(np.float32)
    distances = (1, 2, 7, 8, 63, 64, 512, 1024)
    for distance in distances:
        z = (b * np.roll(b, distance, axis=1)).mean(axis=0) * np.sqrt(len(b))
        assert np.abs(z).max() < _limit(len(distances) * 4096)
    later = (b[:-1] * np.roll(b[1:], 1, axis=1)).mean(axis=0) * np.sqrt(len(b) - 1)
    assert np.abs(later).max() < _limit(4096)


def test_resistances_follow_the_states_and_carry_nan_where_invalid():
    rows, columns = 4, 6
    device = MacrospinDevice.of("C", 24, 3)
    seq = sequence(rows, columns, toggle=False, reset_voltage=1.15, reset_width=0.4e-9)
    seq.mask[1, 2] = False
    readings, states = [], []
    for blocks in ((50,), (20, 30)):
        run = Run(SimulatedArray(device, rows, columns, 7), seq)
        made = [run.resistances(n, np.zeros(stream_words(n * 24), np.uint64)) for n in blocks]
        readings.append(np.concatenate([m[0] for m in made if m]).reshape(50, 24))
        states.append(draw(Run(SimulatedArray(device, rows, columns, 7), seq), 50))
    np.testing.assert_array_equal(readings[0], readings[1])
    bits, valid, failed = states[0]
    assert failed > 0
    np.testing.assert_array_equal(np.isnan(readings[0]), valid == 0)
    assert (valid[:, 8] == 0).all()
    r_p, r_ap = levels(device, seq)
    expected = np.where(bits, r_ap, r_p)
    sigma = device.read_noise(expected, 0.1, 1e-6, 300.0)
    z = ((readings[0] - expected) / sigma)[valid == 1]
    assert np.abs(z).max() < _limit(z.size)
    assert 0.8 < z.std() < 1.2


def test_a_run_that_is_told_to_stop_stops_and_keeps_the_state():
    array = SimulatedArray(MacrospinDevice.of("C", 4096, 2), 64, 64, 1)
    run = Run(array, sequence(64, 64))
    pulses, asked = 16384, []

    def go_on() -> bool:
        asked.append(1)
        return len(asked) < 3

    words = stream_words(pulses * 4096)
    done: list[int] = []
    assert (
        run.bits(
            pulses, np.zeros(words, np.uint64), np.zeros(words, np.uint64), go_on=go_on, advance=done.append
        )
        is None
    )
    assert 0 < sum(done) < pulses
    before = array.antiparallel
    run.end()
    assert (array.antiparallel != before).any()
