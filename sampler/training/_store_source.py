"""The bits of a store for a long run: promised as a whole, leased a stretch at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from entropy.arguments import Count, Real, count, takes, text
from sampler._errors import SamplerError
from sampler.sources import LeaseSource, Packed, Source, entropy_errors

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Store


class StoreSource:
    """The bits of a store through a conditioning (the store's own, or the XOR of two, by default).

    A run asks for a promise of all that it will read, and leases a stretch of it at a time, so that an interruption
    burns one stretch and no more. `wait`: seconds to wait for bits that are still being recorded; `min_entropy`: as
    of `Store.lease`.
    """

    @takes(purpose=text, wait=Real(0), min_entropy=Real(0, 1))
    def __init__(
        self,
        store: Store,
        conditioning: Conditioning | None = None,
        *,
        purpose: str = "train",
        wait: float | None = None,
        min_entropy: float | None = None,
    ) -> None:
        from entropy import Xor

        self._store, self._purpose, self._wait, self._min_entropy = store, purpose, wait, min_entropy
        self.conditioning: Conditioning = conditioning or store.conditioning or Xor(2)
        self.name = f"store {store.path}, {self.conditioning.name}"
        self._take: Callable[[int], Lease] = self._unpromised
        self._lease: Lease | None = None
        self._source: LeaseSource | None = None
        self._left: list[dict[str, Any]] = []
        self._recorded_before = 0

    @property
    def recorded(self) -> int:
        """How many recorded bits were read so far."""
        under_way = 0 if self._lease is None else self._lease.bits - self._lease.remaining
        return self._recorded_before + under_way

    @contextlib.contextmanager
    @takes(recorded=Count(1))
    def promised(self, recorded: int) -> Iterator[None]:
        """Have `recorded` bits promised until the context ends; raises SamplerError where they cannot be.

        Where not even running recordings will bring so many, `wait` may still bring a recording that is yet to start.
        """
        from entropy import NotEnoughBits

        live = self._wait is not None
        with contextlib.ExitStack() as stack:
            with entropy_errors():
                try:
                    promise = stack.enter_context(
                        self._store.reserve(
                            recorded, purpose=self._purpose, live=live, min_entropy=self._min_entropy
                        )
                    )
                    self._take = lambda bits: promise.lease(bits, wait=self._wait)
                except NotEnoughBits:
                    if not live:
                        raise
            try:
                yield
            finally:
                self._take = self._unpromised

    @contextlib.contextmanager
    @takes(recorded=Count(1))
    def stretch(self, recorded: int) -> Iterator[None]:
        """Lease `recorded` bits for what is read until the context ends.

        Left normally, what was read is consumed and the rest is free again; left by an exception, all of it is burned.
        """
        with entropy_errors():
            lease = self._take(recorded)
        with lease:
            simulated = self._store.simulated(lease.ranges)
            self._lease, self._source = lease, LeaseSource(lease, self.conditioning, simulated=simulated)
            try:
                yield
                self._left.append(self._source.provenance())
                self._recorded_before = self.recorded
            finally:
                self._lease = self._source = None

    def read(self, bits: int) -> Packed:
        """Read `bits` conditioned bits, packed; raises SamplerError outside of a stretch, or at its end."""
        bits = count(bits, "bits")
        if self._source is None:
            raise SamplerError("the bits of a store are read within a stretch of it, and none is leased")
        return self._source.read(bits)

    @takes(count=Count(), bits_each=Count())
    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        """Refuse: pictures have a lease of their own."""
        raise SamplerError("a store is not divided among pictures: lease their bits")

    def provenance(self) -> dict[str, Any]:
        """Name the conditioning and the ranges (buffer uuid, first bit, bits) read in the stretches so far."""
        under_way = [] if self._source is None else [self._source.provenance()]
        whole: dict[str, Any] = {
            "source": "lease",
            "conditioning": self.conditioning.name,
            "ranges": [],
            "bits": 0,
        }
        for part in [*self._left, *under_way]:
            whole = joined(whole, part)
        return whole

    def _unpromised(self, bits: int) -> Lease:
        return self._store.lease(bits, purpose=self._purpose, wait=self._wait, min_entropy=self._min_entropy)


def joined(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """Put the provenance of two stretches of one source together: bits added, ranges one after the other.

    What was simulated in one of them is simulated in both.
    """
    whole = {**before, **after, "bits": before["bits"] + after["bits"]}
    if "ranges" in after:
        ranges = [list(item) for item in before.get("ranges", [])]
        for buffer, first, bits in after["ranges"]:
            if ranges and ranges[-1][0] == buffer and ranges[-1][1] + ranges[-1][2] == first:
                ranges[-1][2] += bits
            else:
                ranges.append([buffer, first, bits])
        whole["ranges"] = ranges
    if "simulated" in before and "simulated" in after:
        whole["simulated"] = before["simulated"] or after["simulated"]
    return whole
