"""Continuous health tests of raw bits: repetition count and adaptive proportion, of the stream and of each cell.

SP 800-90B section 4.4. They say that a source has failed, or has not failed yet, with respect to the min-entropy that
is claimed for it; they measure nothing, and a generator without any entropy passes them.
"""

import enum
import math
import threading
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtrc

from .._bit_words import ONE, words_of
from ..arguments import Count, Real, takes
from . import _block_kernels, _cell_kernels
from . import _health_kernels as kernels
from ._pair_sums import PairSums
from .cell_counts import outcomes_of

WINDOW = 1024  # samples, for sources of bits: SP 800-90B section 4.4.2
START_UP_SAMPLES = 1024  # at least, before the first output: section 4.3


class HealthFlag(enum.IntFlag):
    """Why a block is withheld: the bits of its field `health`."""

    STREAM_REPETITION = 1
    STREAM_PROPORTION = 2
    CELL_REPETITION = 4
    CELL_PROPORTION = 8


@dataclass(frozen=True)
class Cutoffs:
    """From what count on a test fails.

    `repetition`: equal samples in a row; `proportion`: samples of a window that equal its first one, itself
    included; `window`: samples. `min_entropy` (bits per sample) and `exponent` (a, of the false-alarm rate 2^-a) are
    what they follow from.
    """

    repetition: int
    proportion: int
    window: int
    min_entropy: float
    exponent: float

    @classmethod
    @takes(min_entropy=Real(), exponent=Real())
    def from_claim(cls, min_entropy: float, exponent: float = 40) -> "Cutoffs":
        """Compute the cutoffs for a claimed min-entropy H, 0 < H ≤ 1, and a false-alarm rate of 2^-a.

        1 + ⌈a / H⌉ (SP 800-90B section 4.4.1) and 1 + the 1 − 2^-a quantile of the number of equal samples in a window
        of 1024, each equal with probability 2^-H (section 4.4.2). The rate is per sample for the one and per window
        for the other. Raises ValueError for another H, and for an exponent that is not above 0.
        """
        if not 0 < min_entropy <= 1:
            raise ValueError(
                f"a min-entropy of {min_entropy:g} bits per bit cannot be: it is above 0 and at most 1"
            )
        if not exponent > 0:
            raise ValueError(f"a false-alarm rate of 2^-{exponent:g} cannot be: the exponent is above 0")
        at_most = np.arange(WINDOW + 1)
        enough = bdtrc(at_most, WINDOW, 2.0**-min_entropy) <= 2.0**-exponent
        return cls(
            repetition=1 + math.ceil(exponent / min_entropy),
            proportion=1 + int(at_most[enough][0]),
            window=WINDOW,
            min_entropy=min_entropy,
            exponent=exponent,
        )

    @takes(samples=Count(), probability=Real(0, 1))
    def runs_expected(self, samples: int, probability: float = 0.5) -> float:
        """Compute how many runs of independent samples reach the cutoff, on average; `probability`: P(1).

        A run reaches C where C samples are equal and the one before them, if there is one, is not.
        """
        c, p, q = self.repetition, probability, 1 - probability
        if samples < c:
            return 0.0
        return p**c + q**c + (samples - c) * (p**c * q + q**c * p)

    @takes(probability=Real(0, 1))
    def window_fails(self, probability: float = 0.5) -> float:
        """Compute the probability that a window of independent samples fails; `probability`: P(1)."""
        p, q = probability, 1 - probability
        others, wanted = self.window - 1, self.proportion - 2  # the first sample equals itself
        return float(p * bdtrc(wanted, others, p) + q * bdtrc(wanted, others, q))


class _Sequences:
    """State and counts of some sequences, carried from block to block; counts are those after a whole block."""

    def __init__(self, cutoffs: Cutoffs, sequences: int) -> None:
        self.cutoffs = cutoffs
        self._lock = threading.RLock()  # others may look at the counts while a block is tested
        self._cutoffs = (cutoffs.repetition, cutoffs.proportion, cutoffs.window)
        self._last = np.zeros(sequences, np.uint64)
        self._state = np.zeros((sequences, kernels.STATE_COLUMNS), np.int64)
        self._state[:, kernels.RUN] = -1
        self._counts = np.zeros((sequences, kernels.COUNT_COLUMNS), np.int64)

    @property
    def samples(self) -> np.ndarray:
        """Samples so far, int64, of each sequence."""
        return self._count(kernels.SAMPLES)

    @property
    def ones(self) -> np.ndarray:
        """Ones so far, int64, of each sequence."""
        with self._lock:
            return self._counts[:, kernels.ONES] + self._state[:, kernels.WINDOW_ONES]

    @property
    def changes(self) -> np.ndarray:
        """How many of `samples` − 1 pairs of neighbours in time differ, int64, of each sequence."""
        return self._count(kernels.CHANGES)

    @property
    def last(self) -> np.ndarray:
        """The last sample of each sequence, int64; 0 where there was none."""
        with self._lock:
            return (self._last & ONE).astype(np.int64)

    @property
    def p1(self) -> np.ndarray:
        """Fraction of ones so far, float64, of each sequence; NaN where there was no sample."""
        with self._lock, np.errstate(invalid="ignore"):
            return self.ones / self.samples

    @property
    def runs(self) -> np.ndarray:
        """Runs that reached the cutoff of the repetition count so far, each counted once, int64."""
        return self._count(kernels.RUNS)

    @property
    def windows(self) -> np.ndarray:
        """Windows that reached the cutoff of the adaptive proportion so far, each counted once, int64."""
        return self._count(kernels.WINDOWS)

    def _count(self, column: int) -> np.ndarray:
        with self._lock:
            return self._counts[:, column].copy()


class StreamHealth(_Sequences):
    """Both tests on the stream of bits as it is recorded; the arrays that it gives have one element."""

    def __init__(self, cutoffs: Cutoffs) -> None:
        super().__init__(cutoffs, 1)

    @takes(count=Count())
    def check(self, bits: np.ndarray, count: int) -> HealthFlag:
        """Test the next `count` bits; `bits`: packed uint8, first bit most significant.

        Returns the tests that fail: at one of these bits its run, or its window, had reached the cutoff.
        """
        if count > 8 * len(bits):
            raise ValueError(f"{len(bits)} bytes do not hold {count} bits")
        return self._check(words_of(bits), count)

    def _check(self, words: np.ndarray, count: int) -> HealthFlag:
        failed = np.zeros(1, np.uint8)
        with self._lock:
            kernels.check_stream(words, count, self._cutoffs, self._last, self._state, self._counts, failed)
        return _flags(failed, HealthFlag.STREAM_REPETITION, HealthFlag.STREAM_PROPORTION)


@dataclass(frozen=True, eq=False)
class CellFailures:
    """What the cells failed in one block.

    `flags`: for the block; `repetition`, `proportion`: bool, (cells,), which cells failed which test.
    """

    flags: HealthFlag
    repetition: np.ndarray
    proportion: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """Numbers of the cells that failed any of them."""
        return np.flatnonzero(self.repetition | self.proportion)


class CellHealth(_Sequences):
    """Both tests on the outcomes of each cell, one pulse after the other."""

    @takes(cells=Count(1))
    def __init__(self, cutoffs: Cutoffs, cells: int) -> None:
        super().__init__(cutoffs, cells)
        if cutoffs.window > _cell_kernels.LONGEST_WINDOW:
            raise ValueError(
                f"a window has at most {_cell_kernels.LONGEST_WINDOW} samples, not {cutoffs.window}"
            )
        self.cells = cells

    @takes(positions=Count())
    def check(self, bits: np.ndarray, valid: np.ndarray | None, positions: int) -> CellFailures:
        """Test the outcomes of a block of whole pulses.

        `bits`: packed uint8, first bit most significant, time-major: position = pulse · cells + cell; `valid`: packed
        mask of the same order, None where all are valid: what is not valid is no sample of its cell. Raises
        ValueError where these do not fit `positions`.
        """
        self._refuse_short(bits, valid, positions)
        words = words_of(bits)
        return self._check(words, words if valid is None else words_of(valid), valid is not None, positions)

    def _refuse_short(self, bits: np.ndarray, valid: np.ndarray | None, positions: int) -> None:
        rest = positions % self.cells
        short = min(len(bits), len(bits) if valid is None else len(valid)) * 8 < positions
        if rest or short:
            raise ValueError(
                f"{len(bits)} bytes of bits{'' if valid is None else f' and {len(valid)} of their mask'} do not hold "
                f"{positions} positions of whole pulses of {self.cells} cells"
            )

    def _check(self, words: np.ndarray, mask: np.ndarray, masked: bool, positions: int) -> CellFailures:
        failed = np.zeros(self.cells, np.uint8)
        with self._lock:
            _cell_kernels.check_cells(
                words, mask, masked, positions // self.cells, self.cells,
                self._cutoffs, self._last, self._state, self._counts, failed,
            )  # fmt: skip
        return CellFailures(
            _flags(failed, HealthFlag.CELL_REPETITION, HealthFlag.CELL_PROPORTION),
            (failed & kernels.REPETITION) != 0,
            (failed & kernels.PROPORTION) != 0,
        )


@takes(positions=Count())
def usable_bits(bits: np.ndarray, valid: np.ndarray | None, positions: int) -> tuple[np.ndarray, int]:
    """Leave out the positions of a block whose mask bit is 0.

    `bits`, `valid`: packed uint8, first bit most significant; None where all are usable. Returns the usable bits packed
    alike and padded with zeros, and their number.
    """
    if valid is None:
        return bits[: (positions + 7) // 8], positions
    words, count = _usable_words(words_of(bits), words_of(valid), positions)
    return _bytes_of(words, count), count


def _usable_words(words: np.ndarray, mask: np.ndarray, positions: int) -> tuple[np.ndarray, int]:
    out = np.zeros(len(words) + 1, np.uint64)
    return out, int(_block_kernels.compact(words, mask, positions, out))


def _bytes_of(words: np.ndarray, count: int) -> np.ndarray:
    return words.byteswap().view(np.uint8)[: (count + 7) // 8]


@dataclass(frozen=True, eq=False)
class CellOutcomes:
    """What each cell did in one block, (cells,) each.

    `usable` outcomes, `ones` of them, `changes` from one to the next (of cells that lack none); `first`, `last`:
    outcomes in the first and in the last of `pulses` pulses, 0 where they are not usable.
    """

    usable: np.ndarray
    ones: np.ndarray
    changes: np.ndarray
    first: np.ndarray
    last: np.ndarray
    pulses: int

    def pairs(self) -> PairSums | None:
        """Sum over pairs of outcomes in consecutive pulses, as `count_pairs` does; None where a cell lacks some."""
        used = self.usable == self.pulses
        if not (used | (self.usable == 0)).all():
            return None
        first, second = self.ones - self.last, self.ones - self.first
        return PairSums(
            np.where(used, self.pulses - 1, 0), first, second, (first + second - self.changes) // 2
        )


@dataclass(frozen=True, eq=False)
class Judged:
    """What was found of a block.

    `bits`: its usable bits, packed uint8, first bit most significant, padded with zeros; `count`: how many; `ones`:
    of them; `changes`, `pairs`: pairs of usable outcomes of a cell in consecutive pulses, and those that differ;
    `flags`: tests that it fails; `cells`: the cells that fail; `outcomes`: what each cell did.
    """

    bits: np.ndarray
    count: int
    ones: int
    changes: int
    pairs: int
    flags: HealthFlag
    cells: CellFailures
    outcomes: CellOutcomes


class BlockHealth:
    """All tests of the blocks of one recording: those of each cell, and those of the usable bits as one stream."""

    @takes(cells=Count(1))
    def __init__(self, cutoffs: Cutoffs, cells: int) -> None:
        self.cells, self.stream = CellHealth(cutoffs, cells), StreamHealth(cutoffs)

    @takes(positions=Count())
    def judge(self, bits: np.ndarray, valid: np.ndarray | None, positions: int) -> Judged:
        """Test a block of whole pulses, and take its usable bits; takes and raises what `CellHealth.check` does."""
        self.cells._refuse_short(bits, valid, positions)
        words = words_of(bits)
        mask = words if valid is None else words_of(valid)
        failures, outcomes = self._judge_cells(words, mask, valid is not None, positions)
        changes, pairs = _block_kernels.count_changes(
            words, mask, valid is not None, positions, self.cells.cells
        )
        usable, count, stream = bits[: (positions + 7) // 8], positions, words
        if valid is not None:
            stream, count = _usable_words(words, mask, positions)
            usable = _bytes_of(stream, count)
        before = int(self.stream.ones[0])
        flags = failures.flags | self.stream._check(stream, count)
        return Judged(
            usable,
            count,
            int(self.stream.ones[0]) - before,
            int(changes),
            int(pairs),
            flags,
            failures,
            outcomes,
        )

    def _judge_cells(
        self, words: np.ndarray, mask: np.ndarray, masked: bool, positions: int
    ) -> tuple[CellFailures, CellOutcomes]:
        cells = self.cells
        samples, ones, changes, last = cells.samples, cells.ones, cells.changes, cells.last
        failures = cells._check(words, mask, masked, positions)
        pulses = positions // cells.cells
        first, end = np.zeros((2, cells.cells), np.int64)
        if pulses:
            first, end = (outcomes_of(words, cells.cells, pulse) for pulse in (0, pulses - 1))
        if pulses and masked:
            first &= outcomes_of(mask, cells.cells, 0)
            end &= outcomes_of(mask, cells.cells, pulses - 1)
        usable = cells.samples - samples
        # The change from the block before is none of this one's.
        across = (samples > 0) & (usable > 0) & (last != first)
        return failures, CellOutcomes(
            usable, cells.ones - ones, cells.changes - changes - across, first, end, pulses
        )


def _flags(failed: np.ndarray, repetition: HealthFlag, proportion: HealthFlag) -> HealthFlag:
    every = int(np.bitwise_or.reduce(failed))
    flags = HealthFlag(0)
    if every & int(kernels.REPETITION):
        flags |= repetition
    if every & int(kernels.PROPORTION):
        flags |= proportion
    return flags
