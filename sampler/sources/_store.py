"""The bits of a store for a long run: promised as a whole, leased a stretch at a time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from entropy.arguments import Count, Real, takes, text
from sampler._errors import SamplerError
from sampler.sources._lease import LeaseSource
from sampler.sources._source import Packed, whole_bytes

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Store


class StoreSource:
    """The bits of a store through a conditioning (the store's own, or the XOR of two, by default): one stream.

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

        self.store, self.min_entropy = store, min_entropy
        self._purpose, self._wait = purpose, wait
        self.conditioning: Conditioning = conditioning or store.conditioning or Xor(2)
        self.name = f"store {store.path}, {self.conditioning.name}"
        self._take: Callable[[int], Lease] = self._unpromised
        self._lease: Lease | None = None
        self._source: LeaseSource | None = None
        self._told: dict[str, Any] = {
            "source": "lease",
            "conditioning": self.conditioning.name,
            "ranges": [],
            "bits": 0,
        }

    @property
    def recorded(self) -> int:
        """How many recorded bits were read so far."""
        under_way = 0 if self._lease is None else self._lease.bits - self._lease.remaining
        return self._told["bits"] + under_way

    @contextlib.contextmanager
    @takes(recorded=Count(1))
    def promised(self, recorded: int) -> Iterator[None]:
        """Have `recorded` bits promised until the context ends; raises NotEnoughBits where they cannot be.

        Where not even running recordings will bring so many, `wait` may still bring a recording that is yet to start.
        """
        from entropy import NotEnoughBits

        live = self._wait is not None
        with contextlib.ExitStack() as stack:
            try:
                promise = stack.enter_context(
                    self.store.reserve(
                        recorded, purpose=self._purpose, live=live, min_entropy=self.min_entropy
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

    @takes(recorded=Count(1))
    def lease(self, recorded: int) -> Lease:
        """Lease `recorded` bits, of those that were promised where some were."""
        return self._take(recorded)

    @contextlib.contextmanager
    @takes(recorded=Count(1))
    def stretch(self, recorded: int) -> Iterator[None]:
        """Lease `recorded` bits for what is read until the context ends.

        Left normally, what was read is consumed and the rest is free again; left by an exception, all of it is burned.
        """
        self._lease = self.lease(recorded)
        try:
            with leased(self.store, self._lease, self.conditioning) as self._source:
                yield
                self._told = self.provenance()
        finally:
            self._lease = self._source = None

    def read(self, bits: int) -> Packed:
        """Read `bits` conditioned bits, packed; raises SamplerError outside of a stretch, or at its end."""
        bits = whole_bytes(bits)
        if self._source is None:
            raise SamplerError("the bits of a store are read within a stretch of it, and none is leased")
        return self._source.read(bits)

    def provenance(self) -> dict[str, Any]:
        """Name the conditioning and the ranges (buffer uuid, first bit, bits) read in the stretches so far."""
        return self._told if self._source is None else joined(self._told, self._source.provenance())

    def _unpromised(self, bits: int) -> Lease:
        return self.store.lease(bits, purpose=self._purpose, wait=self._wait, min_entropy=self.min_entropy)


@contextlib.contextmanager
def leased(store: Store, lease: Lease, conditioning: Conditioning) -> Iterator[LeaseSource]:
    """Hold a lease of `store`, and give its bits."""
    with lease:
        yield LeaseSource(lease, conditioning, simulated=store.simulated(lease.ranges))


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
