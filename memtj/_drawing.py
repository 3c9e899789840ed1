"""Drawing pictures with leased bits: one lease per microbatch, so that an interruption burns no more than one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from entropy import Conditioning, Lease, Store
    from sampler import Checkpoint, Picture, SampleProgress, Samples, SampleSettings, Source


@dataclass
class Drawn:
    """The pictures drawn so far, and what they took.

    `seconds` is wall clock and `cpu_seconds` processor time while sampling; `noise_cpu_seconds` is the part of it
    that went into getting bits and turning them into noise.
    """

    pictures: list["Picture"] = field(default_factory=list)
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    noise_cpu_seconds: float = 0.0

    @property
    def noise_fraction(self) -> float:
        """The share of the sampler's processor time that went into noise."""
        return self.noise_cpu_seconds / self.cpu_seconds if self.cpu_seconds else 0.0

    def add(self, samples: "Samples") -> None:
        """Add the outcome of one run of the sampler."""
        self.pictures += samples.pictures
        self.seconds += samples.seconds
        self.cpu_seconds += samples.cpu_seconds
        self.noise_cpu_seconds += samples.noise_cpu_seconds


@dataclass(frozen=True)
class Drawing:
    """What to draw: one picture a label. `progress` is told the pictures done, with fractions.

    `numbers` are those of the pictures that are still to be drawn (None: all). `trace(numbers, step, steps, x)` is
    told the reverse process of a microbatch, x of shape (pictures, channels, height, width) from 0 to 1.
    """

    checkpoint: "Checkpoint"
    labels: Sequence[int | None]
    settings: "SampleSettings"
    progress: Callable[[float], None] = lambda done: None
    preview: "Callable[[int, int, torch.Tensor], None] | None" = None
    finished: "Callable[[list[Picture]], None] | None" = None
    trace: "Callable[[Sequence[int], int, int, torch.Tensor], None] | None" = None
    numbers: Sequence[int] | None = None

    @property
    def missing(self) -> Sequence[int]:
        """The numbers of the pictures to be drawn, in their order."""
        return range(len(self.labels)) if self.numbers is None else self.numbers

    def from_leases(
        self, store: "Store", lease: "Callable[[int], Lease]", conditioning: "Conditioning"
    ) -> Drawn:
        """Draw with bits of `store`; `lease(bits)` is called once per microbatch and may wait for them.

        `finished` gets the pictures of a microbatch before its bits count as consumed.
        """
        from sampler import LeaseSource, bill

        drawn = Drawn()
        for at in range(0, len(self.missing), self.settings.microbatch):
            part = self.missing[at : at + self.settings.microbatch]
            with lease(bill(self.checkpoint, self.settings, len(part), conditioning).recorded) as leased:
                source = LeaseSource(leased, conditioning, simulated=store.simulated(leased.ranges))
                drawn.add(self._sample(part, source, at))
        return drawn

    def from_source(self, source: "Source") -> Drawn:
        """Draw with bits of a source that does not run out; picture i has stream i of it, whichever are drawn."""
        drawn = Drawn()
        if self.missing:
            drawn.add(self._sample(self.missing, _Some(source, len(self.labels), self.missing), 0))
        return drawn

    def _sample(self, numbers: Sequence[int], source: "Source", at: int) -> "Samples":
        from sampler import sample

        done = len(self.labels) - len(self.missing) + at

        def progress(state: "SampleProgress") -> None:
            under_way = min(self.settings.microbatch, len(numbers) - state.pictures_done)
            fraction = state.step / state.steps if state.step < state.steps else 0.0
            self.progress(done + state.pictures_done + under_way * fraction)

        def preview(first: int, step: int, images: "torch.Tensor") -> None:
            if self.preview is not None:
                self.preview(numbers[first], step, images)

        def trace(first: int, step: int, steps: int, x: "torch.Tensor") -> None:
            if self.trace is not None:
                self.trace(numbers[first : first + len(x)], step, steps, x)

        return sample(
            self.checkpoint,
            [self.labels[number] for number in numbers],
            source,
            self.settings,
            progress=progress,
            preview=preview if self.preview is not None else None,
            trace=trace if self.trace is not None else None,
            finished=self.finished,
            numbers=numbers,
        )


class _Some:
    """A source whose streams are those of some pictures of a run."""

    def __init__(self, source: "Source", pictures: int, numbers: Sequence[int]) -> None:
        self._source, self._pictures, self._numbers = source, pictures, numbers
        self.name = source.name

    def read(self, bits: int) -> Any:
        return self._source.read(bits)

    def pictures(self, count: int, bits_each: int | None = None) -> "list[Source]":
        assert count == len(self._numbers)
        streams = self._source.pictures(self._pictures, bits_each)
        return [streams[number] for number in self._numbers]

    def provenance(self) -> dict[str, Any]:
        return self._source.provenance()
