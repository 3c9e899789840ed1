"""A lease: bits that are this owner's alone, read in order, each at most once."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

from .._errors import NotEnoughBits, StoreError
from ..arguments import Count, count, takes
from ..ledger import BitLedger, Range, TakenBits, join_adjacent, slice_ranges

if TYPE_CHECKING:
    import numpy as np

    from ..buffer._pieces import Piece
    from ..buffer._reader import LoadedBlock
    from ..conditioning import Conditioning


class LoadBlock(Protocol):
    """Loads the block of usable bit `bit` of a buffer for a reader who reads `bits` bits from there on, in order."""

    def __call__(self, buffer: str, bit: int, bits: int) -> LoadedBlock: ...


class Portion:
    """A contiguous stretch of a lease, in lease order, read on its own; what is read here counts as read.

    One portion belongs to one thread at a time; different portions may be read by different threads.
    """

    def __init__(self, lease: BitRanges, first: int, bits: int) -> None:
        self._lease = lease
        self._first = first
        self._at = first
        self._end = first + bits
        self._block: LoadedBlock | None = None
        self._block_bit = 0
        self._block_left = 0

    @property
    def bits(self) -> int:
        """How many bits the portion has."""
        return self._end - self._first

    @property
    def remaining(self) -> int:
        """How many of them were not read yet."""
        return self._end - self._at

    @property
    def min_entropy(self) -> float | None:
        """What its lease claims of a raw bit; None: nothing."""
        return self._lease.min_entropy

    @property
    def ranges(self) -> list[Range]:
        """Where its bits are: (buffer uuid, first usable bit, bits)."""
        return slice_ranges(self._lease.ranges, self._first, self._end - self._first)

    @property
    def read_ranges(self) -> list[Range]:
        """Where the bits are that were read so far."""
        return slice_ranges(self._lease.ranges, self._first, self._at - self._first)

    def read(self, bits: int) -> np.ndarray:
        """Read the next `bits` bits; packed uint8, first bit most significant, padded with zeros.

        Raises NotEnoughBits where fewer remain (nothing is read then), StoreError where the lease is over,
        the process is a forked child, or a block is damaged.
        """
        bits = count(bits, "bits")
        if bits < self._block_left and not bits & 7 and not self._block_bit & 7 and bits > 0:
            self._lease.check_usable()
            assert self._block is not None
            at = self._block_bit >> 3
            self._advance(bits)
            return self._block.data[at : at + (bits >> 3)].copy()
        from ..buffer._pieces import gather

        return gather(self.read_pieces(bits), bits)

    def read_pieces(self, bits: int) -> list[Piece]:
        """Read the next `bits` bits as (block, first bit in it, bits); raises as `read` does."""
        bits = count(bits, "bits")
        self._lease.check_usable()
        if bits > self._end - self._at:
            raise NotEnoughBits(bits, self._end - self._at, "left of this part of the lease")
        pieces: list[Piece] = []
        while bits:
            if not self._block_left:
                self._block, self._block_bit, self._block_left = self._lease.locate(self._at, self._end)
            assert self._block is not None
            here = min(bits, self._block_left)
            pieces.append((self._block, self._block_bit, here))
            self._advance(here)
            bits -= here
        return pieces

    def _advance(self, bits: int) -> None:
        # counted before anything is handed out: a bit that may have left counts as read
        self._at += bits
        self._block_bit += bits
        self._block_left -= bits


class BitRanges:
    """Where bits are, in order: ranges, and the blocks that hold them."""

    min_entropy: float | None = None

    def __init__(self, ranges: Sequence[Range], load: LoadBlock) -> None:
        self._load = load
        self._ranges = list(ranges)
        self._starts = [0]
        for item in ranges:
            self._starts.append(self._starts[-1] + item.bits)

    @property
    def bits(self) -> int:
        """How many bits there are."""
        return self._starts[-1]

    @property
    def ranges(self) -> list[Range]:
        """Where they are, in order: (buffer uuid, first usable bit, bits)."""
        return list(self._ranges)

    def check_usable(self) -> None:
        """Raise StoreError where nothing may be read any more."""

    @takes(at=Count(), end=Count())
    def locate(self, at: int, end: int) -> tuple[LoadedBlock, int, int]:
        """Find the block of bit `at` for who reads on to bit `end`: (block, bit in it, bits left in block, range)."""
        index = bisect_right(self._starts, at) - 1
        item = self._ranges[index]
        inside = at - self._starts[index]
        block = self._load(item.buffer, item.first + inside, min(item.bits - inside, end - at))
        bit = item.first + inside - block.first_bit
        return block, bit, min(block.bits - bit, item.bits - inside)


@dataclass(frozen=True)
class LeaseTerms:
    """On what terms bits are leased: what for, withheld ones, what is claimed of them, what they are read through."""

    purpose: str
    withheld: bool = False
    min_entropy: float | None = None
    conditioning: Conditioning | None = None

    def __post_init__(self) -> None:
        if self.withheld and self.min_entropy is not None:
            raise StoreError("withheld bits support no claim of min-entropy: leave one of the two out")


class Lease(BitRanges):
    """Bits taken from a store; made by `Store.lease`, a context manager.

    Leaving it normally, what was read is consumed and the rest is free again; by any exception, or by never
    leaving it (collected, killed), all of it is burned. A forked child cannot read from it.

    `min_entropy`: what it claims of a raw bit, supported by assessments; None: nothing. `conditioning`: what
    `read_conditioned` reads through; None: nobody chose one.
    """

    def __init__(self, ledger: BitLedger, load: LoadBlock, taken: TakenBits, terms: LeaseTerms) -> None:
        super().__init__(taken.ranges, load)
        self._ledger = ledger
        self.uuid = taken.uuid
        self.purpose = terms.purpose
        self.withheld = terms.withheld
        self.min_entropy = terms.min_entropy
        self.conditioning = terms.conditioning
        self._taken = taken
        self._pid = os.getpid()
        self._over: str | None = None
        self._mutex = threading.Lock()
        self._main = Portion(self, 0, self.bits)
        self._portions = [self._main]

    @property
    def remaining(self) -> int:
        """How many of its bits were neither read nor split off."""
        return self._main.remaining

    @property
    def read_ranges(self) -> list[Range]:
        """Where the bits are that were read so far, by the lease and all its portions, in lease order."""
        parts = sorted(self._portions, key=lambda part: part._first)
        return join_adjacent(item for part in parts for item in part.read_ranges)

    def read(self, bits: int) -> np.ndarray:
        """Read the next `bits` bits; packed uint8, first bit most significant, padded with zeros.

        Raises NotEnoughBits where fewer remain (nothing is read then), StoreError where the lease is over,
        the process is a forked child, or a block is damaged.
        """
        return self._main.read(bits)

    def read_pieces(self, bits: int) -> list[Piece]:
        """Read the next `bits` bits as (block, first bit in it, bits); raises as `read` does."""
        return self._main.read_pieces(bits)

    def read_conditioned(self, bits: int) -> np.ndarray:
        """Read raw bits through the lease's conditioning, to `bits` conditioned ones; packed uint8.

        Raises StoreError where none was chosen for the lease or its store, and as the conditioning does.
        """
        if self.conditioning is None:
            raise StoreError(
                "no conditioning was chosen: name one when the lease is taken, or set the store's by "
                "'memtj store conditioning'"
            )
        return self.conditioning.read(self, bits)

    @takes(parts=Count(), bits_each=Count())
    def split(self, parts: int, bits_each: int) -> list[Portion]:
        """Split off `parts` portions of `bits_each` bits, one after the other in lease order.

        The lease itself goes on after them. Raises NotEnoughBits where fewer remain.
        """
        with self._mutex:
            self.check_usable()
            wanted = parts * bits_each
            if wanted > self._main.remaining:
                raise NotEnoughBits(wanted, self._main.remaining, "left of this lease")
            at, end = self._main._at, self._main._end
            self._main._end = at
            portions = [Portion(self, at + index * bits_each, bits_each) for index in range(parts)]
            self._main = Portion(self, at + wanted, end - at - wanted)
            self._portions += [*portions, self._main]
        return portions

    def close(self) -> None:
        """Leave the lease normally: read bits are consumed, unread ones free; harmless when repeated."""
        self._end(burn=False)

    def burn(self) -> None:
        """Leave the lease with all of its bits burned; harmless when repeated."""
        self._end(burn=True)

    def __enter__(self) -> Self:
        self.check_usable()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._end(burn=kind is not None)

    def check_usable(self) -> None:
        """Raise StoreError where nothing may be read: the lease is over, or this is a forked child."""
        if self._over is not None:
            raise StoreError(f"lease {self.uuid} {self._over}: take a new one")
        if self._pid != os.getpid():
            raise StoreError(
                f"lease {self.uuid} belongs to process {self._pid} and this is a forked child: "
                "start it anew (the start method 'spawn') and take a lease of its own there"
            )

    def _end(self, *, burn: bool) -> None:
        if self._pid != os.getpid():
            return  # the parent's to end
        with self._mutex:
            if self._over is not None:
                return
            self._over = "is burned" if burn else "was left"
        try:
            self._ledger.settle(self._taken.id, () if burn else self.read_ranges, burn=burn)
        finally:
            self._taken.mark.release(remove=True)
