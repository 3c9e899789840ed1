"""The open files of a store: what it, its leases and its followers read from."""

from __future__ import annotations

import functools
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from .._errors import StoreError
from ..ledger import DELETED, BufferRecord, Ledger

if TYPE_CHECKING:  # and imported where it is used: a store is opened and listed without numpy and HDF5
    from ..buffer._reader import BlockCache, BufferReader, LoadedBlock

_OPEN_FILES = 64


class OpenFiles:
    """The buffers of the store in `folder` that are open for reading, those that were asked for last.

    Several threads may ask at once; who uses a reader that might be closed meanwhile holds `mutex`. Once it is closed,
    and in a forked child, everything raises StoreError.
    """

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder = folder
        self.mutex = threading.RLock()
        self._ledger = ledger
        self._pid = os.getpid()
        self._closed = False
        self._readers: OrderedDict[str, BufferReader] = OrderedDict()
        self._records: dict[str, BufferRecord] = {}

    @property
    def ledger(self) -> Ledger:
        """The ledger of the store; raises StoreError once the files are closed, and in a forked child."""
        if self._closed:
            raise StoreError(f"the store {self.folder} is closed: open it again")
        if self._pid != os.getpid():
            raise StoreError(
                f"the store {self.folder} was opened by the parent process: close it before forking, or start this "
                "process anew (the start method 'spawn') and open it here"
            )
        return self._ledger

    @functools.cached_property
    def cache(self) -> BlockCache:
        """The blocks that somebody holds, and the last few that were read."""
        from ..buffer._reader import BlockCache

        return BlockCache()

    def shut(self) -> bool:
        """Hand out nothing more; says whether something is left to be closed, by this process."""
        was, self._closed = self._closed, True
        return not was and self._pid == os.getpid()

    def close(self) -> None:
        """Close the files and the ledger."""
        for reader in self._readers.values():
            reader.close()
        self._ledger.close()

    def record(self, buffer: str) -> BufferRecord:
        """Give what the ledger knows of a buffer; raises StoreError where it has none of this uuid."""
        record = self._records.get(buffer)
        if record is None:
            self._records = {item.uuid: item for item in self._ledger.buffers()}
            record = self._records.get(buffer)
        if record is None:
            raise StoreError(f"the store {self.folder} has no buffer {buffer}: was it recorded elsewhere?")
        return record

    def reader(self, buffer: str, *, fresh: bool = False, record: BufferRecord | None = None) -> BufferReader:
        """Give a reader of a buffer's file, with `fresh` one that has seen the blocks committed by now."""
        with self.mutex:
            ledger = self.ledger
            reader = self._readers.get(buffer)
            if reader is None:
                reader = self._readers[buffer] = self._opened(record or self.record(buffer), ledger)
                while len(self._readers) > _OPEN_FILES:
                    self._readers.popitem(last=False)[1].close()
            else:
                self._readers.move_to_end(buffer)
                if fresh:
                    reader.refresh()
            return reader

    def _opened(self, record: BufferRecord, ledger: Ledger) -> BufferReader:
        from ..buffer._reader import BufferReader

        path = self._path_of(record, ledger)
        if not path.exists():  # pruned meanwhile by another process?
            self._records.clear()
            path = self._path_of(self.record(record.uuid), ledger)
        return BufferReader(path, record.uuid)

    def _path_of(self, record: BufferRecord, ledger: Ledger) -> Path:
        if record.place == DELETED:
            raise StoreError(
                f"{record.file} was deleted by 'memtj store prune' after its bits were spent: they cannot be read again"
            )
        if record.place is not None:
            return Path(record.place)
        if os.path.basename(record.file) != record.file:
            raise StoreError(f"{ledger.path} names {record.file!r}, outside the store: restore it")
        return self.folder / record.file

    def forget(self, buffer: str) -> None:
        """Close a buffer's file and forget where it was, so that it is found and read anew."""
        with self.mutex:
            self._records.pop(buffer, None)
            reader = self._readers.pop(buffer, None)
            if reader is not None:
                reader.close()

    def find(self, buffer: str, bit: int) -> tuple[BufferReader, int]:
        """Find the block that holds a usable bit of a buffer: its reader and its index."""
        reader = self.reader(buffer)
        if bit >= int(reader.starts[-1]):
            reader.refresh()
        if not 0 <= bit < int(reader.starts[-1]):
            raise StoreError(
                f"{reader.path} has {int(reader.starts[-1]):,} committed bits, so bit {bit:,} is not there: "
                "verify the store"
            )
        return reader, int(reader.starts.searchsorted(bit, side="right")) - 1

    def load(self, buffer: str, bit: int, bits: int = 0) -> LoadedBlock:
        """Load the block that holds a usable bit of a buffer, for a reader of `bits` bits from there on.

        A block that one reader reads from end to end is not kept for others, so that the memory of the block before is
        used again, while it is still in the processor's cache.
        """
        with self.mutex:
            reader, index = self.find(buffer, bit)
            block = self.cache.get(buffer, index)
            if block is None:
                block = reader.load(index, buffer)
                self.cache.put(block, keep=bit > block.first_bit or bits < block.bits)
            return block
