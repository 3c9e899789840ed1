"""The store: a folder of buffers and the ledger of their bits."""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Self

from .._errors import StoreError
from ..arguments import Count, Real, takes, text
from ..ledger import Accounts, BufferRecord, Credit, Ledger, OpenLease, Range, Request, needed
from ..ledger._opening import check_stamp, look_at_ledger, open_ledger
from ._catalogue import Catalogue
from ._lease import Lease, LeaseTerms
from ._leasing import Leasing
from ._open_files import OpenFiles
from ._prune import PrunePolicy, PruneStep, plan, prune
from ._reservation import Reservation

if TYPE_CHECKING:  # and imported where it is used: a store is opened and listed without numpy and HDF5
    from ..buffer._recording import Recording
    from ..buffer._recording_plan import RecordingPlan
    from ..conditioning import Conditioning
    from ._verify import VerifyReport


class Store(Catalogue):
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
        ledger = look_at_ledger(self.path) if read_only else open_ledger(self.path, create=create)
        super().__init__(OpenFiles(self.path, ledger))
        self._leasing = Leasing(self._files, self._following)
        self._recordings: weakref.WeakSet[Recording] = weakref.WeakSet()
        self._reservations: weakref.WeakSet[Reservation] = weakref.WeakSet()
        try:
            if not read_only or os.access(self.path, os.W_OK):  # a read-only medium may lie anywhere
                check_stamp(self.path, ledger)
            self.uuid = ledger.meta("uuid") or ""
            self._following.catch_up()
            ledger.liveness.sweep()
        except BaseException:
            self.close()
            raise

    @property
    def _ledger(self) -> Ledger:
        return self._files.ledger

    def close(self) -> None:
        """Close the store; leases that are still open are burned, recordings closed."""
        if not self._files.shut():
            return
        for recording in list(self._recordings):
            recording.close()
        self._leasing.close()
        for reservation in list(self._reservations):
            reservation.close()
        self._files.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def record(self, plan: RecordingPlan) -> Recording:
        """Start a recording; leave it, as a context manager, when its last block is there."""
        ledger = self._ledger
        ledger.refuse_read_only()
        from ..buffer._recording import Recording

        recording = Recording(self.path, ledger, self._following.add_finished, plan)
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
        terms = LeaseTerms(purpose, withheld, min_entropy, self._chosen(conditioning))
        return self._leasing.take(bits, terms, wait)

    @takes(first=Count(), last=Count(), purpose=text)
    def lease_blocks(self, buffer: str, first: int, last: int, *, purpose: str) -> Lease:
        """Take all bits of the blocks `first` to `last` (inclusive) of a buffer.

        Raises StoreError where there are no such blocks or not all of their bits are free.
        """
        record, at, bits = self._stretch(buffer, first, last)
        taken = self._ledger.lease_exactly(record, at, bits, purpose)
        return self._leasing.lease_of(taken, LeaseTerms(purpose))

    @takes(first=Count(), last=Count())
    def free_in_blocks(self, buffer: str, first: int, last: int) -> int:
        """Count the bits that `lease_blocks` would take; raises StoreError where it would."""
        record, at, bits = self._stretch(buffer, first, last)
        self._ledger.refuse_spent(record, at, bits)
        return bits

    def _stretch(self, buffer: str, first: int, last: int) -> tuple[BufferRecord, int, int]:
        """Find the first bit and the bits of the blocks `first` to `last` of a buffer."""
        ledger = self._following.catch_up()
        record = self._files.record(buffer)
        stretch = ledger.stretch(record.id, first, last)
        if stretch is None:
            count = len(ledger.block_copies(record.id))
            raise StoreError(
                f"{record.file} has the blocks 0 to {count - 1}, so there is no range {first} to {last}"
            )
        if not stretch[1]:
            raise StoreError(f"blocks {first} to {last} of {record.file} hold no usable bit: choose others")
        return record, *stretch

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
        terms = LeaseTerms(purpose, False, min_entropy, self._chosen(conditioning))
        ledger = self._following.catch_up()
        ticket = ledger.reserve(bits, purpose, ledger.expected() if live else 0, min_entropy)
        reservation = Reservation(ledger, self._leasing, ticket, bits, terms)
        self._reservations.add(reservation)
        return reservation

    def requests(self) -> list[Request]:
        """List who waits for bits and who was promised some, in the order in which they are served."""
        return self._ledger.requests()

    def leases(self) -> list[OpenLease]:
        """List the leases that their owners have not left."""
        return self._following.catch_up().open_leases()

    def burned(self, purpose: str) -> list[Range]:
        """Say where the bits are that the last lease for `purpose` burned; none where it was left normally.

        For a program that takes a lease for each piece of work under a name of its own, and is killed in the middle
        of one: `recorded` reads the same bits again, so that the piece comes out as it would have. They stay burned.
        """
        return self._following.catch_up().burned(purpose)

    def free_stretches(self) -> list[Range]:
        """Give the longest free stretch of each buffer that has one, and whose file is in the store."""
        return self._following.catch_up().free_stretches()

    def backlog(self) -> tuple[int, int]:
        """Give the free bits, and how many must be free for everybody who waits to be served.

        What a recorder looks at that runs ahead of its consumers; costs the same however long the store is.
        """
        ledger = self._following.catch_up()
        return ledger.free(), needed(ledger.requests())

    def accounts(self) -> Accounts:
        """Say where every recorded bit is, after seeing what was recorded and who died by now."""
        return self._following.catch_up().accounts()

    @takes(min_entropy=Real(0, 1), bits=Count(1), basis=text)
    def credit(self, buffer: str, min_entropy: float, *, bits: int, basis: str) -> None:
        """Note in the ledger that an assessment found `min_entropy` (0 to 1) in a raw bit of a buffer.

        `bits`: over how many; `basis`: by what, in a sentence. It speaks for the whole buffer, until a lower one.
        """
        self._ledger.assess(self._files.record(buffer).id, min_entropy, bits, basis)

    def credits(self) -> list[Credit]:
        """List all assessments in the order of their making; the lowest of a buffer is what counts."""
        return self._ledger.credits()

    @property
    def conditioning(self) -> Conditioning | None:
        """What leases are read through where they do not say; None where nobody has chosen for this store."""
        name = self._ledger.meta("conditioning")
        try:
            return _conditioning(name) if name else None
        except StoreError as error:
            raise StoreError(
                f"{self._ledger.path} names no conditioning ({error}): choose one by 'memtj store conditioning'"
            ) from None

    def set_conditioning(self, conditioning: Conditioning | str | None) -> None:
        """Choose what leases are read through where they do not say, by its name too; None: nothing is chosen."""
        chosen = None if conditioning is None else _conditioning(conditioning)
        self._ledger.set_meta(conditioning="" if chosen is None else chosen.name)

    def _chosen(self, conditioning: Conditioning | str | None) -> Conditioning | None:
        return self.conditioning if conditioning is None else _conditioning(conditioning)

    @takes(first=Count(), bits=Count(), verdict=text)
    def withhold(self, buffer: str, first: int, bits: int, *, verdict: str) -> int:
        """Withhold the free bits of a range from ordinary leases; returns how many there were.

        `verdict` says why and is kept in the ledger.
        """
        return self._following.catch_up().withhold(self._files.record(buffer).id, first, bits, verdict)

    @takes(first=Count(), bits=Count(), verdict=text)
    def release(self, buffer: str, first: int, bits: int, *, verdict: str) -> int:
        """Make the withheld bits of a range free again, as `withhold` undone; returns how many there were."""
        return self._ledger.release(self._files.record(buffer).id, first, bits, verdict)

    def prune(
        self, policy: PrunePolicy, *, archive: str | os.PathLike[str] | None = None, dry_run: bool = True
    ) -> list[PruneStep]:
        """Delete the files of buffers whose bits are spent, or move them to the folder `archive`.

        With `dry_run` it only says what would go. The ledger keeps the rows and accounts of what goes; archived
        buffers can still be read for replay, as long as they stay where they are. Raises StoreError where a file
        cannot be copied or removed.
        """
        ledger = self._following.catch_up()
        if dry_run:
            return plan(self.path, ledger, policy)
        ledger.refuse_read_only()
        return prune(self._files, ledger, policy, None if archive is None else Path(archive))

    def verify(self, progress: Callable[[int, int], None] | None = None) -> VerifyReport:
        """Read every block and hold it against its row and the ledger.

        `progress(done, total)` is called in bytes.
        """
        ledger = self._following.catch_up()
        from ._verify import verify

        return verify(self.path, ledger, progress)


def _conditioning(chosen: Conditioning | str) -> Conditioning:
    from ..conditioning import conditioning_from_name

    return conditioning_from_name(chosen) if isinstance(chosen, str) else chosen
