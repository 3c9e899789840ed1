"""The writer of one buffer file: bits, flush, block row, flush."""

import contextlib
import logging
import os
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from .._errors import StoreError
from ._durable import PeriodicSync
from ._format import ACTION_DTYPE, OVER_SCALE, crc32, create_buffer, row_crcs
from ._own_file import OwnFile
from ._room import METADATA_ROOM, allocate, end_of_file, probe_room, why

_log = logging.getLogger(__name__)

# HDF5 cannot take back a write that failed: it tries again at close and can end the process by a
# segmentation fault. So room is reserved before HDF5 sees the block.
_RESERVE_STEP = 4 << 20
_LAST = 64  # bytes that are looked at again


class BufferWriter:
    """Appends blocks to one buffer file; a block exists once `append` has returned.

    After `kill -9` at any moment every block whose row is there has its bits: they were flushed to the
    operating system before the row. There is no fsync per block: it is put on the disk every `durable`
    seconds (None: when the system likes) and at `close`, and a power cut may cost what came since, which the
    CRCs show.
    """

    def __init__(
        self,
        path: Path,
        attributes: Mapping[str, Any],
        cells: np.ndarray,
        resistances: int,
        durable: float | None = None,
        *,
        tuning: np.ndarray | None = None,
        actions: bool = False,
        commanded: bool = False,
    ) -> None:
        self.path = path
        self.blocks = 0
        self.bits = 0
        self.bytes = 0
        self._valid_bytes = 0
        self._failed: str | None = None
        self._committing = False
        probe_room(path)
        try:
            self._file: Any = create_buffer(
                path, attributes, cells, resistances, tuning, actions=actions, commanded=commanded
            )
        except (OSError, RuntimeError, ValueError) as error:
            raise StoreError(f"{path} cannot be made: {why(error)}; check the folder and its room") from None
        self._data = _Column(self._file, "bits")
        self._valid = _Column(self._file, "valid")
        self._rows = _Rows(self._file, "blocks")
        self._actions = _Rows(self._file, "actions") if actions else None
        self._actions_kept = 0
        self._commanded = _Column(self._file, "commanded") if commanded else None
        self._commanded_kept = 0
        # each dataset is held once: of two handles one may show other rows than are there
        self._sample_scale = float(self._file["resistances"].attrs["scale"]) if resistances else 1.0
        self._sample = _Column(self._file, "resistances") if resistances else None
        self._sample_kept, self._sample_room = 0, resistances
        self._reserver = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0))
        self._forgotten = weakref.finalize(self, os.close, self._reserver)
        self._reserved = 0
        self._own = OwnFile(path, self._reserver)
        self._syncing = PeriodicSync(self._reserver, durable) if durable else None

    def append(
        self,
        bits: np.ndarray,
        valid: np.ndarray | None,
        row: np.ndarray,
        actions: np.ndarray | None = None,
        commanded: np.ndarray | None = None,
    ) -> None:
        """Commit one block; `row` (1 element of BLOCK_DTYPE) gets its places and checks filled in here.

        `actions` (ACTION_DTYPE) are what was changed for it: they get its number and their checks, and are in the file
        before its row is. `commanded`: the values of `Commanded.packed`.
        """
        self._refuse_if_failed()
        self._refuse_foreign()
        changed = _numbered(actions, self.blocks)
        asked = np.empty(0, "<u2") if commanded is None else commanded
        self._reserve(len(bits) + (0 if valid is None else len(valid)) + changed.nbytes + asked.nbytes)
        row["first_byte"] = self.bytes
        row["crc"] = crc32(bits)
        row["valid_offset"] = -1
        if valid is not None:
            row["valid_offset"] = self._valid_bytes
            row["valid_crc"] = crc32(valid)
        if commanded is not None:
            row["reserved"] = crc32(commanded)
        row["row_crc"] = row_crcs(row)
        self._committing = True
        with self._write_errors():
            self._data.write(self.bytes, bits)
            if valid is not None:
                self._valid.write(self._valid_bytes, valid)
            if self._actions is not None and len(changed):
                self._actions.write(self._actions_kept, changed)
            if self._commanded is not None and len(asked):
                self._commanded.write(self._commanded_kept, asked)
            self._file.flush()
            self._rows.write(self.blocks, row)
            self._file.flush()
        self._refuse_foreign()  # what was written into a foreign file is not committed
        self._actions_kept += len(changed)
        self._commanded_kept += len(asked)
        self.bytes += len(bits)
        if len(bits):
            self._own.note(*self._data.last(self.bytes, bits))
        self._valid_bytes += 0 if valid is None else len(valid)
        self.blocks += 1
        self.bits += int(row["bits"][0])
        self._committing = False

    def append_resistances(self, resistances: np.ndarray) -> int:
        """Keep raw readings (ohm) as long as there is room for them; returns how many were kept."""
        self._refuse_if_failed()
        if self._sample is None:
            return 0
        kept = np.asarray(resistances, np.float64).ravel()[: self._sample_room - self._sample_kept]
        if not len(kept):
            return 0
        self._refuse_foreign()
        counts = np.nan_to_num(kept / self._sample_scale, nan=OVER_SCALE, posinf=OVER_SCALE)
        self._reserve(2 * len(kept))
        with self._write_errors():
            self._sample.write(self._sample_kept, np.clip(np.rint(counts), 0, OVER_SCALE).astype(np.uint16))
        self._sample_kept += len(kept)
        return len(kept)

    def close(self) -> None:
        """Mark the buffer complete, put it on the disk and close it; harmless when repeated.

        Raises StoreError where the disk does not take it.
        """
        if self._reserver < 0:
            return
        end = None
        try:
            if self._syncing is not None:
                self._syncing.stop()
            if self._failed is None and self._file:
                self._refuse_if_not_on_disk()
                self._refuse_foreign()
                with self._write_errors():
                    self._file.attrs.modify("complete", np.uint8(1))
                    self._file.flush()
                    used = self._file.id.get_filesize()
                    self._file.close()
                    end = max(used, end_of_file(self.path))
        finally:
            self._sync(end)

    def _sync(self, end: int | None) -> None:
        descriptor, self._reserver = self._reserver, -1
        try:
            if end is not None and os.fstat(descriptor).st_size > end:
                os.ftruncate(descriptor, end)  # give back what was reserved and not used
            os.fsync(descriptor)
        except OSError as error:
            raise StoreError(f"{self.path} could not be put on the disk: {why(error)}; verify it") from None
        finally:
            self._forgotten()

    def _reserve(self, size: int) -> None:
        needed = self._file.id.get_filesize() + size + METADATA_ROOM
        if needed <= self._reserved:
            return
        target = needed + _RESERVE_STEP
        try:
            for goal in (target, needed):  # close to the end of a disk, be content with what is needed
                try:
                    allocate(self._reserver, self.path, goal)
                    self._reserved = goal
                    return
                except OSError:
                    if goal == needed:
                        raise
        except OSError as error:
            raise StoreError(self._sentence(why(error))) from None

    def _sentence(self, reason: str) -> str:
        return (
            f"{self.path}: no more can be written ({reason}); its {self.blocks} committed blocks are intact. "
            "Free some space and start a new recording"
        )

    def _refuse_if_failed(self) -> None:
        if self._failed is not None:
            raise StoreError(self._failed)
        if (
            self._committing
        ):  # it is unknown how far an interrupted commit came, so nothing may be written over it
            raise StoreError(self._sentence("an append was interrupted"))
        if not self._file:
            raise StoreError(f"{self.path} is closed: start a new recording")
        self._refuse_if_not_on_disk()

    def _refuse_if_not_on_disk(self) -> None:
        if self._syncing is None or self._syncing.error is None:
            return
        reason = why(self._syncing.error)
        self._failed = (
            f"{self.path}: the disk did not take what was written before ({reason}), so the last of its "
            f"{self.blocks} blocks may be lost: verify the store, and record to another disk"
        )
        self._abandon()
        raise StoreError(self._failed)

    def _refuse_foreign(self) -> None:
        fault = self._own.fault()
        if not fault:
            return
        self._failed = (
            f"{self.path} is no longer the file that is being recorded: {fault}, so the {self.blocks} blocks in it may "
            "be lost; keep other programs out of the store, and start a new recording"
        )
        self._abandon()
        raise StoreError(self._failed)

    @contextlib.contextmanager
    def _write_errors(self):
        try:
            yield
        except (OSError, RuntimeError, ValueError) as error:
            self._failed = self._sentence(why(error))
            self._abandon()
            raise StoreError(self._failed) from error

    def _abandon(self) -> None:
        """Close a file whose write failed or that is another's, letting what HDF5 still wants to write go nowhere.

        What is on the disk stays as `kill -9` would have left it: followers read its committed blocks. Nothing can be
        read through the new descriptor either: what HDF5 does not find in a file, it looks for again, for ever.
        """
        try:
            descriptor = self._file.id.get_vfd_handle()
            scratch = os.open(os.devnull, os.O_WRONLY)
            os.dup2(scratch, descriptor)
            os.close(scratch)
            self._file.close()
        except (OSError, RuntimeError, ValueError, NotImplementedError) as error:
            _log.info("%s could not be closed after a failed write: %s", self.path, error)


class _Column:
    """An extendible dataset of numbers, written by h5py's low-level calls.

    It is opened without a chunk cache, so that data goes from its array to the operating system in one step:
    through the cache it is copied once more, and a small block rewrites its whole chunk at every flush.
    """

    def __init__(self, file: Any, name: str) -> None:
        self._id = _without_cache(file, name)
        self._type = h5py.h5t.py_create(self._id.dtype)
        (self._size,) = self._id.get_create_plist().get_chunk()
        self._chunk, self._place = -1, 0  # the one whose place in the file is known

    def last(self, end: int, values: np.ndarray) -> tuple[int, bytes]:
        """Give the last few of `values` (bytes), which end at element `end`, and where they lie in the file."""
        chunk = (end - 1) // self._size
        if chunk != self._chunk:
            place = self._id.get_chunk_info_by_coord((chunk * self._size,)).byte_offset
            self._chunk, self._place = chunk, place
        inside = end - chunk * self._size
        few = values[-min(_LAST, inside) :].tobytes()
        return self._place + inside - len(few), few

    def write(self, at: int, values: np.ndarray) -> None:
        """Make the dataset end after `values`, written from element `at` on."""
        end = at + len(values)
        self._id.set_extent((end,))
        place = h5py.h5s.create_simple((end,))
        place.select_hyperslab((at,), (len(values),))
        self._id.write(h5py.h5s.create_simple((len(values),)), place, values, self._type)


class _Rows:
    """An extendible dataset of compound rows, written by whole chunks.

    h5py looks through a compound type anew at every write, which takes longer than writing 64 KiB of bits. A
    chunk written as it is needs no type, so the chunk that is being filled is kept here.
    """

    def __init__(self, file: Any, name: str) -> None:
        self._id = _without_cache(file, name)
        (size,) = self._id.get_create_plist().get_chunk()
        self._chunk = np.zeros((size, self._id.dtype.itemsize), np.uint8)

    def write(self, at: int, rows: np.ndarray) -> None:
        """Make the dataset end after `rows`, which come right after the rows before them."""
        raw = rows.view(np.uint8).reshape(len(rows), -1)
        self._id.set_extent((at + len(rows),))
        while len(raw):
            begin, inside = at - at % len(self._chunk), at % len(self._chunk)
            part = raw[: len(self._chunk) - inside]
            self._chunk[inside : inside + len(part)] = part
            self._chunk[inside + len(part) :] = 0
            self._id.write_direct_chunk((begin,), self._chunk)
            at, raw = at + len(part), raw[len(part) :]


def _numbered(actions: np.ndarray | None, block: int) -> np.ndarray:
    rows = np.empty(0, ACTION_DTYPE) if actions is None else np.array(actions, ACTION_DTYPE)
    rows["block"] = block
    rows["row_crc"] = row_crcs(rows)
    return rows


def _without_cache(file: Any, name: str) -> Any:
    """Open a dataset anew: it must not be open yet, and SWMR mode be on, which would reset its cache."""
    access = h5py.h5p.create(h5py.h5p.DATASET_ACCESS)
    access.set_chunk_cache(1, 0, 1.0)
    return h5py.h5d.open(file.id, name.encode(), access)
