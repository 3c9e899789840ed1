"""The reader of one buffer: follows it while it grows and checks every block that it hands out."""

import threading
import weakref
from collections import OrderedDict
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ._errors import StoreError
from ._format import BLOCK_DTYPE, CELL_DTYPE, OVER_SCALE, crc32, open_buffer, read_text, sound_rows

_KEPT_BYTES = 32 << 20


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

    def put(self, block: LoadedBlock) -> None:
        """Keep a block until newer ones need the room."""
        key = (block.buffer, block.index)
        with self._mutex:
            self._alive[key] = block
            self._kept[key] = block
            self._bytes += len(block.data)
            while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
                self._bytes -= len(self._kept.popitem(last=False)[1].data)


class BufferReader:
    """Reads one buffer file; raises StoreError, naming file and block, for whatever does not check."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._mutex = threading.RLock()
        self._file: Any = open_buffer(path)
        self.rows = np.empty(0, BLOCK_DTYPE)
        self.starts = np.zeros(1, np.int64)  # first usable bit of each block, and the end of the last
        self.refresh()

    def close(self) -> None:
        """Close the file."""
        with self._mutex:
            self._file.close()

    def text(self, name: str) -> str:
        """Read a text attribute; '' where there is none."""
        with self._mutex, self._reading(name):
            return read_text(self._file, name)

    def numbers(self, *names: str) -> dict[str, int]:
        """Read whole-numbered attributes."""
        with self._mutex, self._reading("the attributes"):
            return {name: int(self._file.attrs[name]) for name in names}

    @property
    def file(self) -> Any:
        """The open h5py file, for who copies it."""
        return self._file

    @property
    def complete(self) -> bool:
        """Whether the writer had closed the buffer properly when this reader opened it."""
        with self._mutex:
            return bool(self._file.attrs["complete"])

    @property
    def cells_per_pulse(self) -> int:
        """How many cells one pulse reads."""
        with self._mutex:
            return int(self._file.attrs["cells_per_pulse"])

    def refresh(self) -> None:
        """See the blocks that were committed by now; a row that is not whole yet waits for the next time."""
        with self._mutex, self._reading("the block rows"):
            blocks = self._file["blocks"]
            blocks.refresh()
            seen, there = len(self.rows), blocks.shape[0]
            if there > seen:
                new = blocks[seen:there]
                sound = sound_rows(new)
                if not sound.all():
                    new = new[: int(np.argmin(sound))]
                self.rows = np.concatenate([self.rows, new])
                self.starts = np.concatenate([[0], np.cumsum(self.rows["bits"].astype(np.int64))])
            self._file["bits"].refresh()
            self._file["valid"].refresh()

    def unsound_rows(self) -> int:
        """Count the rows in the file from the first one on whose own check is wrong."""
        with self._mutex, self._reading("the block rows"):
            return int(self._file["blocks"].shape[0]) - len(self.rows)

    def row(self, index: int) -> np.void:
        """Give one block row."""
        if not 0 <= index < len(self.rows):
            raise StoreError(
                f"{self.path} has {len(self.rows)} committed blocks, so there is no block {index}"
            )
        return self.rows[index]

    def load(self, index: int, buffer: str = "") -> LoadedBlock:
        """Read one block and check its CRC; raises StoreError naming file and block where it is wrong."""
        row = self.row(index)
        size = (int(row["bits"]) + 7) // 8
        data = self._bytes("bits", index, int(row["first_byte"]), size, int(row["crc"]))
        valid = None
        if row["valid_offset"] >= 0:
            size = (int(row["positions"]) + 7) // 8
            valid = self._bytes("valid", index, int(row["valid_offset"]), size, int(row["valid_crc"]))
        return LoadedBlock(buffer, index, int(self.starts[index]), row, data, valid, self.cells_per_pulse)

    def _bytes(self, name: str, index: int, first: int, size: int, crc: int) -> np.ndarray:
        with self._mutex, self._reading(f"block {index}"):
            dataset = self._file[name]
            if first + size > dataset.shape[0]:
                raise StoreError(
                    f"{self.path}: block {index} ends beyond /{name}; restore the file from a copy"
                )
            data = dataset[first : first + size]
        if crc32(data) != crc:
            raise StoreError(
                f"{self.path}: the CRC of block {index} in /{name} is wrong, so the file was damaged after "
                "it was recorded; restore it from a copy"
            )
        return data

    def cells(self) -> np.ndarray:
        """Read what is known of each cell; CELL_DTYPE, (cells per pulse,)."""
        with self._mutex, self._reading("the cells"):
            return np.asarray(self._file["cells"][:], CELL_DTYPE)

    def resistances(self) -> np.ndarray:
        """Read the sample of raw readings; float32, ohm; inf where a reading was over the scale."""
        with self._mutex, self._reading("the resistances"):
            if "resistances" not in self._file:
                return np.empty(0, np.float32)
            sample = self._file["resistances"]
            sample.refresh()
            counts = sample[:]
            ohms = (counts * float(sample.attrs["scale"])).astype(np.float32)
        ohms[counts == OVER_SCALE] = np.inf
        return ohms

    def _reading(self, what: str) -> "_ReadErrors":
        return _ReadErrors(self.path, what)


class _ReadErrors:
    def __init__(self, path: Path, what: str) -> None:
        self._path = path
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError | RuntimeError | KeyError | ValueError):
            reason = str(error).splitlines()[0] if str(error) else kind
            raise StoreError(
                f"{self._path}: {self._what} cannot be read ({reason}); restore the file"
            ) from error
