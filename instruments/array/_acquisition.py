"""One acquisition of a recording: the blocks that it delivers, and those that it owes."""

import logging
from dataclasses import dataclass
from typing import Any

from drivers import ArrayBlock, ArrayBoard, BoardError, CorruptBlock, LostBlocks

log = logging.getLogger(__name__)

_AGAIN = 3  # times that a damaged block is asked for once more
_HOPELESS = 5  # blocks in a row that stay damaged: then it is the wire


@dataclass
class Mishaps:
    """What went wrong between board and recorder, in blocks, over a whole recording.

    `again`: arrived damaged at first; `corrupt`: stayed damaged and were left out; `lost`: never arrived;
    `duplicates`: came twice and were dropped; `stalls` counts times that the board waited for room.
    """

    again: int = 0
    corrupt: int = 0
    lost: int = 0
    duplicates: int = 0
    stalls: int = 0
    corrupt_in_a_row: int = 0

    def lose(self, blocks: int, why: str) -> None:
        """Count blocks that never arrived; the first time, `why` is logged."""
        if not blocks:
            return
        if not self.lost:
            log.warning("%s; the recording goes on, later losses are counted only", why)
        self.lost += blocks


@dataclass(frozen=True)
class Fetched:
    """A block that arrived well (None: there was none), how many are missing before it, and how often it was
    asked for again.
    """

    block: ArrayBlock | None
    missing: int = 0
    again: int = 0


def fetch(board: ArrayBoard) -> Fetched:
    """Fetch a block, up to three times more where it arrives damaged; raises CorruptBlock where it stays so."""
    again = 0
    while True:
        try:
            return Fetched(board.fetch_again() if again else board.fetch(), again=again)
        except LostBlocks as error:
            return Fetched(error.block, error.missing, again)
        except CorruptBlock as error:
            if again == _AGAIN:
                raise CorruptBlock(f"{error}, nor did {_AGAIN} repetitions: check the wire") from error
            again += 1
            log.warning("%s; asking for it again", error)
        except BoardError as error:
            error.partial = error.partial or again > 0  # the damaged one has left the FIFO
            raise


def is_over(board: ArrayBoard) -> bool:
    """Say whether an acquisition has ended and everything of it was fetched; raises what the board reports."""
    settings: Any = board
    if settings.state != "idle" or settings.fifo[0]:
        return False
    board.check_errors()
    return True


def ended_early(board: ArrayBoard) -> BoardError:
    """Make the error of an acquisition that ended before its time."""
    settings: Any = board
    return BoardError(
        f"{board.name} at {board.resource} ended the acquisition early"
        + ("" if settings.output_enabled else ": its output was switched off by somebody else")
    )


class Acquisition:
    """Starts an acquisition of `pulses` pulses (0 = without end) and hands its blocks out.

    A block that is missing or stays damaged is counted in `mishaps` and left out: the step in the sequence of
    the rows shows where. Bits whose CRC-32 was wrong are never handed out. What an output that went off (watchdog,
    interlock, temperature, by hand) has left in the FIFO is handed out before the error is raised: those blocks are
    complete, and were made before, at the settings that their rows say; the board discards the one that it
    was making. (A recorder that meets the error while it waits for the store does not come back for them.)
    """

    def __init__(self, board: ArrayBoard, pulses: int, pulses_per_block: int, mishaps: Mishaps) -> None:
        settings: Any = board
        settings.pulses, settings.pulses_per_block = pulses, pulses_per_block
        board.start()
        self.ended = False
        self._board = board
        self._blocks = -(-pulses // pulses_per_block)
        self._mishaps = mishaps
        self._next = self._given_up = self._stalls = 0

    def next(self) -> ArrayBlock | None:
        """Give the next block, None where there is none at the moment.

        Raises BoardError where the board says so or ended it early, and CorruptBlock where too many blocks in
        a row stayed damaged.
        """
        before = self._board.duplicates
        try:
            fetched = fetch(self._board)
        except CorruptBlock as error:
            self._give_up(error)
            return None
        except BoardError as error:
            if error.lost and error.partial:
                self._mishaps.lose(1, f"a block was cut off: {error}")
            raise
        finally:
            self._mishaps.duplicates += self._board.duplicates - before
        if fetched.block is None:
            self._look_for_the_end()
        else:
            self._count(fetched.block, fetched.missing, fetched.again)
        return fetched.block

    def _count(self, block: ArrayBlock, missing: int, again: int) -> None:
        mishaps = self._mishaps
        mishaps.again += again > 0
        # Those that stayed damaged are missing in the sequence too.
        lost = max(0, missing - self._given_up)
        mishaps.lose(lost, f"blocks before number {block.sequence} are missing: {lost}")
        mishaps.stalls += max(0, block.stalls - self._stalls)
        mishaps.corrupt_in_a_row = self._given_up = 0
        self._next, self._stalls, self.ended = block.sequence + 1, block.stalls, block.last

    def _give_up(self, error: CorruptBlock) -> None:
        mishaps = self._mishaps
        self._given_up += 1
        mishaps.corrupt += 1
        mishaps.corrupt_in_a_row += 1
        if mishaps.corrupt_in_a_row >= _HOPELESS:
            raise CorruptBlock(
                f"{_HOPELESS} blocks in a row cannot be read; the last one: {error}"
            ) from error
        log.warning("%s; it is left out", error)

    def _look_for_the_end(self) -> None:
        """See whether it is over, its last block lost or damaged; whoever aborts it wants the recording to end."""
        if not is_over(self._board):
            return
        settings: Any = self._board
        owed = self._blocks - self._next - self._given_up
        began = self._next + self._given_up > 0
        if not (began and self._blocks and owed <= 1 and settings.output_enabled):
            raise ended_early(self._board)
        self._mishaps.lose(max(owed, 0), "the last block of an acquisition is missing")
        self.ended = True
