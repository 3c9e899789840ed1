"""The reader of one buffer: follows it while it grows and checks every block that it hands out."""

import contextlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py.h5d
import h5py.h5o
import numpy as np

from .._errors import StoreError
from ._chunks import Column
from ._commanded import Commanded
from ._format import ACTION_DTYPE, BLOCK_DTYPE, CELL_DTYPE, OVER_SCALE, TUNING_DTYPE, crc32
from ._opening import HDF5_ERRORS, Attributes, look_again, open_view, reason
from ._packed import padding_used
from ._rows import Room, bytes_of, sound_actions, sound_rows
from ._view import FileView

_KEPT_BYTES = 32 << 20
_ROWS_AT_ONCE = 4096
_HEADER_BYTES = 512  # of an object's header, enough to hold a dataset's shape


class LoadedBlock:
    """One block in memory, its CRC checked.

    `data`: packed usable bits, uint8, read-only; `valid`: packed mask over `positions`, or None where every
    position is usable; `first_bit`: of the block in the buffer.
    """

    def __init__(
        self,
        buffer: str,
        index: int,
        first_bit: int,
        row: np.void,
        data: np.ndarray,
        valid: np.ndarray | None,
        cells: int,
    ) -> None:
        self.buffer = buffer
        self.index = index
        self.first_bit = first_bit
        self.bits = int(row["bits"])
        self.positions = int(row["positions"])
        self.data = data
        self.valid = valid
        self.cells = cells
        data.flags.writeable = False

    @cached_property
    def _ranks(self) -> np.ndarray:
        # usable bits before each 64-byte stretch of the mask
        assert self.valid is not None
        counts = np.bitwise_count(self.valid)
        counts = np.pad(counts, (0, -len(counts) % 64)).reshape(-1, 64).sum(axis=1, dtype=np.int64)
        return np.concatenate([[0], np.cumsum(counts)])

    def position(self, bit: int) -> int:
        """Give the position (pulse x cells + cell) that usable bit `bit` of this block came from."""
        if self.valid is None:
            return bit
        stretch = int(np.searchsorted(self._ranks, bit, side="right")) - 1
        inside = np.unpackbits(self.valid[64 * stretch : 64 * stretch + 64])
        return 512 * stretch + int(np.flatnonzero(inside)[bit - int(self._ranks[stretch])])

    def positions_of(self, bit: int, bits: int) -> np.ndarray:
        """Give the positions of `bits` consecutive usable bits from `bit` on; int64."""
        if self.valid is None or bits == 0:
            return np.arange(bit, bit + bits)
        low, high = self.position(bit), self.position(bit + bits - 1)
        mask = np.unpackbits(self.valid[low // 8 : high // 8 + 1])
        return np.flatnonzero(mask[low % 8 : low % 8 + high - low + 1]) + low


class BlockCache:
    """Shares blocks between all who hold one, and keeps the last few alive."""

    def __init__(self) -> None:
        self._alive: weakref.WeakValueDictionary[tuple[str, int], LoadedBlock] = weakref.WeakValueDictionary()
        self._kept: OrderedDict[tuple[str, int], LoadedBlock] = OrderedDict()
        self._bytes = 0
        self._mutex = threading.Lock()

    def get(self, buffer: str, index: int) -> LoadedBlock | None:
        """Find a block that somebody holds."""
        return self._alive.get((buffer, index))

    def put(self, block: LoadedBlock, *, keep: bool = True) -> None:
        """Share a block as long as somebody holds it; with `keep`, until newer ones need the room."""
        key = (block.buffer, block.index)
        with self._mutex:
            self._alive[key] = block
            if not keep:
                return
            self._kept[key] = block
            self._bytes += len(block.data)
            while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)


class BufferReader:
    """Reads one buffer file; raises StoreError, naming file and block, for whatever does not check.

    HDF5 is asked where things are, and only while this is made and refreshed; blocks are then read by their
    place in the file, in several threads at once where wanted. `buffer` is the uuid that the file must have.
    """

    def __init__(self, path: Path, buffer: str | None = None) -> None:
        self.path = path
        self.rows = np.empty(0, BLOCK_DTYPE)
        self.starts = np.zeros(1, np.int64)  # first usable bit of each block, and the end of the last
        self.commanded_ends = np.zeros(1, np.int64)  # the same in bytes of `/commanded`, where there is one
        self.fault = ""  # what is wrong with the first row that is not in `rows`
        self._mutex = threading.RLock()
        self._view = FileView(path)
        self._bits, self._valid = Column(self._view, "bits"), Column(self._view, "valid")
        self._blocks, self._commanded = Column(self._view, "blocks"), Column(self._view, "commanded")
        self._closed_by_writer = False
        self._attributes = Attributes({}, {}, frozenset())
        self._place, self._header = 0, b""  # of the header of /blocks, whose bytes change with every row
        try:
            self.refresh()
            if buffer is not None and self.text("buffer") != buffer:
                raise StoreError(
                    f"{path} is buffer {self.text('buffer')} and the ledger has {buffer} under this name: "
                    "bring the right file back"
                )
        except BaseException:
            self._view.close()
            raise

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            self._view.close()

    def text(self, name: str) -> str:
        """Give a text attribute; '' where there is none."""
        return self._attributes.texts.get(name, "")

    def number(self, name: str) -> int:
        """Give a whole-numbered attribute."""
        return self._attributes.numbers[name]

    @property
    def complete(self) -> bool:
        """Whether the writer had closed the buffer properly when this reader last looked."""
        return self._attributes.numbers["complete"] != 0

    @property
    def cells_per_pulse(self) -> int:
        """How many cells one pulse reads."""
        return self._attributes.numbers["cells_per_pulse"]

    def refresh(self) -> None:
        """See the blocks that were committed by now; a row that is not whole yet waits for the next time."""
        with self._mutex:
            look_again(self._view, self._look)

    def _look(self) -> None:
        if self._unchanged():
            return
        place = self._place
        header = self._view.bytes_at(place, _HEADER_BYTES) if place else b""  # before the look, not after
        with self._opened("the block rows") as (file, self._attributes):
            columns = [self._blocks, self._bits, self._valid]
            for column in [*columns, *([self._commanded] if self.has_commanded else [])]:
                column.look(h5py.h5d.open(file.id, column.name.encode()))
            self._place = h5py.h5o.get_info(file.id, b"blocks").addr
        self._read_rows()
        self._header = header if place == self._place and not self.fault else b""
        self._closed_by_writer = not self._view.being_written

    def _unchanged(self) -> bool:
        """Whether a look would show nothing new: the writer had closed the file, or no row was added to it."""
        if self._closed_by_writer:
            return True
        return bool(self._header) and self._view.bytes_at(self._place, _HEADER_BYTES) == self._header

    def _read_rows(self) -> None:
        there = self._blocks.there() // BLOCK_DTYPE.itemsize
        most = self._view.size  # a dataset of a file that was cut short says more than is there
        room = Room(min(self._bits.length, most), min(self._valid.length, most), self.cells_per_pulse)
        parts, self.fault = [self.rows], ""
        seen = len(self.rows)
        ends = bytes_of(self.rows)
        while seen < there and not self.fault:
            count = min(_ROWS_AT_ONCE, there - seen)
            size = BLOCK_DTYPE.itemsize
            new = self._blocks.read(seen * size, count * size).view(BLOCK_DTYPE)
            good, self.fault = sound_rows(new, room, *ends)
            parts.append(new[:good])
            seen += good
            ends += bytes_of(new[:good])
        if not self.fault and there < self._blocks.length // BLOCK_DTYPE.itemsize:
            self.fault = "it is not in the file"
        self.rows = np.concatenate(parts)
        self.starts = np.concatenate([[0], np.cumsum(self.rows["bits"].astype(np.int64))])
        if self.has_commanded:
            sizes = 2 * (1 + self.rows["positions"].astype(np.int64))
            self.commanded_ends = np.concatenate([[0], np.cumsum(sizes)])

    def unsound_rows(self) -> int:
        """Count the rows in the file from the first one on that cannot be believed; `fault` says why."""
        return self._blocks.length // BLOCK_DTYPE.itemsize - len(self.rows)

    def row(self, index: int) -> np.void:
        """Give one block row."""
        if not 0 <= index < len(self.rows):
            raise StoreError(
                f"{self.path} has {len(self.rows)} committed blocks, so there is no block {index}: verify the store"
            )
        return self.rows[index]

    def load(self, index: int, buffer: str = "") -> LoadedBlock:
        """Read one block and check it; raises StoreError naming file and block where it is wrong."""
        row = self.row(index)
        bits = int(row["bits"])
        data = self._checked(self._bits, index, int(row["first_byte"]), (bits + 7) // 8, int(row["crc"]))
        valid = None
        if row["valid_offset"] >= 0:
            positions = int(row["positions"])
            size = (positions + 7) // 8
            valid = self._checked(self._valid, index, int(row["valid_offset"]), size, int(row["valid_crc"]))
            usable = int(np.bitwise_count(valid).sum(dtype=np.int64))
            if usable != bits or padding_used(valid, positions):
                raise StoreError(
                    f"{self.path}: the mask of block {index} does not fit its bits; restore the file from a copy"
                )
        return LoadedBlock(buffer, index, int(self.starts[index]), row, data, valid, self.cells_per_pulse)

    def _checked(self, column: Column, index: int, first: int, size: int, crc: int) -> np.ndarray:
        try:
            data = column.read(first, size)
        except StoreError as error:
            raise StoreError(f"{error}, so block {index} is lost; restore the file from a copy") from None
        except (OSError, ValueError) as error:  # a view that was closed
            raise StoreError(f"{self.path}: block {index} cannot be read ({reason(error)})") from None
        if crc32(data) != crc:
            raise StoreError(
                f"{self.path}: the CRC of block {index} in /{column.name} is wrong, so the file was damaged "
                "after it was recorded; restore it from a copy"
            )
        return data

    def read_into(self, name: str, first: int, into: memoryview) -> None:
        """Fill a buffer with bytes of `/bits` or `/valid`, unchecked; raises StoreError where they are not there."""
        {"bits": self._bits, "valid": self._valid}[name].read_into(first, into)

    def shared_byte(self) -> int | None:
        """Find a byte of /bits that is stored in the same place as another one; None where there is none."""
        return self._bits.shared()

    def cells(self) -> np.ndarray:
        """Read what is known of each cell; CELL_DTYPE, (cells per pulse,)."""
        with self._opened("the cells") as (file, _):
            return np.asarray(file["cells"][:], CELL_DTYPE)

    def tuning(self) -> np.ndarray | None:
        """Read what each cell was tuned to; TUNING_DTYPE, (cells per pulse,); None where they were not tuned."""
        if "tuning" not in self._attributes.datasets:
            return None
        with self._opened("the tuning") as (file, _):
            return np.asarray(file["tuning"][:], TUNING_DTYPE)

    @property
    def has_actions(self) -> bool:
        """Whether changes of trims on the way are kept in this buffer, if there are any."""
        return "actions" in self._attributes.datasets

    def actions(self) -> np.ndarray:
        """Read what was changed of the trims on the way, for committed blocks; ACTION_DTYPE.

        Raises StoreError where a row of a buffer that was closed does not check.
        """
        rows = np.empty(0, ACTION_DTYPE)
        if not self.has_actions:
            return rows
        with self._opened("the actions") as (file, attributes):
            column = Column(self._view, "actions")
            column.look(h5py.h5d.open(file.id, b"actions"))
            there = column.there() // ACTION_DTYPE.itemsize * ACTION_DTYPE.itemsize
            whole = there == column.length
            rows = column.read(0, there).view(ACTION_DTYPE)
        good = sound_actions(rows, self.cells_per_pulse)
        if attributes.numbers["complete"] and not (whole and good == len(rows)):
            raise StoreError(
                f"{self.path}: row {good} of /actions is damaged, so the trims of later blocks are not known; "
                "restore the file from a copy"
            )
        rows = rows[:good]
        return rows[rows["block"] < len(self.rows)].copy()

    @property
    def has_commanded(self) -> bool:
        """Whether this buffer says with which probability each of its draws was to be 1."""
        return "commanded" in self._attributes.datasets

    def commanded(self, index: int) -> Commanded | None:
        """Read what the draws of a block were asked for, checked; None where the buffer does not say.

        Raises StoreError naming file and block where it is damaged.
        """
        row = self.row(index)
        if not self.has_commanded:
            return None
        first, end = self.commanded_ends[index : index + 2].tolist()
        data = self._checked(self._commanded, index, first, end - first, int(row["reserved"]))
        try:
            return Commanded.unpacked(data.view("<u2"))
        except ValueError as error:
            raise StoreError(
                f"{self.path}: block {index} in /commanded: {error}; restore it from a copy"
            ) from None

    def resistances(self) -> np.ndarray:
        """Read the sample of raw readings; float32, ohm; inf where a reading was over the scale."""
        with self._opened("the resistances") as (file, _):
            if "resistances" not in file:
                return np.empty(0, np.float32)
            sample = file["resistances"]
            if sample.id.get_storage_size() < 2 * sample.shape[0]:
                raise ValueError("part of them is not in the file")
            counts = sample[:]
            ohms = (counts * float(sample.attrs["scale"])).astype(np.float32)
        ohms[counts == OVER_SCALE] = np.inf
        return ohms

    @contextlib.contextmanager
    def _opened(self, what: str) -> Iterator[tuple[Any, Attributes]]:
        """Open the file as it is by now, for as long as something is asked of HDF5."""
        with self._mutex:
            try:
                file, attributes = open_view(self._view, self._attributes.texts)
                with file:
                    yield file, attributes
            except HDF5_ERRORS as error:
                raise StoreError(
                    f"{self.path}: {what} cannot be read ({reason(error)}); restore the file from a copy"
                ) from error
