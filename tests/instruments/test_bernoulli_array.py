"""An array that draws Bernoulli numbers, held against the simulated truth and against its own counts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers import BoardError
from instruments import BenchError
from instruments.array import BernoulliArray, Block, BoardArray, DacScale, Draw, SwitchingLaw, WorkingPoint
from instruments.bench import Bench
from mock_hw import Lab
from mock_hw.testing import board_lab
from tests.instruments.conftest import COLUMNS, ROWS
from tests.instruments.true_law import WIDTHS, true_law, true_thresholds, truth

CELLS = ROWS * COLUMNS
POINTS = {
    "C": WorkingPoint("reset", 0.85, 0.58e-9, 6e-9, 1.28, 0.58e-9, 0.1, 1e-6),
    "D": WorkingPoint("reset", 1.23, 4.5e-9, 30e-9, 1.255, 5.95e-9, 0.1, 1e-6),
}
OFF = {"C": 0.005, "D": 0.02}  # of P, by 12 bits of DAC and by drift: D has 3 % per mV
RARE = 1e-6

Drawing = tuple[BernoulliArray, Lab, list[Draw]]


@pytest.fixture
def drawing(write_bench: Callable[..., Path]) -> Iterator[Callable[[str], Drawing]]:
    """An array of a set that is on and draws by its true law, all cells but the first 80; and each of its draws."""
    with ExitStack() as stack:

        def start(device: str) -> Drawing:
            lab = stack.enter_context(
                board_lab(rows=ROWS, columns=COLUMNS, seed=5, device=device, dac_bits=12)
            )
            limits = ("pulse_width = 2e-9", "pulse_width = 6e-9\nhold_voltage = 0.5")
            bench = stack.enter_context(Bench.from_toml(write_bench(lab.resources["board"], limits)))
            point, (width, lowest, highest) = POINTS[device], WIDTHS[device]
            array, told = BoardArray(bench, point), []
            array.set_working_point(point)
            array.set_thresholds(true_thresholds(lab))
            law = true_law(lab, width, lowest, highest)
            draws = BernoulliArray(array, law, np.arange(80, CELLS), told.append)
            hold = -0.5 if device == "C" else 0.0
            stack.enter_context(draws.switched_on(lowest, highest, hold=hold))
            return draws, lab, told

        yield start


def states(lab: Lab) -> np.ndarray:
    with lab.boxes["board"].changed:
        lab.boxes["board"].wait_until_still()
    return lab.arrays["board"].antiparallel.ravel()


@pytest.mark.parametrize("device", ["C", "D"])
def test_draws_and_flips_have_their_probabilities(drawing: Callable[[str], Drawing], device: str):
    draws, lab, told = drawing(device)
    shape = (2, 15, 40)
    chance = np.random.default_rng(1).uniform(0.02, 0.98, shape)
    expected = variance = 0.0
    hits = 0
    for turn in range(12):
        before, first = states(lab)[80:].reshape(shape), len(told)
        if turn % 2:
            drawn = draws.flip(chance)
            hits += int((drawn != before).sum())
            from_ap = before.ravel()
        else:
            drawn = draws.draw(chance)
            hits += int(drawn.sum())
            from_ap = np.zeros(before.size, bool)
        assert drawn.dtype == np.uint8
        assert (drawn != states(lab)[80:].reshape(shape)).mean() < 1e-3
        p = truth(lab, told[first].volts, POINTS[device].width)[:, 80:]
        now = np.where(from_ap, p[1], p[0])
        assert np.abs(now - chance.ravel()).mean() < OFF[device]
        expected += now.sum()
        variance += (now * (1 - now)).sum()
    assert abs(hits - expected) < scipy.stats.norm.isf(RARE / 2) * np.sqrt(variance)
    counts = draws.counts
    assert counts.draws == 12 * 1200
    assert counts.pulses >= 12 * 1200
    assert counts.clipped < 0.01 * counts.pulses


def test_cells_that_need_no_pulse_have_none(drawing: Callable[[str], Drawing]):
    draws, lab, told = drawing("C")
    draws.draw(np.full(1200, 0.5))
    before, counts = states(lab), draws.counts
    p = np.where(np.arange(1200) < 100, 0.5, 0.0)
    draws.flip(p)
    assert ((draws.counts - counts).pulses, (draws.counts - counts).skipped) == (100, 1100)
    assert np.flatnonzero(before != states(lab)).max() < 180
    assert np.flatnonzero(before != states(lab)).min() >= 80  # what is masked is left alone
    assert told[-1].drawn.sum() == 100


def test_what_is_beyond_a_curve_is_said_to_have_the_probability_of_its_end(
    drawing: Callable[[str], Drawing],
):
    draws, _, told = drawing("C")
    law = draws.law
    assert isinstance(law, SwitchingLaw)
    draws.law = replace(law, highest=0.7)  # at about P = 1/2
    chance = np.where(np.arange(1200) % 2, 0.1, 0.999)
    draws.draw(chance)
    p, asked = told[-1].p[80:], told[-1].drawn[80:]
    end = law.probability(0.7, False)[80:]
    np.testing.assert_allclose(p[1::2], 0.1)
    np.testing.assert_allclose(p[::2][asked[::2]], end[::2][asked[::2]])
    assert draws.counts.clipped == 600


def test_a_known_pattern_is_written_until_it_reads_so(drawing: Callable[[str], Drawing]):
    draws, lab, _ = drawing("C")
    pattern = (np.random.default_rng(2).random(1200) < 0.3).astype(np.uint8)
    np.testing.assert_array_equal(draws.write(pattern), pattern)
    np.testing.assert_array_equal(draws.read(), pattern)
    np.testing.assert_array_equal(states(lab)[80:], pattern)


def test_everything_is_off_at_every_way_out(drawing: Callable[[str], Drawing]):
    draws, lab, _ = drawing("C")
    board = lab.boxes["board"]
    assert (board.output, board.field_on, board.settings.hold < 0) == (True, True, True)
    draws.array.switch_off()
    with pytest.raises(ZeroDivisionError), draws.switched_on(0.35, 1.1, hold=-0.5):
        raise ZeroDivisionError
    assert (board.output, board.field_on, board.settings.hold) == (False, False, 0.0)
    with pytest.raises(BenchError, match="together"), draws.switched_on(0.35, 1.5, hold=-0.5):
        pass
    assert not board.output


class Cells:
    """Cells of which some resets and readings fail: of an `Array` what draws need, its outcomes by the law alone."""

    def __init__(self, cells: int, law: SwitchingLaw, seed: int, bad: float, silent: float) -> None:
        self.shape, self.law, self.bad, self.silent = (1, cells), law, bad, silent
        self.rng = np.random.default_rng(seed)
        self.state = self.rng.random(cells) < 0.5
        self.mask, self.codes = np.zeros(cells, bool), np.zeros(cells, int)
        self.scale = DacScale(
            12, (law.highest - law.lowest) / 4094, law.lowest - (law.highest - law.lowest) / 4094
        )
        self.pulses = self.resets = 0

    def require_draws(self) -> None: ...

    def switch_on(self, watchdog: float, hold: float = 0.0) -> None: ...

    def switch_off(self) -> bool: ...

    def hold(self, volts: float) -> None: ...

    def field(self, on: bool) -> None: ...

    def set_dac_range(self, lowest: float, highest: float) -> DacScale:
        return self.scale

    def set_mask(self, used: np.ndarray) -> None:
        self.mask = used.copy()

    def set_pulse_table(self, codes: np.ndarray) -> None:
        self.codes = codes.copy()

    def draw_once(self, mode: str) -> Block:
        valid = self.mask.copy()
        if mode == "write":
            self.resets += int((self.mask & self.state).sum())
            kept = self.mask & self.state & (self.rng.random(len(self.state)) < self.bad)
            self.state = np.where(self.mask, kept, self.state)
            valid &= ~kept
        pulsed = self.mask & (self.codes > 0) & (mode != "read")
        self.pulses += int(pulsed.sum())
        p = self.law.probability(self.scale.volts(self.codes), self.state)
        self.state = self.state ^ (pulsed & (self.rng.random(len(p)) < p))
        if mode != "read" and self.rng.random() < self.silent:
            raise BoardError("nothing arrived")
        failed = int((self.mask & ~valid).sum())
        return Block(0, 1, len(p), 0.0, np.packbits(self.state & valid), np.packbits(valid), failed)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 1000),
    bad=st.sampled_from([0.0, 0.1, 0.3]),
    silent=st.sampled_from([0.0, 0.2]),
    turns=st.lists(
        st.tuples(st.sampled_from(["draw", "flip", "read", "write"]), st.integers(0, 99)), max_size=8
    ),
)
def test_counts_are_what_the_array_did(seed: int, bad: float, silent: float, turns: list[tuple[str, int]]):
    logits = np.linspace(-7, 7, 57)
    volts = np.broadcast_to(0.6 + 0.03 * logits, (2, 50, 57))
    law = SwitchingLaw(logits, volts, np.full(volts.shape, 1e-3), 0.3, 0.9)
    cells, told = Cells(50, law, seed, bad, silent), []
    draws = BernoulliArray(cells, law, np.arange(10, 40), told.append)  # type: ignore[arg-type]
    with draws.switched_on(0.3, 0.9):
        stored = draws.read()
        for what, chance in turns:
            p = np.where(np.arange(30) % 3 == 0, 0.0, chance / 100)
            stored = getattr(draws, what)(*[p] * (what != "read"))
            np.testing.assert_array_equal(stored, cells.state[10:40])
            if what in ("draw", "write"):
                assert not stored[p == 0].any()
        others, pattern = np.arange(2, 10), np.arange(8) % 2
        np.testing.assert_array_equal(draws.read(others), cells.state[others])
        np.testing.assert_array_equal(draws.write(pattern, others), pattern)
        np.testing.assert_array_equal(draws.read(others), pattern)
        np.testing.assert_array_equal(draws.read(), stored)
    counts = draws.counts
    assert counts.draws == 30 * sum(what in ("draw", "flip") for what, _ in turns)
    assert counts.strayed == 0
    assert counts.pulses == cells.pulses
    if not silent:  # of what nothing arrived it is not known which resets failed
        assert counts.redrawn == sum(draw.block.failed_resets for draw in told)
        # The pulse after a failed reset may have brought the cell to P.
        assert cells.resets <= counts.resets <= cells.resets + counts.redrawn
    assert all(((draw.p[draw.drawn] >= 0) & (draw.p[draw.drawn] <= 1)).all() for draw in told)
    assert all((draw.volts[~draw.drawn & (draw.before == draw.after)] >= 0).all() for draw in told)


def test_resets_that_always_fail_end_in_a_sentence():
    logits = np.linspace(-7, 7, 57)
    volts = np.broadcast_to(0.6 + 0.03 * logits, (2, 50, 57))
    law = SwitchingLaw(logits, volts, np.full(volts.shape, 1e-3), 0.3, 0.9)
    draws = BernoulliArray(Cells(50, law, 1, 1.0, 0.0), law, np.arange(50))  # type: ignore[arg-type]
    with draws.switched_on(0.3, 0.9), pytest.raises(BenchError, match="fail to be reset 10 times in a row"):
        draws.draw(np.zeros(50))
