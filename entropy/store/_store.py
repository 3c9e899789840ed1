"""The store: a folder of buffers and the ledger of their bits."""

from __future__ import annotations

import contextlib
import functools
import itertools
import json
import logging
import os
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .._errors import NotEnoughBits, StoreError
from ..arguments import Count, Real, count, takes, text
from ..ledger._credits import Credit
from ..ledger._ledger import DELETED, Accounts, BufferRecord, OpenLease, TakenBits, writer_lock
from ..ledger._locks import is_free
from ..ledger._opening import check_stamp, look_at_ledger, open_ledger
from ..ledger._range_table import News
from ..ledger._ranges import Range
from ..ledger._requests import Request, Ticket, needed
from ._block_copies import BlockCopies
from ._lease import Lease, Places, Portion, Terms
from ._prune import PrunePolicy, PruneStep, carry_out, plan
from ._reservation import Reservation

if TYPE_CHECKING:  # and imported where it is used: a store is opened and listed without numpy and HDF5
    import numpy as np

    from ..buffer._reader import BlockCache, BufferReader, LoadedBlock
    from ..buffer._recording import Recording
    from ..conditioning import Conditioning
    from ._verify import VerifyReport

_log = logging.getLogger(__name__)

_OPEN_FILES = 64
_POLL = (0.001, 0.002, 0.005, 0.01)  # s between looks for new blocks, the last one for ever


@dataclass(frozen=True)
class BufferInfo:
    """One buffer of a store, as far as its committed blocks are known.

    `created`: ISO 8601, UTC; `complete`: its writer closed it properly; `live`: its writer is alive and may
    add blocks; `bits`: usable bits; `ones`: of them 1; `bytes`: in `/bits`; `place`: None in the store's folder,
    "deleted", or the path of the archived file; `min_entropy`: of a raw bit, by the lowest assessment, None where
    there was none.
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


class Store:
    """Opens or creates the store in the folder `path`; a context manager, safe to use from several threads.

    Opening it enters committed blocks that the ledger has not seen as free, and burns the leases of owners
    that are dead. Raises StoreError where the folder is no store (with `create=False`), lies on a network
    file system, or is found at another place than it was made for: see `adopt`.

    `read_only`: to look and to read recorded bits again, also on a read-only medium or a full disk. What is seen of
    the ledger is as it was at the opening; no file is made or changed, and what would change the store raises.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = True, read_only: bool = False) -> None:
        self.path = Path(path).absolute()
        self.read_only = read_only
        self._pid = os.getpid()
        self._mutex = threading.RLock()
        self._readers: OrderedDict[str, BufferReader] = OrderedDict()
        self._records: dict[str, BufferRecord] = {}
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()
        self._recordings: weakref.WeakSet[Recording] = weakref.WeakSet()
        self._reservations: weakref.WeakSet[Reservation] = weakref.WeakSet()
        self._unreadable: set[str] = set()
        self._closed = False
        self._ledger = look_at_ledger(self.path) if read_only else open_ledger(self.path, create=create)
        try:
            if not read_only or os.access(self.path, os.W_OK):  # a read-only medium may lie anywhere
                check_stamp(self.path, self._ledger)
            self.uuid = self._ledger.meta("uuid") or ""
            self._ledger.reap()
            self._ledger.clean_locks()
            self._follow()
        except BaseException:
            self.close()
            raise

    @functools.cached_property
    def _cache(self) -> BlockCache:
        from ..buffer._reader import BlockCache

        return BlockCache()

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
        for reservation in list(self._reservations):
            reservation.close()
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
        expected_bits: int | None = None,
        durable: float | None = 5.0,
        tuning: np.ndarray | None = None,
        conditions: Mapping[str, Any] | None = None,
        actions: bool = False,
    ) -> Recording:
        """Start a recording.

        `cells`: CELL_DTYPE, one for every position of one pulse; `bench` and `procedure`: JSON-able, kept as
        snapshots in every segment; `rotate_bytes`: size of `/bits` at which the next segment begins;
        `resistances`: how many raw readings to make room for in every segment; `expected_bits`: how many bits it
        will bring in all, on which reservations may build (None: it has no end); `durable`: at most so many seconds
        of it can be lost by a power cut (None: it is left to the operating system when blocks reach the disk).
        `tuning`: TUNING_DTYPE, one for each cell, and under which `conditions` (JSON-able), kept in every segment;
        `actions`: whether blocks may come with changes of the trims.
        """
        self._check_open()
        self._ledger.refuse_read_only()
        from ..buffer._recording import Recording

        recording = Recording(
            self.path, self._ledger, self._enter_finished, cells=cells, cells_per_pulse=cells_per_pulse,
            bench=bench, procedure=procedure, simulated=simulated, device=device, rotate_bytes=rotate_bytes,
            resistances=resistances, expected_bits=expected_bits, durable=durable,
            tuning=tuning, conditions=conditions, actions=actions,
        )  # fmt: skip
        self._recordings.add(recording)
        return recording

    @takes(bits=Count(1), purpose=text, wait=Real(0), min_entropy=Real(0, 1))
    def lease(
        self,
        bits: int,
        *,
        purpose: str,
        wait: float | None = None,
        withheld: bool = False,
        min_entropy: float | None = None,
        conditioning: Conditioning | str | None = None,
    ) -> Lease:
        """Take `bits` recorded bits that nobody else will ever read.

        `purpose` is kept in the ledger; `wait`: seconds to wait for recordings (running, or yet to start) to
        bring enough, in a queue with all others that wait: who asked first is served first, and who does not wait
        gets what the queue leaves. `withheld=True` takes withheld bits and only those. Ranges begin on bytes where
        possible. Raises NotEnoughBits, saying how many were to be had, once `wait` is over.

        `min_entropy` claims so much of every raw bit, and only bits of buffers whose assessments (`credit`) support
        that are taken; raises NotAssessed where there are too few. `conditioning`, or its name: what
        `Lease.read_conditioned` reads through, the store's own (`set_conditioning`) by default.
        """
        self._check_open()
        terms = Terms(withheld, min_entropy, _conditioning(conditioning) or self.conditioning)
        return self._take(bits, purpose, wait, terms=terms)

    @takes(first=Count(), last=Count(), purpose=text)
    def lease_blocks(self, buffer: str, first: int, last: int, *, purpose: str) -> Lease:
        """Take all bits of the blocks `first` to `last` (inclusive) of a buffer.

        Raises StoreError where there are no such blocks or not all of their bits are free.
        """
        record, at, bits = self._stretch(buffer, first, last)
        return self._lease_of(self._ledger.lease_exactly(record, at, bits, purpose), purpose, Terms())

    @takes(first=Count(), last=Count())
    def free_in_blocks(self, buffer: str, first: int, last: int) -> int:
        """Count the bits that `lease_blocks` would take; raises StoreError where it would."""
        record, at, bits = self._stretch(buffer, first, last)
        self._ledger.refuse_spent(record, at, bits)
        return bits

    def _stretch(self, buffer: str, first: int, last: int) -> tuple[BufferRecord, int, int]:
        """Find the first bit and the bits of the blocks `first` to `last` of a buffer."""
        self._check_open()
        self._follow()
        record = self._record(buffer)
        starts = self._ledger.first_bits(record.id)
        if not 0 <= first <= last < len(starts) - 1:
            raise StoreError(
                f"{record.file} has the blocks 0 to {len(starts) - 2}, so there is no range {first} to {last}"
            )
        at, end = int(starts[first]), int(starts[last + 1])
        if at == end:
            raise StoreError(f"blocks {first} to {last} of {record.file} hold no usable bit: choose others")
        return record, at, end - at

    @takes(bits=Count(1), purpose=text, min_entropy=Real(0, 1))
    def reserve(
        self,
        bits: int,
        *,
        purpose: str,
        live: bool = True,
        min_entropy: float | None = None,
        conditioning: Conditioning | str | None = None,
    ) -> Reservation:
        """Have `bits` bits promised, out of what is free and, if `live`, what running recordings will still bring.

        Says at once whether that can be met: raises NotEnoughBits where it cannot. A recording without an end
        is taken at its word. The bits are leased from the reservation, piece by piece. With `min_entropy` they must
        be free by now in buffers that were assessed so high (raises NotAssessed), and its leases claim it.
        `conditioning`: that of its leases, as of `lease`.
        """
        self._check_open()
        self._follow()
        terms = Terms(False, min_entropy, _conditioning(conditioning) or self.conditioning)
        ticket = self._ledger.reserve(bits, purpose, self._ledger.expected() if live else 0, min_entropy)
        take = functools.partial(self._take, terms=terms)
        reservation = Reservation(self._ledger, take, ticket, bits, purpose)
        self._reservations.add(reservation)
        return reservation

    def requests(self) -> list[Request]:
        """List who waits for bits and who was promised some, in the order in which they are served."""
        self._check_open()
        return self._ledger.requests()

    def leases(self) -> list[OpenLease]:
        """List the leases that their owners have not left."""
        self._check_open()
        self._ledger.reap()
        return self._ledger.open_leases()

    def burned(self, purpose: str) -> list[Range]:
        """Say where the bits are that the last lease for `purpose` burned; none where it was left normally.

        For a program that takes a lease for each piece of work under a name of its own, and is killed in the middle
        of one: `recorded` reads the same bits again, so that the piece comes out as it would have. They stay burned.
        """
        self._check_open()
        self._ledger.reap()
        return self._ledger.burned(purpose)

    def free_stretches(self) -> list[Range]:
        """Give the longest free stretch of each buffer that has one, and whose file is in the store."""
        self._check_open()
        self._follow()
        return self._ledger.free_stretches()

    def backlog(self) -> tuple[int, int]:
        """Give the free bits, and how many must be free for everybody who waits to be served.

        What a recorder looks at that runs ahead of its consumers; costs the same however long the store is.
        """
        self._check_open()
        self._ledger.reap()
        self._follow()
        return self._ledger.free(), needed(self._ledger.requests())

    def _take(
        self,
        bits: int,
        purpose: str,
        wait: float | None,
        ticket: Ticket | None = None,
        *,
        terms: Terms,
    ) -> Lease:
        self._check_open()
        try:
            taken = self._lease_now(bits, purpose, self._news(), ticket, terms)
        except NotEnoughBits:
            self._follow()  # what is there was rolled back with the lease
            if not wait:
                raise
            taken = self._wait_for(bits, purpose, time.monotonic() + wait, ticket, terms)
        return self._lease_of(taken, purpose, terms)

    def _lease_now(
        self, bits: int, purpose: str, news: list[News], ticket: Ticket | None, terms: Terms
    ) -> TakenBits:
        return self._ledger.lease(
            bits, purpose, terms.withheld, news=news, ticket=ticket, min_entropy=terms.min_entropy
        )

    def _wait_for(
        self, bits: int, purpose: str, deadline: float, ticket: Ticket | None, terms: Terms
    ) -> TakenBits:
        own = ticket or self._ledger.wait_in_line(bits, purpose)
        try:
            if ticket is not None:
                self._ledger.set_waiting(ticket, bits)
            _log.info(
                "waiting for %s bits for %r: %s are free", f"{bits:,}", purpose, f"{self._ledger.free():,}"
            )
            for pause in _pauses():
                left = deadline - time.monotonic()
                time.sleep(max(min(left, pause), 0))
                news = self._news()
                fresh = sum(item.fresh_bits for item in news)
                if (
                    left <= 0
                    or terms.withheld
                    or self._ledger.might_serve(bits - fresh, own, terms.min_entropy)
                ):
                    try:
                        return self._lease_now(bits, purpose, news, own, terms)
                    except NotEnoughBits:
                        if left <= 0:
                            raise
                self._ledger.enter(news)
            raise AssertionError("the loop has no end")
        finally:
            if ticket is None:
                self._ledger.withdraw(own)
                own.lock.release(remove=True)
            else:
                self._ledger.set_waiting(ticket, 0)

    def _lease_of(self, taken: TakenBits, purpose: str, terms: Terms) -> Lease:
        load = functools.partial(self._load_leased, BlockCopies(self._ledger))
        lease = Lease(self._ledger, load, taken, purpose=purpose, terms=terms)
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
        assessed = self._ledger.assessed()
        return [self._info(record, assessed.get(record.id)) for record in self._ledger.buffers()]

    def rows(self, buffer: str) -> np.ndarray:
        """Give the committed block rows of a buffer; BLOCK_DTYPE, (blocks,)."""
        return self._reader(buffer, fresh=True).rows.copy()

    def cells(self, buffer: str) -> np.ndarray:
        """Give what was known of each cell; CELL_DTYPE, (cells per pulse,)."""
        return self._reader(buffer).cells()

    def tuning(self, buffer: str) -> tuple[np.ndarray, dict[str, Any]] | None:
        """Give what the cells were tuned to, TUNING_DTYPE (cells per pulse,), and under which conditions.

        None where the buffer was recorded without a tuning.
        """
        cells = self._reader(buffer).tuning()
        return None if cells is None else (cells, self._snapshot(buffer, "tuning"))

    def actions(self, buffer: str) -> np.ndarray:
        """Give the changes of the trims on the way; ACTION_DTYPE, each with the first block made with it.

        A trim at a block is that of the tuning (without one, of `cells`) plus all changes of blocks up to it.
        """
        return self._reader(buffer, fresh=True).actions()

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
        return self._reader(buffer, fresh=True).resistances()

    @takes(index=Count())
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
        places = Places(taken, self._load_at)
        return Portion(places, 0, places.bits)

    @takes(min_entropy=Real(0, 1), bits=Count(1), basis=text)
    def credit(self, buffer: str, min_entropy: float, *, bits: int, basis: str) -> None:
        """Note in the ledger that an assessment found `min_entropy` (0 to 1) in a raw bit of a buffer.

        `bits`: over how many; `basis`: by what, in a sentence. It speaks for the whole buffer, until a lower one.
        """
        self._check_open()
        self._ledger.assess(self._record(buffer).id, min_entropy, bits, basis)

    def credits(self) -> list[Credit]:
        """List all assessments in the order of their making; the lowest of a buffer is what counts."""
        self._check_open()
        return self._ledger.credits()

    @property
    def conditioning(self) -> Conditioning | None:
        """What leases are read through where they do not say; None where nobody has chosen for this store."""
        name = self._ledger.meta("conditioning")
        try:
            return _conditioning(name or None)
        except StoreError as error:
            raise StoreError(
                f"{self._ledger.path} names no conditioning ({error}): choose one by 'memtj store conditioning'"
            ) from None

    def set_conditioning(self, conditioning: Conditioning | str | None) -> None:
        """Choose what leases are read through where they do not say, by its name too; None: nothing is chosen."""
        self._check_open()
        chosen = _conditioning(conditioning)
        self._ledger.set_meta(conditioning="" if chosen is None else chosen.name)

    @takes(first=Count(), bits=Count(), verdict=text)
    def withhold(self, buffer: str, first: int, bits: int, *, verdict: str) -> int:
        """Withhold the free bits of a range from ordinary leases; returns how many there were.

        `verdict` says why and is kept in the ledger.
        """
        self._check_open()
        self._follow()
        return self._ledger.withhold(self._record(buffer).id, first, bits, verdict)

    @takes(first=Count(), bits=Count(), verdict=text)
    def release(self, buffer: str, first: int, bits: int, *, verdict: str) -> int:
        """Make the withheld bits of a range free again, as `withhold` undone; returns how many there were."""
        self._check_open()
        return self._ledger.release(self._record(buffer).id, first, bits, verdict)

    def prune(
        self, policy: PrunePolicy, *, archive: str | os.PathLike[str] | None = None, dry_run: bool = True
    ) -> list[PruneStep]:
        """Delete the files of buffers whose bits are spent, or move them to the folder `archive`.

        With `dry_run` it only says what would go. The ledger keeps the rows and accounts of what goes; archived
        buffers can still be read for replay, as long as they stay where they are. Raises StoreError where a file
        cannot be copied or removed.
        """
        self._check_open()
        self._ledger.reap()
        self._follow()
        steps = plan(self.path, self._ledger, policy)
        if dry_run:
            return steps
        self._ledger.refuse_read_only()
        place = None if archive is None else Path(archive)
        from ._anew import alone

        with alone(self.path):
            for number, step in enumerate(steps):
                if not step.keep:
                    with self._mutex:
                        self._forget_reader(step.buffer)
                        self._records.clear()
                    steps[number] = carry_out(self.path, self._ledger, step, policy, place)
        return steps

    def verify(self, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
        """Read every block and hold it against its row and the ledger.

        `progress(done, total)` is called in bytes.
        """
        self._check_open()
        self._ledger.reap()
        self._follow()
        from ._verify import verify

        return verify(self.path, self._ledger, progress)

    # --- following the buffers

    def follow(self, recording: str | None = None) -> Iterator[FollowedBlock]:
        """Give every committed block once, in order, and wait for more as long as a writer lives.

        Of one recording, or of all that the store has by now. Reads without accounting, for those who watch:
        leases hand bits out. Raises StoreError, naming file and block, where one is damaged.
        """
        given: dict[str, int] = {}
        pauses = iter(_pauses())
        while True:
            live = self._any_writer_lives(recording)  # asked first: then no block is missed
            fresh = False
            for record in self._recorded(recording):
                for block in self._blocks_from(record, given.get(record.uuid, 0)):
                    given[record.uuid] = block.index + 1
                    fresh = True
                    yield block
            if fresh:
                pauses = iter(_pauses())
            elif not live:
                return
            else:
                self._follow()
                time.sleep(next(pauses))

    def _recorded(self, recording: str | None) -> list[BufferRecord]:
        self._check_open()
        records = [item for item in self._ledger.buffers() if recording in (None, item.recording)]
        if recording is not None and not records:
            raise StoreError(f"the store {self.path} has no recording {recording}: see 'memtj store ls'")
        return [item for item in records if item.place is None]

    def _any_writer_lives(self, recording: str | None) -> bool:
        names = {item.recording for item in self._recorded(recording)}
        return any(not is_free(writer_lock(self._ledger.locks, name)) for name in names)

    def _blocks_from(self, record: BufferRecord, index: int) -> Iterator[FollowedBlock]:
        if record.ended and index >= record.blocks:
            return
        with self._mutex:
            reader = self._reader(record.uuid, fresh=True, record=record)
            until = len(reader.rows)
        for at in range(index, until):
            with self._mutex:
                reader = self._reader(record.uuid, record=record)
                block, row = reader.load(at, record.uuid), reader.rows[at]
            yield FollowedBlock(record.uuid, at, row, block.data, block.valid)

    def _follow(self) -> None:
        """Enter the blocks that were committed since the ledger last heard of their buffers."""
        self._ledger.enter(self._news())

    def _news(self) -> list[News]:
        """Look for blocks that were committed since the ledger last heard of their buffers."""
        news: list[News] = []
        for record in self._ledger.buffers(following=True):
            # asked first: then no row is missed
            ended = is_free(writer_lock(self._ledger.locks, record.recording))
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
                news.append(News(record.id, rows, ended, complete, record.blocks))
        return news

    def _enter_finished(self, buffer: str) -> None:
        """Enter the rows of a buffer that a recording of this store has just closed."""
        record = self._record(buffer)
        with self._mutex:
            self._forget_reader(buffer)
        from ..buffer._reader import BufferReader

        reader = BufferReader(self.path / record.file, buffer)
        try:
            self._ledger.enter([News(record.id, reader.rows, True, reader.complete)])
        finally:
            reader.close()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError(f"the store {self.path} is closed: open it again")
        if self._pid != os.getpid():
            raise StoreError(
                f"the store {self.path} was opened by the parent process: close it before forking, or start this "
                "process anew (the start method 'spawn') and open it here"
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
                reader = self._open_reader(record or self._record(buffer))
                self._readers[buffer] = reader
                while len(self._readers) > _OPEN_FILES:
                    self._readers.popitem(last=False)[1].close()
            else:
                self._readers.move_to_end(buffer)
                if fresh:
                    reader.refresh()
            return reader

    def _open_reader(self, record: BufferRecord) -> BufferReader:
        path = self._path_of(record)
        if not path.exists():  # pruned meanwhile by another process?
            self._records.clear()
            path = self._path_of(self._record(record.uuid))
        from ..buffer._reader import BufferReader

        return BufferReader(path, record.uuid)

    def _path_of(self, record: BufferRecord) -> Path:
        if record.place == DELETED:
            raise StoreError(
                f"{record.file} was deleted by 'memtj store prune' after its bits were spent: they cannot be read again"
            )
        if record.place is not None:
            return Path(record.place)
        if os.path.basename(record.file) != record.file:
            raise StoreError(f"{self._ledger.path} names {record.file!r}, outside the store: restore it")
        return self.path / record.file

    def _forget_reader(self, buffer: str) -> None:
        reader = self._readers.pop(buffer, None)
        if reader is not None:
            reader.close()

    def _find(self, buffer: str, bit: int) -> tuple[BufferReader, int]:
        """Find the block that holds a usable bit of a buffer: its reader and its index."""
        reader = self._reader(buffer)
        if bit >= int(reader.starts[-1]):
            reader.refresh()
        if not 0 <= bit < int(reader.starts[-1]):
            raise StoreError(
                f"{reader.path} has {int(reader.starts[-1]):,} committed bits, so bit {bit:,} is not there: "
                "verify the store"
            )
        return reader, int(reader.starts.searchsorted(bit, side="right")) - 1

    def _load_at(self, buffer: str, bit: int, bits: int = 0) -> LoadedBlock:
        """Load the block that holds a usable bit of a buffer, for a reader of `bits` bits from there on.

        A block that one reader reads from end to end is not kept for others, so that the memory of the block before is
        used again, while it is still in the processor's cache.
        """
        with self._mutex:
            reader, index = self._find(buffer, bit)
            block = self._cache.get(buffer, index)
            if block is None:
                block = reader.load(index, buffer)
                self._cache.put(block, keep=bit > block.first_bit or bits < block.bits)
            return block

    def _load_leased(self, copies: BlockCopies, buffer: str, bit: int, bits: int) -> LoadedBlock:
        """Load a block for a lease; what is damaged is withheld, so that it does not spoil the next lease too."""
        try:
            block = self._load_at(buffer, bit, bits)
            self._check_copy(block, copies)
        except StoreError as error:
            with contextlib.suppress(StoreError):
                self._withhold_damaged(buffer, bit, str(error))
            raise
        return block

    def _check_copy(self, block: LoadedBlock, copies: BlockCopies) -> None:
        """Raise StoreError where a block is not the one that the ledger has entered under its number."""
        reader, record = self._reader(block.buffer), self._record(block.buffer)
        row = reader.rows[block.index]
        found = (int(row["first_byte"]), int(row["bits"]), int(row["ones"]), int(row["crc"]))
        if copies.of(record.id, block.index) != found:
            raise StoreError(
                f"{reader.path}: block {block.index} is another one than the ledger has entered; restore the file from "
                "a copy"
            )

    def _withhold_damaged(self, buffer: str, bit: int, verdict: str) -> None:
        record = self._record(buffer)
        with self._mutex:
            try:
                reader, index = self._find(buffer, bit)
                first, end = int(reader.starts[index]), int(reader.starts[index + 1])
            except StoreError:  # its row is damaged, so nothing after it can be found
                first, end = int(self._reader(buffer).starts[-1]), record.bits
        self._ledger.withhold(record.id, first, end - first, verdict)

    def _snapshot(self, buffer: str, name: str) -> dict[str, Any]:
        reader = self._reader(buffer)
        try:
            return json.loads(reader.text(name))
        except ValueError:
            raise StoreError(f"{reader.path}: its {name} snapshot cannot be read; restore the file") from None

    def _info(self, record: BufferRecord, min_entropy: float | None) -> BufferInfo:
        live = not record.ended and not is_free(writer_lock(self._ledger.locks, record.recording))
        return BufferInfo(
            uuid=record.uuid,
            path=Path(record.place) if record.place not in (None, DELETED) else self.path / record.file,
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
            place=record.place,
            min_entropy=min_entropy,
        )


def _conditioning(chosen: Conditioning | str | None) -> Conditioning | None:
    if not isinstance(chosen, str):
        return chosen
    from ..conditioning import conditioning_from_name

    return conditioning_from_name(chosen)


def _pauses() -> Iterator[float]:
    """Give the seconds between looks for something new: short ones at first."""
    return itertools.chain(_POLL, itertools.repeat(_POLL[-1]))
