"""The pictures of one run: drawn part by part, kept as they come, gone on with after an interruption."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from entropy.arguments import ANY, Count, Each, takes
from sampler._checkpoint import Checkpoint
from sampler._errors import SamplerError
from sampler._whole_files import write_whole
from sampler.drawing._bill import bill
from sampler.drawing._pictures import pixels
from sampler.drawing._sample import Picture, SampleProgress, sample
from sampler.drawing._settings import SampleSettings
from sampler.sources import (
    ConditionedSource,
    LeaseSource,
    Packed,
    PortionSource,
    Source,
    entropy_errors,
)

if TYPE_CHECKING:
    from entropy import Conditioning, Range, Store


@dataclass(frozen=True)
class RunPictures:
    """Pictures of a run: images (n, height, width[, 3]) uint8, labels (n,) int64, the provenance of each one's bits.

    The label is −1 where the network takes none.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    bits: list[dict[str, Any]]


class Parts(Protocol):
    """Gives the source of each part of a run."""

    def part(
        self, number: int, first: int, count: int, bits_each: int
    ) -> contextlib.AbstractContextManager[Source]:
        """Give what the pictures from `first` on are drawn from; left normally once they are kept."""
        ...


class SourceParts:
    """Parts of a source that software or the operating system makes: picture i has the source's stream i."""

    def __init__(self, make: Callable[[], Source], conditioning: Conditioning) -> None:
        self._make, self._conditioning = make, conditioning

    @contextlib.contextmanager
    @takes(number=Count(), first=Count(), count=Count(), bits_each=Count())
    def part(self, number: int, first: int, count: int, bits_each: int) -> Iterator[Source]:
        """Give the streams from `first` on."""
        source = ConditionedSource(self._make(), self._conditioning)
        source.pictures(first, bits_each)
        yield source


class LeaseParts:
    """Parts with a lease each, under a name of its own.

    A part that was interrupted is drawn again from the very bits that were burned with it: its pictures are the ones
    that it would have had, no other has them, and they stay burned.
    """

    def __init__(self, store: Store, conditioning: Conditioning, purpose: str) -> None:
        self._store, self._conditioning, self._purpose = store, conditioning, purpose

    @contextlib.contextmanager
    @takes(number=Count(), first=Count(), count=Count(), bits_each=Count())
    def part(self, number: int, first: int, count: int, bits_each: int) -> Iterator[Source]:
        """Lease what the part needs, or find what was burned for it."""
        purpose = f"{self._purpose} part {number}"
        each = self._conditioning.bits_in(bits_each)
        burned = self._store.burned(purpose)
        if sum(item.bits for item in burned) == each * count:
            yield _Burned(self._store, burned, self._conditioning, each)
            return
        with entropy_errors(), self._store.lease(each * count, purpose=purpose) as lease:
            yield LeaseSource(lease, self._conditioning, simulated=self._store.simulated(lease.ranges))


class _Burned:
    """The bits of a burned lease, for the pictures that they were leased for."""

    name = "burned lease"

    def __init__(self, store: Store, ranges: Sequence[Range], conditioning: Conditioning, each: int) -> None:
        self._store, self._ranges, self._conditioning, self._each = store, ranges, conditioning, each

    def read(self, bits: int) -> Packed:
        raise SamplerError("the bits of a burned lease belong to its pictures")

    def pictures(self, count: int, bits_each: int | None = None) -> list[Source]:
        from entropy import slice_ranges

        simulated = self._store.simulated(self._ranges)
        parts = [slice_ranges(self._ranges, b * self._each, self._each) for b in range(count)]
        with entropy_errors():
            return [
                PortionSource(self._store.recorded(part), self._conditioning, bits_each, simulated)
                for part in parts
            ]

    def provenance(self) -> dict[str, Any]:
        return {"source": "lease", "conditioning": self._conditioning.name}


@takes(labels=Each(ANY, optional=True))
def draw_run(
    folder: Path,
    checkpoint: Checkpoint,
    labels: Sequence[int | None],
    settings: SampleSettings,
    parts: Parts,
    progress: Callable[[float], None] = lambda pictures: None,
) -> RunPictures:
    """Draw one picture a label into `folder`, a microbatch at a time; what is there already is kept.

    `progress` is told the pictures done, with fractions. Raises SamplerError as `sample` does, and where a kept part
    is damaged or belongs to other labels.
    """
    folder.mkdir(parents=True, exist_ok=True)
    bits_each = bill(checkpoint, settings, 1).bits_each
    kept = []
    for number, first in enumerate(range(0, len(labels), settings.microbatch)):
        wanted = labels[first : first + settings.microbatch]
        path = folder / f"part-{number:05d}.npz"
        if not path.exists():
            _draw_part(path, checkpoint, wanted, settings, parts, (number, first, bits_each), progress)
        kept.append(_read_part(path, wanted))
        progress(first + len(wanted))
    return RunPictures(
        np.concatenate([part.images for part in kept]),
        np.concatenate([part.labels for part in kept]),
        [bits for part in kept for bits in part.bits],
    )


def kept_pictures(folder: Path, microbatch: int) -> int:
    """How many pictures of a run are there already, where all its parts but the last are whole microbatches."""
    return microbatch * len(list(folder.glob("part-*.npz")))


def _draw_part(
    path: Path,
    checkpoint: Checkpoint,
    labels: Sequence[int | None],
    settings: SampleSettings,
    parts: Parts,
    place: tuple[int, int, int],
    progress: Callable[[float], None],
) -> None:
    number, first, bits_each = place

    def step(state: SampleProgress) -> None:
        if state.step < state.steps:
            progress(first + len(labels) * state.step / state.steps)

    with parts.part(number, first, len(labels), bits_each) as source:
        pictures = sample(checkpoint, labels, source, settings, first=first, progress=step).pictures
        _write_part(path, pictures)  # before the lease is left: what counts as consumed has its pictures


def _write_part(path: Path, pictures: Sequence[Picture]) -> None:
    bits = json.dumps([{**p.provenance["bits"], "sha256": p.provenance["picture_sha256"]} for p in pictures])
    packed = io.BytesIO()
    np.savez_compressed(
        packed,
        images=np.stack([pixels(p) for p in pictures]),
        labels=np.array(_numbers([p.label for p in pictures]), np.int64),
        bits=np.frombuffer(bits.encode(), np.uint8),
    )
    write_whole(path, packed.getvalue(), durable=True)


def _read_part(path: Path, labels: Sequence[int | None]) -> RunPictures:
    try:
        with np.load(path, allow_pickle=False) as file:
            part = RunPictures(file["images"], file["labels"], json.loads(file["bits"].tobytes()))
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SamplerError(f"{path} is damaged: remove it, and it is drawn again ({error})") from error
    if part.labels.tolist() != _numbers(labels) or len(part.images) != len(labels):
        raise SamplerError(
            f"{path} holds pictures of other labels: it belongs to another plan, use another folder"
        )
    return part


def _numbers(labels: Sequence[int | None]) -> list[int]:
    return [-1 if label is None else label for label in labels]
