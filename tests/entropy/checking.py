"""What must hold of a store whose recorders and takers were killed, by what they had said before."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from known_bits import Found, KnownBits
from taking import Book, Tally, replay

from entropy import Accounts, Range, Store


class StoreCheck:
    """Checks one store time and again, while nobody else has it open; raises Found where something is wrong."""

    def __init__(self, folder: Path, largest_block: int, largest_lease: int) -> None:
        self.known = KnownBits(largest_block)
        self.leases = 0
        self._folder = folder
        self._largest_lease = largest_lease
        self._book = Book()
        self._before = Accounts(0, 0, 0, 0, 0, 0)

    def after(self, lines: Sequence[dict[str, Any]], killed: int, *, drain: bool = False) -> None:
        """Check everything after recorders and takers said these lines and `killed` of the takers were killed.

        Opening the store and leasing from it here are the next ones after the death. `drain`: read all that is
        free in the end.
        """
        for line in lines:
            if "error" in line:
                raise Found(line["error"])
        with Store(self._folder, create=False) as store:
            self.known.see(store)
            for line in lines:
                if "committed" in line and self.known.blocks.get(line["recording"], 0) <= line["committed"]:
                    raise Found(f"a committed block is missing: {line}")
            tally = replay([line for line in lines if "lease" in line], self._book, self.known)
            self.leases += tally.leases
            accounts = store.accounts()
            self._compare(accounts, tally)
            unspoken = self._book.close_with(self.known.bits, what_is_free(store, accounts.free))
            # a taker dies with one lease at most that it had not spoken of, or was just leaving
            if unspoken > killed * self._largest_lease:
                raise Found(f"{unspoken} bits are spent and nobody had them")
            if drain and accounts.free:
                self._drain(store, accounts.free)
            self._before = store.accounts()
        if self._before.recorded != self.known.total:
            raise Found("leasing changed how much was recorded")
        left = list((self._folder / "locks").glob("lease-*"))
        if left:
            raise Found(f"nobody is alive and these locks are left: {left}")

    def _compare(self, accounts: Accounts, tally: Tally) -> None:
        consumed = accounts.consumed - self._before.consumed - tally.consumed
        burned = accounts.burned - self._before.burned - tally.burned
        if not accounts.balanced or accounts.leased or accounts.recorded != self.known.total:
            raise Found(f"{self.known.total} bits were recorded and the accounts are {accounts}")
        if not 0 <= consumed <= tally.unsure or burned < 0:
            raise Found(f"the accounts went from {self._before} to {accounts}; {tally}")

    def _drain(self, store: Store, bits: int) -> None:
        with store.lease(bits, purpose="drain") as lease:
            self._book.take(lease.ranges, "the drain")
            if zlib.crc32(lease.read(bits)) != self.known.crc(lease.ranges):
                raise Found("the drain read other bits than were recorded")

    def everything(self) -> None:
        """Verify the store, every byte of it once more."""
        with Store(self._folder, create=False) as store:
            report = store.verify()
            if not report.ok or report.bits != self.known.total:
                raise Found(f"{report.bits} of {self.known.total} bits: {report.problems}")
            known = KnownBits(self.known.largest)
            known.see(store)
            if known.bits != self.known.bits:
                raise Found("buffers changed after they were looked at")


def what_is_free(store: Store, bits: int) -> list[Range]:
    """Lease all that is free, see where it is, and let it be free again."""
    if not bits:
        return []
    with store.lease(bits, purpose="see what is free") as lease:
        return lease.ranges
