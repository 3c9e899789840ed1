"""The health of a recording: each block is tested before it is written, cells that fail are left out from then on."""

import logging
from dataclasses import dataclass

import numpy as np

from entropy.quality.health import (
    BlockHealth,
    CellFailures,
    Cutoffs,
    HealthFlag,
    Judged,
    StreamHealth,
    usable_bits,
)
from entropy.quality.watch import Watch

from .._errors import BenchError
from ..array import Block
from ..holding import Counts, Servo
from ._summary import HealthSummary

log = logging.getLogger(__name__)

START_UP_PULSES = 1152  # a round of the start-up test: 1,024 samples of a cell whose reset fails now and then
START_UP_ROUNDS = 4
_FEW_BLOCKS = 50  # the share of failing blocks is of at least so many
_NAMED = 20  # failing cells that are logged one by one

_TESTS = {
    HealthFlag.STREAM_REPETITION: "repetition count of the stream",
    HealthFlag.STREAM_PROPORTION: "adaptive proportion of the stream",
    HealthFlag.CELL_REPETITION: "repetition count of a cell",
    HealthFlag.CELL_PROPORTION: "adaptive proportion of a cell",
}


def tests_named(flags: HealthFlag) -> str:
    """Name the tests that failed."""
    return ", ".join(name for flag, name in _TESTS.items() if flag & flags)


def warm_up() -> None:
    """Have the tests and the servo compiled, before anything drifts or waits."""
    cutoffs, bits = Cutoffs.from_claim(0.5), np.zeros(1, np.uint8)
    BlockHealth(cutoffs, 8).judge(bits, bits, 8)
    Watch(8, 8).look(bits, bits, 8, np.full(8, 0.5))
    one = np.ones(1)
    Servo(one, one, one > 0).update(Counts(512 * one, 1024 * one), one)


@dataclass(frozen=True, eq=False)
class JudgedBlock:
    """A block and what its tests say: `valid`, packed mask of the positions that are used, None where all are;
    `outcome`: its usable bits, counts and flags; `failed`: cells that failed in it for the first time → the tests.
    """

    block: Block
    valid: np.ndarray | None
    outcome: Judged
    failed: dict[int, str]


class RecordingHealth:
    """Tests the blocks of one recording in their order.

    `used`: bool, (cells,), the cells in use; `columns`: of the array, for names. A cell that fails is left out of
    the blocks after the one in which it did, by their mask; the array leaves it out from its next acquisition on.
    A recording is stopped beyond `most_failing_cells`, the fraction of the cells in use at its start that failed since,
    and `most_failing_blocks`, that of its blocks that are withheld, of at least 50.
    """

    def __init__(
        self,
        cutoffs: Cutoffs,
        used: np.ndarray,
        columns: int,
        *,
        most_failing_cells: float,
        most_failing_blocks: float,
    ) -> None:
        self.cutoffs = cutoffs
        self._tests = BlockHealth(cutoffs, len(used))
        self.cells = self._tests.cells
        self.blocks = self.withheld_blocks = self.withheld_bits = 0
        self.flags = HealthFlag(0)  # all that failed so far
        self.failed: dict[int, str] = {}  # cell → the tests that it failed while recording
        self._columns = columns
        self._most_failing_cells, self._most_failing_blocks = most_failing_cells, most_failing_blocks
        self._cells_at_start = int(used.sum())
        self._used = used.copy()
        self._left_out = False  # some cell that the board may still deliver
        self._mask = np.zeros(0, np.uint8)

    # Start-up

    def test_start_up(self, blocks: list[Block]) -> tuple[dict[int, str], HealthFlag]:
        """Test the samples of one round of the start-up; gives the cells that fail, with why, and the stream's flags.

        The stream is tested without the cells that fail.
        """
        found: dict[int, str] = {}
        for block in blocks:
            failures = self.cells.check(block.bits, self._valid(block), block.positions)
            for cell in failures.cells:
                found[int(cell)] = f"failed the start-up test ({_named(failures, cell)})"
        self._leave_out(found)
        self._tests.stream = StreamHealth(self.cutoffs)
        flags = HealthFlag(0)
        for block in blocks:
            bits, count = usable_bits(block.bits, self._valid(block), block.positions)
            flags |= self._tests.stream.check(bits, count)
        self._cells_at_start = int(self._used.sum())
        return found, flags

    # While recording

    def judge(self, block: Block) -> JudgedBlock:
        """Test the next block."""
        valid = self._valid(block)
        outcome = self._tests.judge(block.bits, valid, block.positions)
        failed: dict[int, str] = {}
        self.blocks += 1
        self.flags |= outcome.flags
        if outcome.flags:
            self.withheld_blocks += 1
            self.withheld_bits += outcome.count
            failed = {
                int(cell): f"failed while recording ({_named(outcome.cells, cell)})"
                for cell in outcome.cells.cells
            }
            self._warn(block, outcome.flags, failed)
            self.failed |= failed
            self._leave_out(failed)
        return JudgedBlock(block, valid, outcome, failed)

    def summary(self) -> HealthSummary:
        """Sum up."""
        return HealthSummary(
            min_entropy_claimed=self.cutoffs.min_entropy,
            false_alarm_exponent=self.cutoffs.exponent,
            repetition_cutoff=self.cutoffs.repetition,
            proportion_cutoff=self.cutoffs.proportion,
            cells_failed=len(self.failed),
            blocks_withheld=self.withheld_blocks,
            bits_withheld=self.withheld_bits,
            tests_failed=tests_named(self.flags),
        )

    def stop_if_too_much_fails(self) -> None:
        """Raise BenchError where the limits are passed."""
        failed, cells = len(self.failed), self._cells_at_start
        if failed > self._most_failing_cells * cells or failed == cells:
            raise BenchError(
                f"the health tests have stopped the recording: {failed:,} of {cells:,} cells failed while it ran "
                f"({self._some()}); the blocks are in the store, those that failed withheld: check pulse voltage, "
                "temperature and contacts, and start a new recording, which measures the cells again"
            )
        if self.withheld_blocks > self._most_failing_blocks * max(self.blocks, _FEW_BLOCKS):
            raise BenchError(
                f"the health tests have stopped the recording: {self.withheld_blocks:,} of {self.blocks:,} blocks "
                f"failed ({tests_named(self.flags)}) and are withheld: check pulse voltage, temperature and what may "
                "disturb the array, or claim less min-entropy"
            )

    def _some(self) -> str:
        cell, why = next(iter(self.failed.items()))
        row, column = divmod(cell, self._columns)
        return f"first row {row}, column {column}: {why}"

    def _warn(self, block: Block, flags: HealthFlag, failed: dict[int, str]) -> None:
        log.warning(
            "block %d is withheld: it fails the health tests (%s)%s",
            block.sequence,
            tests_named(flags),
            f"; {len(failed)} cells are left out from now on" if failed else "",
        )
        for cell, why in list(failed.items())[: max(0, _NAMED - len(self.failed))]:
            log.warning("cell %d, %d is left out: %s", *divmod(cell, self._columns), why)

    # The mask of the cells that are left out

    def _leave_out(self, cells: dict[int, str]) -> None:
        if not cells:
            return
        self._used[list(cells)] = False
        self._left_out = True
        self._mask = np.zeros(0, np.uint8)

    def _valid(self, block: Block) -> np.ndarray | None:
        """Give the mask of a block without the cells that are left out."""
        if not self._left_out:
            return block.valid
        size = (block.positions + 7) // 8
        if len(self._mask) < size:
            self._mask = np.packbits(np.tile(self._used, block.pulses))
        mask = self._mask[:size].copy()
        if block.positions % 8:  # the mask may go on there
            mask[-1] &= 0xFF << (8 - block.positions % 8) & 0xFF
        return mask if block.valid is None else mask & block.valid


def _named(failures: CellFailures, cell: int) -> str:
    tests = (failures.repetition, "repetition count"), (failures.proportion, "adaptive proportion")
    return ", ".join(name for failed, name in tests if failed[cell])
