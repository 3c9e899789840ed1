"""The blocks that a lease reads: each is held against what the ledger has entered of it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from .._errors import StoreError
from ._open_files import OpenFiles

if TYPE_CHECKING:
    from ..buffer._reader import LoadedBlock

_AT_ONCE = 64
_HELD = 64 * _AT_ONCE

_BlockCopy = tuple[int, int, int, int]  # first_byte, bits, ones, crc


class LeasedBlocks:
    """Loads blocks out of a store's open files for one lease; what is damaged is withheld from the next one.

    The ledger's copies of rows are fetched many at once: a query for each took as long as its block's CRC. A row never
    changes once it is entered, so what was fetched stays true as long as the lease lasts. Several threads may load.
    """

    def __init__(self, files: OpenFiles) -> None:
        self._files = files
        self._copies: dict[tuple[int, int], _BlockCopy] = {}

    def load(self, buffer: str, bit: int, bits: int) -> LoadedBlock:
        """Load the block of usable bit `bit` of a buffer, for a reader of `bits` bits from there on.

        Raises StoreError where it is damaged, or another one than the ledger has entered under its number.
        """
        try:
            block = self._files.load(buffer, bit, bits)
            self._check(block)
        except StoreError as error:
            with contextlib.suppress(StoreError):
                self._withhold(buffer, bit, str(error))
            raise
        return block

    def _check(self, block: LoadedBlock) -> None:
        reader = self._files.reader(block.buffer)
        row = reader.rows[block.index]
        read = (int(row["first_byte"]), int(row["bits"]), int(row["ones"]), int(row["crc"]))
        if self._copy(self._files.record(block.buffer).id, block.index) != read:
            raise StoreError(
                f"{reader.path}: block {block.index} is another one than the ledger has entered; restore the file from "
                "a copy"
            )

    def _copy(self, buffer: int, index: int) -> _BlockCopy | None:
        """Give the ledger's copy of one block's row; None where it has none."""
        copy = self._copies.get((buffer, index))
        if copy is None:
            fresh = self._files.ledger.block_copies(buffer, index, _AT_ONCE)
            kept = {} if len(self._copies) >= _HELD else dict(self._copies)
            self._copies = kept | {(buffer, at): row for at, row in enumerate(fresh, index)}
            copy = fresh[0] if fresh else None
        return copy

    def _withhold(self, buffer: str, bit: int, verdict: str) -> None:
        record = self._files.record(buffer)
        with self._files.mutex:
            try:
                reader, index = self._files.find(buffer, bit)
                first, end = int(reader.starts[index]), int(reader.starts[index + 1])
            except StoreError:  # its row is damaged, so nothing after it can be found
                first, end = int(self._files.reader(buffer).starts[-1]), record.bits
        self._files.ledger.withhold(record.id, first, end - first, verdict)
