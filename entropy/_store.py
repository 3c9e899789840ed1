"""The store: a folder of buffers and the ledger of their bits."""

import contextlib
import json
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from ._errors import NotEnoughBits, StoreError
from ._lease import Lease, Piece, gather
from ._ledger import Accounts, BufferRecord, Ledger, writer_lock
from ._locks import FileLock, is_free
from ._reader import BlockCache, BufferReader, LoadedBlock
from ._recording import Recording
from ._site import machine_id, real_path, refuse_network
from ._verify import VerifyReport, verify

_log = logging.getLogger(__name__)

_OPEN_FILES = 64
_POLL = (0.01, 0.02, 0.05, 0.1)  # s between looks for new blocks, the last one for ever


@dataclass(frozen=True)
class BufferInfo:
    """One buffer of a store, as far as its committed blocks are known.

    `created`: ISO 8601, UTC; `complete`: its writer closed it properly; `live`: its writer is alive and may
    add blocks; `bits`: usable bits; `ones`: of them 1; `bytes`: in `/bits`.
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


class Store:
    """Opens or creates the store in the folder `path`; a context manager, safe to use from several threads.

    Opening it enters committed blocks that the ledger has not seen as free, and burns the leases of owners
    that are dead. Raises StoreError where the folder is no store (with `create=False`), lies on a network
    file system, or is found at another place than it was made for: see `adopt`.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True) -> None:
        self.path = Path(path).absolute()
        self._pid = os.getpid()
        self._mutex = threading.RLock()
        self._cache = BlockCache()
        self._readers: OrderedDict[str, BufferReader] = OrderedDict()
        self._records: dict[str, BufferRecord] = {}
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._recordings: weakref.WeakSet[Recording] = weakref.WeakSet()
        self._unreadable: set[str] = set()
        self._closed = False
        self._ledger = open_ledger(self.path, create=create)
        try:
            _check_stamp(self.path, self._ledger)
            self.uuid = self._ledger.meta("uuid") or ""
            self._ledger.reap()
            self._ledger.clean_locks()
            self._follow()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the store; leases that are still open are burned, recordings closed."""
        if self._closed:
            return
        self._closed = True
        if self._pid != os.getpid():
            return
        for recording in list(self._recordings):
            recording.close()
        for lease in list(self._leases):
            lease.burn()
        for reader in self._readers.values():
            reader.close()
        self._ledger.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def record(
        self,
        *,
        cells: np.ndarray,
        cells_per_pulse: int,
        bench: Mapping[str, Any],
        procedure: Mapping[str, Any],
        simulated: bool,
        device: str = "",
        rotate_bytes: int = 2**30,
        resistances: int = 0,
    ) -> Recording:
        """Start a recording.

        `cells`: CELL_DTYPE, one for every position of one pulse; `bench` and `procedure`: JSON-able, kept as
        snapshots in every segment; `rotate_bytes`: size of `/bits` at which the next segment begins;
        `resistances`: how many raw readings to make room for in every segment.
        """
        self._check_open()
        recording = Recording(
            self.path, self._ledger, self._enter_finished, cells=cells, cells_per_pulse=cells_per_pulse,
            bench=bench, procedure=procedure, simulated=simulated, device=device, rotate_bytes=rotate_bytes,
            resistances=resistances,
        )  # fmt: skip
        self._recordings.add(recording)
        return recording

    def lease(self, bits: int, *, purpose: str, wait: float | None = None, withheld: bool = False) -> Lease:
        """Take `bits` bits that nobody else will ever read.

        `purpose` is kept in the ledger; `wait`: seconds to wait for recordings (running, or yet to start) to
        bring enough; `withheld=True` takes withheld bits and only those. Ranges begin on bytes where
        possible. Raises NotEnoughBits, saying how many were free, once `wait` is over.
        """
        if bits < 1:
            raise ValueError("a lease has at least one bit")
        self._check_open()
        deadline = time.monotonic() + (wait or 0.0)
        turn = 0
        taken = None
        while taken is None:
            self._follow()
            try:
                taken = self._ledger.lease(bits, purpose, withheld)
            except NotEnoughBits:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise
                time.sleep(min(left, _POLL[min(turn, len(_POLL) - 1)]))
                turn += 1
        lease = Lease(self._ledger, self._load_at, taken, purpose=purpose, withheld=withheld)
        self._leases.add(lease)
        return lease

    def accounts(self) -> Accounts:
        """Say where every recorded bit is, after seeing what was recorded and who died by now."""
        self._check_open()
        self._ledger.reap()
        self._follow()
        return self._ledger.accounts()

    def buffers(self) -> list[BufferInfo]:
        """List the buffers in the order in which they were begun, live ones as they are by now."""
        self._check_open()
        self._follow()
        return [self._info(record) for record in self._ledger.buffers()]

    def rows(self, buffer: str) -> np.ndarray:
        """Give the committed block rows of a buffer; BLOCK_DTYPE, (blocks,)."""
        return self._reader(buffer, fresh=True).rows.copy()

    def cells(self, buffer: str) -> np.ndarray:
        """Give what was known of each cell; CELL_DTYPE, (cells per pulse,)."""
        return self._reader(buffer).cells()

    def bench(self, buffer: str) -> dict[str, Any]:
        """Give the snapshot of the bench that a buffer was recorded with."""
        return self._snapshot(buffer, "bench")

    def procedure(self, buffer: str) -> dict[str, Any]:
        """Give the parameters of the procedure that recorded a buffer."""
        return self._snapshot(buffer, "procedure")

    def resistances(self, buffer: str) -> np.ndarray:
        """Give a buffer's sample of raw readings; float32, ohm; inf where one was over the scale."""
        return self._reader(buffer, fresh=True).resistances()

    def read_block(self, buffer: str, index: int) -> tuple[np.ndarray, np.ndarray | None]:
        """Read one block, its CRC checked, without accounting.

        Returns its packed usable bits and the packed mask over its positions (None: all usable), both uint8.
        Raises StoreError naming file and block where it is damaged.
        """
        reader = self._reader(buffer)
        if index >= len(reader.rows):
            reader.refresh()
        block = reader.load(index)
        return block.data, block.valid

    def read(self, ranges: Iterable[tuple[str, int, int]]) -> np.ndarray:
        """Read the bits of (buffer uuid, first usable bit, bits) again, for replay; does no accounting.

        Returns packed uint8, padded with zeros. Raises StoreError where a range is not there or is damaged.
        """
        pieces: list[Piece] = []
        total = 0
        for buffer, first, bits in ranges:
            total += bits
            while bits:
                block = self._load_at(buffer, first)
                inside = first - block.first_bit
                count = min(bits, block.bits - inside)
                pieces.append((block, inside, count))
                first, bits = first + count, bits - count
        return gather(pieces, total)

    def withhold(self, buffer: str, first: int, bits: int, *, verdict: str) -> int:
        """Withhold the free bits of a range from ordinary leases; returns how many there were.

        `verdict` says why and is kept in the ledger.
        """
        self._check_open()
        self._follow()
        return self._ledger.withhold(self._record(buffer).id, first, bits, verdict)

    def verify(self, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
        """Read every block and hold it against its row and the ledger.

        `progress(done, total)` is called in bytes.
        """
        self._check_open()
        self._ledger.reap()
        self._follow()
        return verify(self.path, self._ledger, progress)

    # --- following the buffers

    def _follow(self) -> None:
        """Enter the blocks that were committed since the ledger last heard of their buffers."""
        for record in self._ledger.buffers(following=True):
            ended = is_free(
                writer_lock(self._ledger.locks, record.recording)
            )  # asked first: then no row is missed
            try:
                with self._mutex:
                    if ended:
                        self._forget_reader(record.uuid)  # so that `complete` is read anew
                    reader = self._reader(record.uuid, fresh=True, record=record)
                    rows, complete = reader.rows, ended and reader.complete
            except StoreError as error:
                if record.uuid not in self._unreadable:
                    self._unreadable.add(record.uuid)
                    _log.warning("new blocks cannot be seen: %s", error)
                continue
            if len(rows) > record.blocks or ended:
                self._ledger.enter(record.id, rows, ended=ended, complete=complete)
            if ended:  # a killed writer could not remove it
                with contextlib.suppress(OSError):
                    writer_lock(self._ledger.locks, record.recording).unlink(missing_ok=True)

    def _enter_finished(self, buffer: str) -> None:
        """Enter the rows of a buffer that a recording of this store has just closed."""
        record = self._record(buffer)
        with self._mutex:
            self._forget_reader(buffer)
        reader = BufferReader(self.path / record.file)
        try:
            self._ledger.enter(record.id, reader.rows, ended=True, complete=reader.complete)
        finally:
            reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store {self.path} is closed: open it again")
        if self._pid != os.getpid():
            raise StoreError(
                f"the store {self.path} was opened by the parent process: open it again in this one"
            )

    def _record(self, buffer: str) -> BufferRecord:
        record = self._records.get(buffer)
        if record is None:
            self._records = {item.uuid: item for item in self._ledger.buffers()}
            record = self._records.get(buffer)
        if record is None:
            raise StoreError(f"the store {self.path} has no buffer {buffer}: was it recorded elsewhere?")
        return record

    def _reader(
        self, buffer: str, *, fresh: bool = False, record: BufferRecord | None = None
    ) -> BufferReader:
        self._check_open()
        with self._mutex:
            reader = self._readers.get(buffer)
            if reader is None:
                record = record or self._record(buffer)
                if os.path.basename(record.file) != record.file:
                    raise StoreError(
                        f"{self._ledger.path} names {record.file!r}, outside the store: restore it"
                    )
                reader = BufferReader(self.path / record.file)
                self._readers[buffer] = reader
                while len(self._readers) > _OPEN_FILES:
                    self._readers.popitem(last=False)[1].close()
            else:
                self._readers.move_to_end(buffer)
                if fresh:
                    reader.refresh()
            return reader

    def _forget_reader(self, buffer: str) -> None:
        reader = self._readers.pop(buffer, None)
        if reader is not None:
            reader.close()

    def _load_at(self, buffer: str, bit: int) -> LoadedBlock:
        """Load the block that holds a usable bit of a buffer."""
        with self._mutex:
            reader = self._reader(buffer)
            if bit >= int(reader.starts[-1]):
                reader.refresh()
            if not 0 <= bit < int(reader.starts[-1]):
                raise StoreError(
                    f"{reader.path} has {int(reader.starts[-1]):,} committed bits, so bit {bit:,} is not "
                    "there"
                )
            index = int(np.searchsorted(reader.starts, bit, side="right")) - 1
            block = self._cache.get(buffer, index)
            if block is None:
                block = reader.load(index, buffer)
                self._cache.put(block)
            return block

    def _snapshot(self, buffer: str, name: str) -> dict[str, Any]:
        reader = self._reader(buffer)
        try:
            return json.loads(reader.text(name))
        except ValueError:
            raise StoreError(f"{reader.path}: its {name} snapshot cannot be read; restore the file") from None

    def _info(self, record: BufferRecord) -> BufferInfo:
        live = not record.ended and not is_free(writer_lock(self._ledger.locks, record.recording))
        return BufferInfo(
            uuid=record.uuid,
            path=self.path / record.file,
            recording=record.recording,
            segment=record.segment,
            created=record.created,
            complete=bool(record.complete),
            live=live,
            simulated=bool(record.simulated),
            blocks=record.blocks,
            bits=record.bits,
            ones=record.ones,
            bytes=record.bytes,
            conditioning=record.conditioning,
        )


def adopt(path: str | os.PathLike[str], *, moved: bool) -> None:
    """Make a store that is found at another place than it was made for usable here.

    `moved=True`: the old place is gone, so free bits stay free. `moved=False`: this is a copy, so its free
    and withheld bits are burned here, since two copies would hand out the same ones.
    """
    folder = Path(path).absolute()
    ledger = open_ledger(folder, create=False)
    try:
        if moved:
            ledger.set_meta(**_stamp(folder))
        else:
            rows = {record.id: _all_rows(folder / record.file) for record in ledger.buffers(following=True)}
            ledger.become_a_copy(rows, _stamp(folder))
    finally:
        ledger.close()


def _all_rows(path: Path) -> np.ndarray:
    reader = BufferReader(path)
    try:
        return reader.rows
    finally:
        reader.close()


def open_ledger(folder: Path, *, create: bool) -> Ledger:
    """Open the ledger of a store's folder, making both where they are missing and `create` allows it."""
    there = (folder / "ledger.sqlite").is_file()
    if not there and not create:
        raise StoreError(f"{folder} is no store (it has no ledger.sqlite): give the folder of one")
    try:
        refuse_network(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "locks").mkdir(exist_ok=True)
        lock = FileLock(folder / "locks" / "open.lock")
    except OSError as error:
        raise StoreError(f"{folder} cannot be used as a store: {error.strerror}; check the path") from None
    try:
        there = (folder / "ledger.sqlite").is_file()
        if not there and any(folder.glob("*.h5")):
            raise StoreError(
                f"{folder} holds buffers but no ledger.sqlite, so it is not known which bits are spent: "
                "restore the ledger, or choose another folder"
            )
        ledger = Ledger(folder)
        try:
            ledger.prepare()
            if not there:
                ledger.set_meta(**_stamp(folder))
        except BaseException:
            ledger.close()
            raise
        return ledger
    finally:
        lock.release()


def _stamp(folder: Path) -> dict[str, str]:
    return {"machine": machine_id(), "path": real_path(folder)}


def _check_stamp(folder: Path, ledger: Ledger) -> None:
    here = _stamp(folder)
    machine, path = ledger.meta("machine"), ledger.meta("path")
    if {"machine": machine, "path": path} != here:
        where = f"at {path}" if machine == here["machine"] else f"at {path} on another computer"
        raise StoreError(
            f"the store {folder} was made {where}: say whether it was moved or copied here, by "
            "`memtj store adopt PATH --moved` (the old one is gone) or `--copied` (free bits are burned here), "
            f"in Python entropy.adopt({str(folder)!r}, moved=True or False)"
        )
