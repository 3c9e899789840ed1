"""What lies in a store, and can be read again without accounting."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import StoreError
from ..arguments import Count, count, takes
from ..ledger import DELETED, BufferRecord, Range
from ._following import FollowedBlock, Following
from ._lease import BitRanges, Portion
from ._open_files import OpenFiles

if TYPE_CHECKING:
    import numpy as np

    from ..buffer._commanded import Commanded


@dataclass(frozen=True)
class BufferInfo:
    """One buffer of a store, as far as its committed blocks are known.

    `created`: ISO 8601, UTC; `complete`: its writer closed it properly; `live`: its writer is alive and may
    add blocks; `bits`: usable bits; `ones`: of them 1; `bytes`: in `/bits`; `place`: None in the store's folder,
    "deleted", or the path of the archived file; `min_entropy`: of a raw bit, by the lowest assessment, None where
    there was none; `drawn`: its bits are draws, used by the run that made them.
    """

    uuid: str
    path: Path
    recording: str
    segment: int
    created: str
    complete: bool
    live: bool
    simulated: bool
    blocks: int
    bits: int
    ones: int
    bytes: int
    conditioning: str
    place: str | None
    min_entropy: float | None = None
    drawn: bool = False


class Catalogue:
    """The buffers of a store: listed, followed, and read again for replay; does no accounting."""

    def __init__(self, files: OpenFiles) -> None:
        self._files = files
        self._following = Following(files)

    def buffers(self) -> list[BufferInfo]:
        """List the buffers in the order in which they were begun, live ones as they are by now."""
        ledger = self._following.catch_up()
        assessed, drawn = ledger.assessed(), ledger.drawn()
        return [
            self._info(record, assessed.get(record.id), record.id in drawn) for record in ledger.buffers()
        ]

    def _info(self, record: BufferRecord, min_entropy: float | None, drawn: bool) -> BufferInfo:
        return BufferInfo(
            uuid=record.uuid,
            path=Path(record.place)
            if record.place not in (None, DELETED)
            else self._files.folder / record.file,
            recording=record.recording,
            segment=record.segment,
            created=record.created,
            complete=bool(record.complete),
            live=self._following.is_live(record),
            simulated=bool(record.simulated),
            blocks=record.blocks,
            bits=record.bits,
            ones=record.ones,
            bytes=record.bytes,
            conditioning=record.conditioning,
            place=record.place,
            min_entropy=min_entropy,
            drawn=drawn,
        )

    def rows(self, buffer: str) -> np.ndarray:
        """Give the committed block rows of a buffer; BLOCK_DTYPE, (blocks,)."""
        return self._files.reader(buffer, fresh=True).rows.copy()

    def cells(self, buffer: str) -> np.ndarray:
        """Give what was known of each cell; CELL_DTYPE, (cells per pulse,)."""
        return self._files.reader(buffer).cells()

    def tuning(self, buffer: str) -> tuple[np.ndarray, dict[str, Any]] | None:
        """Give what the cells were tuned to, TUNING_DTYPE (cells per pulse,), and under which conditions.

        None where the buffer was recorded without a tuning.
        """
        cells = self._files.reader(buffer).tuning()
        return None if cells is None else (cells, self._snapshot(buffer, "tuning"))

    def actions(self, buffer: str) -> np.ndarray:
        """Give the changes of the trims on the way; ACTION_DTYPE, each with the first block made with it.

        A trim at a block is that of the tuning (without one, of `cells`) plus all changes of blocks up to it.
        """
        return self._files.reader(buffer, fresh=True).actions()

    def bench(self, buffer: str) -> dict[str, Any]:
        """Give the snapshot of the bench that a buffer was recorded with."""
        return self._snapshot(buffer, "bench")

    def procedure(self, buffer: str) -> dict[str, Any]:
        """Give the parameters of the procedure that recorded a buffer."""
        return self._snapshot(buffer, "procedure")

    def device(self, buffer: str) -> str:
        """Give the name of the device that a buffer was recorded from."""
        return str(self._snapshot(buffer, "device"))

    def simulated(self, ranges: Iterable[tuple[str, int, int]]) -> bool:
        """Say whether any of (buffer uuid, first usable bit, bits) comes from a simulated array."""
        used = {buffer for buffer, _, _ in ranges}
        return any(record.simulated for record in self.buffers() if record.uuid in used)

    def resistances(self, buffer: str) -> np.ndarray:
        """Give a buffer's sample of raw readings; float32, ohm; inf where one was over the scale."""
        return self._files.reader(buffer, fresh=True).resistances()

    @takes(index=Count())
    def commanded(self, buffer: str, index: int) -> Commanded | None:
        """Give with which probability each draw of a block was to be 1; None where the buffer does not say.

        Raises StoreError naming file and block where it is damaged.
        """
        reader = self._files.reader(buffer)
        if index >= len(reader.rows):
            reader.refresh()
        return reader.commanded(index)

    @takes(index=Count())
    def read_block(self, buffer: str, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read one block, its CRC checked, without accounting.

        Returns its packed usable bits and the packed mask over its positions (None: all usable), both uint8.
        Raises StoreError naming file and block where it is damaged.
        """
        reader = self._files.reader(buffer)
        if index >= len(reader.rows):
            reader.refresh()
        block = reader.load(index)
        return block.data, block.valid

    def read(self, ranges: Iterable[tuple[str, int, int]]) -> np.ndarray:
        """Read the bits of (buffer uuid, first usable bit, bits) again, for replay; does no accounting.

        Returns packed uint8, padded with zeros. Raises StoreError where a range is not there or is damaged.
        """
        recorded = self.recorded(ranges)
        return recorded.read(recorded.bits)

    def recorded(self, ranges: Iterable[tuple[str, int, int]]) -> Portion:
        """Give a reader of the bits of (buffer uuid, first usable bit, bits), for replay; does no accounting.

        It reads as a lease of those bits does, through a conditioning too.
        """
        taken = [
            Range(buffer, count(first, "the first bit of a range"), count(bits, "the bits of a range"))
            for buffer, first, bits in ranges
        ]
        there = BitRanges(taken, self._files.load)
        return Portion(there, 0, there.bits)

    def follow(self, recording: str | None = None) -> Iterator[FollowedBlock]:
        """Give every committed block once, in order, and wait for more as long as a writer lives.

        Of one recording, or of all that the store has by now. Reads without accounting, for those who watch:
        leases hand bits out. Raises StoreError, naming file and block, where one is damaged.
        """
        return self._following.follow(recording)

    def _snapshot(self, buffer: str, name: str) -> dict[str, Any]:
        reader = self._files.reader(buffer)
        try:
            return json.loads(reader.text(name))
        except ValueError:
            raise StoreError(f"{reader.path}: its {name} snapshot cannot be read; restore the file") from None
