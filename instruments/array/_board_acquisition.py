"""One acquisition of an array board: the blocks that it delivers, and those that it owes."""

import logging
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from drivers import ArrayBlock, ArrayBoard, BoardError, CorruptBlock, LostBlocks

from ._block import Losses

log = logging.getLogger(__name__)

_AGAIN = 3  # times that a damaged block is asked for once more
_HOPELESS = 5  # blocks in a row that stay damaged: then it is the wire
_Item = TypeVar("_Item")


class LossCount:
    """Counts what was lost over all acquisitions of a board."""

    def __init__(self) -> None:
        self.total = Losses()
        self.corrupt_in_a_row = 0

    def add(self, **blocks: int) -> None:
        """Count blocks by what became of them."""
        self.total += Losses(**blocks)

    def lose(self, blocks: int, why: str) -> None:
        """Count blocks that never arrived; the first time, `why` is logged."""
        if blocks:
            if not self.total.lost:
                log.warning("%s; the recording goes on, later losses are counted only", why)
            self.add(lost=blocks)


class BoardAcquisition(Generic[_Item]):
    """Starts an acquisition of `pulses` pulses (0 = without end) and hands its blocks out, made by `make`.

    A block that is missing or stays damaged is counted in `count` and left out: the step in the sequence of the blocks
    shows where. Where it is `strict`, one that stays damaged, or is missing at the end, raises. Bits whose CRC-32 was
    wrong are never handed out. What an output that went off (watchdog, interlock, temperature, by hand) has left in the
    FIFO is handed out before the error is raised: those blocks are complete, and were made before, at the settings that
    their rows say; the board discards the one that it was making. (A recorder that meets the error while it waits for
    the store does not come back for them.)
    """

    def __init__(
        self,
        board: ArrayBoard,
        pulses: int,
        per_block: int,
        count: LossCount,
        make: Callable[[ArrayBlock], _Item],
        *,
        strict: bool,
    ) -> None:
        settings: Any = board
        settings.pulses, settings.pulses_per_block = pulses, per_block
        board.start()
        self.ended = False
        self._board = board
        self._blocks = -(-pulses // per_block)
        self._count = count
        self._make, self._strict = make, strict
        self._next = self._given_up = self._stalls = 0

    def __next__(self) -> _Item | None:
        """Give the next block, None where there is none at the moment.

        Raises BoardError where the board says so or ended it early, and CorruptBlock where too many blocks in
        a row stayed damaged.
        """
        if self.ended:
            raise StopIteration
        before = self._board.duplicates
        try:
            block, missing, again = self._fetch()
        except CorruptBlock as error:
            self._give_up(error)
            return None
        except BoardError as error:
            if error.lost and error.partial:
                self._count.lose(1, f"a block was cut off: {error}")
            raise
        finally:
            self._count.add(duplicates=self._board.duplicates - before)
        if block is None:
            self._look_for_the_end()
            return None
        # Those that stayed damaged are missing in the sequence too.
        lost = max(0, missing - self._given_up)
        self._count.lose(lost, f"blocks before number {block.sequence} are missing: {lost}")
        self._count.add(stalls=max(0, block.stalls - self._stalls), again=int(again > 0))
        self._count.corrupt_in_a_row = self._given_up = 0
        self._next, self._stalls, self.ended = block.sequence + 1, block.stalls, block.last
        return self._make(block)

    def abort(self) -> None:
        """End it; raises BoardError where the board reports something."""
        if not self._board.lost:
            self._board.abort()

    def _fetch(self) -> tuple[ArrayBlock | None, int, int]:
        """Fetch a block, up to three times more where it arrives damaged; raises CorruptBlock where it stays so.

        Gives it, how many are missing before it, and how often it was asked for again.
        """
        again = 0
        while True:
            try:
                return self._board.fetch_again() if again else self._board.fetch(), 0, again
            except LostBlocks as error:
                return error.block, error.missing, again
            except CorruptBlock as error:
                if again == _AGAIN:
                    raise CorruptBlock(f"{error}, nor did {_AGAIN} repetitions: check the wire") from error
                again += 1
                log.warning("%s; asking for it again", error)
            except BoardError as error:
                error.partial = error.partial or again > 0  # the damaged one has left the FIFO
                raise

    def _give_up(self, error: CorruptBlock) -> None:
        if self._strict:
            raise error
        self._given_up += 1
        self._count.add(corrupt=1)
        self._count.corrupt_in_a_row += 1
        if self._count.corrupt_in_a_row >= _HOPELESS:
            raise CorruptBlock(
                f"{_HOPELESS} blocks in a row cannot be read; the last one: {error}"
            ) from error
        log.warning("%s; it is left out", error)

    def _look_for_the_end(self) -> None:
        """See whether it is over, its last block lost or damaged; whoever aborts it wants the recording to end."""
        settings: Any = self._board
        if settings.state != "idle" or settings.fifo[0]:
            return
        self._board.check_errors()
        owed = self._blocks - self._next - self._given_up
        began, on = self._next + self._given_up > 0, settings.output_enabled
        if self._strict or not (began and self._blocks and owed <= 1 and on):
            raise BoardError(
                f"{self._board.name} at {self._board.resource} ended the acquisition early"
                + ("" if on else ": its output was switched off by somebody else")
            )
        self._count.lose(max(owed, 0), "the last block of an acquisition is missing")
        self.ended = True
