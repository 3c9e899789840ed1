"""Where the bytes of a dataset lie in its file, so that they are read without HDF5, which reads one at a time."""

from typing import Any

import numpy as np

from .._errors import StoreError
from ._view import FileView

_FEW = 16  # so many chunks are looked up one by one sooner than all are listed
_LINE = 64  # bytes of a line of the processor's cache
_PAGE = 4096  # bytes of a page of the system's cache


class Column:
    """The bytes of one chunked, unfiltered, one-dimensional dataset; several threads may read it.

    `length`: bytes that the dataset says it has. Nothing is taken to be there before it is read: a chunk that
    was not stored, or that lies beyond the end of the file, raises StoreError.
    """

    def __init__(self, view: FileView, name: str) -> None:
        self.name = name
        self.length = 0
        self._view = view
        self._chunk = 1
        self._offsets = np.empty(0, np.int64)  # of every chunk in the file, -1 where it is not stored

    def look(self, dataset: Any) -> None:
        """See where the bytes of the dataset (an h5py.h5d.DatasetID) are by now; `open_view` has checked its sizes."""
        item = dataset.get_type().get_size()
        chunk = dataset.get_create_plist().get_chunk()[0]
        length = dataset.shape[0]
        known = self._offsets if chunk * item == self._chunk else np.empty(0, np.int64)
        offsets = np.full(-(-length // chunk), -1, np.int64)
        offsets[: len(known)] = known[: len(offsets)]
        missing = np.flatnonzero(offsets < 0)
        if len(missing) > _FEW and hasattr(dataset, "chunk_iter"):
            _list(dataset, chunk, chunk * item, offsets)
        else:
            for index in missing:
                info = dataset.get_chunk_info_by_coord((int(index) * chunk,))
                if info.byte_offset is not None and info.size == chunk * item:
                    offsets[index] = info.byte_offset
        self.length, self._chunk, self._offsets = length * item, chunk * item, offsets

    def read(self, first: int, size: int) -> np.ndarray:
        """Read `size` bytes from byte `first` of the dataset on; uint8. Raises StoreError."""
        extents = self.extents(first, size)  # before the memory is taken
        data = _memory_for(extents, size)
        self._fill(extents, data.data)
        return data

    def read_into(self, first: int, into: memoryview) -> None:
        """Fill a buffer with the bytes from byte `first` of the dataset on. Raises StoreError."""
        self._fill(self.extents(first, len(into)), into)

    def extents(self, first: int, size: int) -> list[tuple[int, int]]:
        """Give the (offset in the file, bytes) of a stretch of the dataset. Raises StoreError where it is not there."""
        if first < 0 or size < 0 or first + size > self.length or not self._view.reaches(size):
            raise StoreError(f"{self._view.path}: /{self.name} ends before byte {first + size:,}")
        found: list[tuple[int, int]] = []
        end = first + size
        while first < end:
            index, inside = divmod(first, self._chunk)
            part = min(self._chunk - inside, end - first)
            offset = int(self._offsets[index]) + inside
            if self._offsets[index] < 0 or not self._view.reaches(offset + part):
                raise StoreError(
                    f"{self._view.path}: bytes {first:,} to {first + part - 1:,} of /{self.name} are not in the file"
                )
            if found and sum(found[-1]) == offset:
                found[-1] = (found[-1][0], found[-1][1] + part)
            else:
                found.append((offset, part))
            first += part
        return found

    def there(self) -> int:
        """Say how many bytes from the first on are stored in the file, without a gap."""
        ends = np.minimum(np.arange(1, len(self._offsets) + 1) * self._chunk, self.length)
        sizes = np.diff(ends, prepend=0)
        self._view.reaches(int((self._offsets + sizes).max(initial=0)))
        missing = np.flatnonzero((self._offsets < 0) | (self._offsets + sizes > self._view.size))
        return int(missing[0]) * self._chunk if len(missing) else self.length

    def shared(self) -> int | None:
        """Find the first byte whose chunk lies over another one in the file; None where none does."""
        there = np.flatnonzero(self._offsets >= 0)
        order = there[np.argsort(self._offsets[there], kind="stable")]
        over = np.flatnonzero(np.diff(self._offsets[order]) < self._chunk)
        return int(max(order[over[0]], order[over[0] + 1])) * self._chunk if len(over) else None

    def _fill(self, extents: list[tuple[int, int]], into: memoryview) -> None:
        at = 0
        for offset, part in extents:
            try:
                self._view.read_at(offset, into[at : at + part])
            except OSError as error:
                raise StoreError(f"{self._view.path}: /{self.name} cannot be read ({error})") from None
            at += part


def _memory_for(extents: list[tuple[int, int]], size: int) -> np.ndarray:
    """Make room for `size` bytes at a place to which the system copies fast.

    Some processors (AMD's since Zen 3) copy five times more slowly to a place that lies less than a line behind its
    source, by their addresses within a page, and that is where numpy's own memory for a block most often begins.
    """
    room = np.empty(size + 2 * _LINE, np.uint8)
    address = room.__array_interface__["data"][0]  # `room.ctypes` takes longer than all else here
    start = -address % _LINE
    if extents and (address + start - extents[0][0]) % _PAGE < _LINE:
        start += _LINE
    return room[start : start + size]


def _list(dataset: Any, chunk: int, size: int, offsets: np.ndarray) -> None:
    def note(info: Any) -> bool | None:
        index = info.chunk_offset[0] // chunk
        if index >= len(offsets):
            return True  # whatever the index holds beyond the dataset is not looked at
        if info.size == size:
            offsets[index] = info.byte_offset
        return None

    dataset.chunk_iter(note)
