"""What the ledger says of the blocks that a lease reads."""

from ..ledger._ledger import Ledger

_AT_ONCE = 64
_HELD = 64 * _AT_ONCE

BlockCopy = tuple[int, int, int, int]  # first_byte, bits, ones, crc


class BlockCopies:
    """The ledger's copies of block rows, many fetched at once: a query for each took as long as its block's CRC.

    A row never changes once it is entered, so what was fetched stays true as long as the lease lasts. Several threads
    may ask at once.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: dict[tuple[int, int], BlockCopy] = {}

    def of(self, buffer: int, index: int) -> BlockCopy | None:
        """Give the copy of one block's row; None where the ledger has none."""
        copy = self._held.get((buffer, index))
        if copy is None:
            fresh = self._ledger.block_copies_from(buffer, index, _AT_ONCE)
            held = {} if len(self._held) >= _HELD else dict(self._held)
            self._held = held | {(buffer, at): row for at, row in fresh.items()}
            copy = fresh.get(index)
        return copy
