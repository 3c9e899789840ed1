"""Where the parts of a run get their bits: made by their source, or leased from a store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from entropy.arguments import takes, text
from sampler._errors import SamplerError
from sampler.drawing._part import Part
from sampler.sources import (
    ConditionedSource,
    PortionSource,
    Stream,
    by_words,
    entropy_errors,
    leased,
    picture_streams,
)

if TYPE_CHECKING:
    from entropy import Conditioning, Lease, Range, Store


@contextlib.contextmanager
def made_bits(part: Part) -> Iterator[Sequence[Stream]]:
    """Give the bits that software or the operating system makes: picture i has its source's stream i."""
    source = part.source.make()
    if part.conditioning is not None:
        source = ConditionedSource(source, part.conditioning)
    streams = source.streams(max(part.numbers) + 1, part.bill.bits_each)
    yield [streams.stream(number) for number in part.numbers]


class LeasedBits:
    """The bits of a store, a lease for each part: an interruption burns no more than one.

    `take(bits)` leases so many, and may wait for them.
    """

    def __init__(self, store: Store, take: Callable[[int], Lease]) -> None:
        self._store, self._take = store, take

    @contextlib.contextmanager
    def __call__(self, part: Part) -> Iterator[Sequence[Stream]]:
        """Lease what the part's bill says."""
        cost = part.bill
        with leased(self._store, self._take(cost.recorded), _conditioning(part)) as source:
            streams = picture_streams(source, len(part.numbers), cost.bits_each, cost.noise_varies)
            yield [streams.stream(at) for at in range(len(part.numbers))]


class NamedLeases:
    """The bits of a store, a lease for each part under a name of its own.

    A part that was interrupted is drawn again from the very bits that were burned with it: its pictures are the ones
    that it would have had, no other has them, and they stay burned.
    """

    @takes(purpose=text)
    def __init__(self, store: Store, purpose: str) -> None:
        self._store, self._purpose = store, purpose

    @contextlib.contextmanager
    def __call__(self, part: Part) -> Iterator[Sequence[Stream]]:
        """Lease what the part needs, or find what was burned for it."""
        purpose = f"{self._purpose} part {part.numbers[0] // part.settings.microbatch}"
        with entropy_errors():
            burned = self._store.burned(purpose)
            if sum(item.bits for item in burned) == part.bill.recorded:
                yield self._again(part, burned)
                return
            with LeasedBits(self._store, lambda bits: self._store.lease(bits, purpose=purpose))(
                part
            ) as streams:
                yield streams

    def _again(self, part: Part, burned: Sequence[Range]) -> list[Stream]:
        from entropy import slice_ranges

        cost, conditioning = part.bill, _conditioning(part)
        each, simulated = cost.recorded_each, self._store.simulated(burned)
        total = None if cost.noise_varies and by_words(conditioning) else cost.bits_each
        ranges = [slice_ranges(burned, i * each, each) for i in range(len(part.numbers))]
        return [PortionSource(self._store.recorded(own), conditioning, total, simulated) for own in ranges]


def _conditioning(part: Part) -> Conditioning:
    if part.conditioning is None:
        raise SamplerError("the bits of a store go through a conditioning: name one (none, where nothing is)")
    return part.conditioning
