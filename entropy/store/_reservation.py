"""A reservation: bits promised to one consumer beforehand, leased piece by piece."""

from dataclasses import replace
from typing import Self

from .._errors import NotEnoughBits, StoreError
from ..arguments import Count, Real, takes, text
from ..ledger import BitLedger, Ticket
from ._lease import Lease, LeaseTerms
from ._leasing import Leasing


class Reservation:
    """Bits that this consumer was promised; made by `Store.reserve`, a context manager.

    Nobody who came later gets bits that the promise needs. `lease` takes them piece by piece; what a lease
    leaves unread the reservation covers again. Leaving it, by an exception too, or dying, ends the promise.
    """

    def __init__(
        self, ledger: BitLedger, leasing: Leasing, ticket: Ticket, bits: int, terms: LeaseTerms
    ) -> None:
        self._ledger = ledger
        self._leasing = leasing
        self._ticket = ticket
        self._terms = terms
        self._over = False
        self.bits = bits
        self.purpose = terms.purpose

    @property
    def remaining(self) -> int:
        """How many of its bits were not leased yet, or came back unread."""
        own = [item for item in self._ledger.requests() if item.id == self._ticket.id]
        return own[0].outstanding if own and not self._over else 0

    @takes(bits=Count(1), purpose=text, wait=Real(0))
    def lease(self, bits: int, *, purpose: str | None = None, wait: float | None = None) -> Lease:
        """Take `bits` of what was promised; `wait`: seconds to wait for what has not been recorded yet.

        Raises NotEnoughBits where the reservation does not cover them, or where they have not come by then.
        """
        if self._over:
            raise StoreError(f"the reservation for {self.purpose!r} is over: make a new one")
        if bits > self.remaining:
            raise NotEnoughBits(bits, self.remaining, "left of the reservation")
        terms = replace(self._terms, purpose=purpose or self.purpose)
        return self._leasing.take(bits, terms, wait, self._ticket)

    def close(self) -> None:
        """End the promise; leases that were taken go on. Harmless when repeated."""
        if self._over:
            return
        self._over = True
        try:
            self._ledger.withdraw(self._ticket)
        finally:
            self._ticket.mark.release(remove=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
