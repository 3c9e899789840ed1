"""Taking leases out of a store, at once or in a queue with all others that wait."""

from __future__ import annotations

import logging
import time
import weakref

from .._errors import NotEnoughBits
from ..ledger import BufferUpdate, TakenBits, Ticket
from ._following import Following, pauses
from ._lease import Lease, LeaseTerms
from ._leased_blocks import LeasedBlocks
from ._open_files import OpenFiles

_log = logging.getLogger(__name__)


class Leasing:
    """Takes leases from the ledger and gives them the open files that they read from; knows those that are open."""

    def __init__(self, files: OpenFiles, following: Following) -> None:
        self._files = files
        self._following = following
        self._leases: weakref.WeakSet[Lease] = weakref.WeakSet()

    def close(self) -> None:
        """Burn the leases that are still open."""
        for lease in list(self._leases):
            lease.burn()

    def take(self, bits: int, terms: LeaseTerms, wait: float | None, ticket: Ticket | None = None) -> Lease:
        """Take `bits`, out of what `ticket` was promised where one is given; see `Store.lease`."""
        updates = self._following.updates()
        try:
            taken = self._take_now(bits, terms, updates, ticket)
        except NotEnoughBits:
            self._files.ledger.update(updates)  # what is there was rolled back with the lease
            if not wait:
                raise
            taken = self._wait_for(bits, terms, time.monotonic() + wait, ticket)
        return self.lease_of(taken, terms)

    def lease_of(self, taken: TakenBits, terms: LeaseTerms) -> Lease:
        """Make the lease of bits that were taken."""
        lease = Lease(self._files.ledger, LeasedBlocks(self._files).load, taken, terms)
        self._leases.add(lease)
        return lease

    def _take_now(
        self, bits: int, terms: LeaseTerms, updates: list[BufferUpdate], ticket: Ticket | None
    ) -> TakenBits:
        return self._files.ledger.lease(
            bits, terms.purpose, terms.withheld, updates=updates, ticket=ticket, min_entropy=terms.min_entropy
        )

    def _wait_for(self, bits: int, terms: LeaseTerms, deadline: float, ticket: Ticket | None) -> TakenBits:
        ledger = self._files.ledger
        own = ticket or ledger.wait_in_line(bits, terms.purpose)
        try:
            if ticket is not None:
                ledger.set_waiting(ticket, bits)
            _log.info(
                "waiting for %s bits for %r: %s are free", f"{bits:,}", terms.purpose, f"{ledger.free():,}"
            )
            for pause in pauses():
                left = deadline - time.monotonic()
                time.sleep(max(min(left, pause), 0))
                updates = self._following.updates()
                missing = bits - sum(item.fresh_bits for item in updates)
                if left <= 0 or terms.withheld or ledger.might_serve(missing, own, terms.min_entropy):
                    try:
                        return self._take_now(bits, terms, updates, own)
                    except NotEnoughBits:
                        if left <= 0:
                            raise
                ledger.update(updates)
            raise AssertionError("the loop has no end")
        finally:
            if ticket is None:
                ledger.withdraw(own)
                own.mark.release(remove=True)
            else:
                ledger.set_waiting(ticket, 0)
