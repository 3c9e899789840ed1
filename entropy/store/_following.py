"""Following the buffers of a store: blocks that were committed since the ledger last heard of them."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._errors import StoreError
from ..ledger import BufferRecord, BufferUpdate, Ledger
from ._open_files import OpenFiles

if TYPE_CHECKING:
    import numpy as np

_log = logging.getLogger(__name__)

_POLL = (0.001, 0.002, 0.005, 0.01)  # s between looks for new blocks, the last one for ever


@dataclass(frozen=True, eq=False)
class FollowedBlock:
    """A committed block as `Store.follow` gives it.

    `row`: its element of BLOCK_DTYPE; `bits`: packed usable bits, uint8; `valid`: packed mask over its positions,
    uint8, or None where all are usable.
    """

    buffer: str
    index: int
    row: np.void
    bits: np.ndarray
    valid: np.ndarray | None


class Following:
    """Sees what is committed to the buffers of a store, and enters it into the ledger."""

    def __init__(self, files: OpenFiles) -> None:
        self._files = files
        self._ledger = files.ledger
        self._unreadable: set[str] = set()

    def catch_up(self) -> Ledger:
        """Enter what was committed by now, burn the leases of owners that are dead, and give the ledger."""
        ledger = self._files.ledger
        ledger.reap()
        ledger.update(self.updates())
        return ledger

    def updates(self) -> list[BufferUpdate]:
        """Look for blocks that were committed since the ledger last heard of their buffers."""
        updates: list[BufferUpdate] = []
        for record in self._files.ledger.buffers(following=True):
            ended = not self.is_live(record)  # asked first: then no row is missed
            try:
                with self._files.mutex:
                    if ended:
                        self._files.forget(record.uuid)  # so that `complete` is read anew
                    reader = self._files.reader(record.uuid, fresh=True, record=record)
                    rows, complete = reader.rows, ended and reader.complete
            except StoreError as error:
                if record.uuid not in self._unreadable:
                    self._unreadable.add(record.uuid)
                    _log.warning("new blocks cannot be seen: %s", error)
                continue
            if len(rows) > record.blocks or ended:
                updates.append(BufferUpdate(record.id, rows, ended, complete, record.blocks))
        return updates

    def add_finished(self, buffer: str) -> None:
        """Enter the rows of a buffer that a recording of this store has just closed."""
        record = self._files.record(buffer)
        self._files.forget(buffer)
        from ..buffer._reader import BufferReader

        with contextlib.closing(BufferReader(self._files.folder / record.file, buffer)) as reader:
            self._ledger.update([BufferUpdate(record.id, reader.rows, True, reader.complete)])

    def is_live(self, record: BufferRecord) -> bool:
        """Whether the writer of a buffer is alive and may add blocks."""
        return not record.ended and not self._ledger.liveness.is_dead("writer", record.recording)

    def follow(self, recording: str | None) -> Iterator[FollowedBlock]:
        """Give every committed block once, in order, and wait for more as long as a writer lives."""
        given: dict[str, int] = {}
        waits = iter(pauses())
        while True:
            liveness = self._files.ledger.liveness
            writers = {record.recording for record in self._recorded(recording)}
            live = any(not liveness.is_dead("writer", name) for name in writers)  # first: no block is missed
            fresh = False
            for record in self._recorded(recording):
                for block in self._blocks_from(record, given.get(record.uuid, 0)):
                    given[record.uuid] = block.index + 1
                    fresh = True
                    yield block
            if fresh:
                waits = iter(pauses())
            elif not live:
                return
            else:
                self._files.ledger.update(self.updates())
                time.sleep(next(waits))

    def _recorded(self, recording: str | None) -> list[BufferRecord]:
        records = [item for item in self._files.ledger.buffers() if recording in (None, item.recording)]
        if recording is not None and not records:
            raise StoreError(
                f"the store {self._files.folder} has no recording {recording}: see 'memtj store ls'"
            )
        return [item for item in records if item.place is None]

    def _blocks_from(self, record: BufferRecord, index: int) -> Iterator[FollowedBlock]:
        if record.ended and index >= record.blocks:
            return
        with self._files.mutex:
            until = len(self._files.reader(record.uuid, fresh=True, record=record).rows)
        for at in range(index, until):
            with self._files.mutex:
                reader = self._files.reader(record.uuid, record=record)
                block, row = reader.load(at, record.uuid), reader.rows[at]
            yield FollowedBlock(record.uuid, at, row, block.data, block.valid)


def pauses() -> Iterator[float]:
    """Give the seconds between looks for something new: short ones at first."""
    return itertools.chain(_POLL, itertools.repeat(_POLL[-1]))
