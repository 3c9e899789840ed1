"""Drawing pictures with leased bits: one lease per microbatch, so that an interruption burns no more than one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

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
    """What to draw: one picture a label. `progress` is told the pictures done, with fractions."""

    checkpoint: "Checkpoint"
    labels: Sequence[int]
    settings: "SampleSettings"
    progress: Callable[[float], None] = lambda done: None
    preview: "Callable[[int, int, torch.Tensor], None] | None" = None
    finished: "Callable[[list[Picture]], None] | None" = None

    def from_leases(
        self, store: "Store", lease: "Callable[[int], Lease]", conditioning: "Conditioning"
    ) -> Drawn:
        """Draw with bits of `store`; `lease(bits)` is called once per microbatch and may wait for them.

        `finished` gets the pictures of a microbatch before its bits count as consumed.
        """
        from sampler import LeaseSource, bill

        drawn = Drawn()
        for first in range(0, len(self.labels), self.settings.microbatch):
            part = self.labels[first : first + self.settings.microbatch]
            with lease(bill(self.checkpoint, self.settings, len(part), conditioning).recorded) as leased:
                used = {buffer for buffer, _, _ in leased.ranges}
                # Asked now: before the lease the store may not have had a buffer yet.
                simulated = any(buffer.simulated for buffer in store.buffers() if buffer.uuid in used)
                source = LeaseSource(leased, conditioning, simulated=simulated)
                drawn.add(self._sample(part, source, first))
        return drawn

    def from_source(self, source: "Source") -> Drawn:
        """Draw with bits of a source that does not run out."""
        drawn = Drawn()
        drawn.add(self._sample(self.labels, source, 0))
        return drawn

    def _sample(self, labels: Sequence[int], source: "Source", first: int) -> "Samples":
        from sampler import sample

        def progress(state: "SampleProgress") -> None:
            under_way = min(self.settings.microbatch, len(labels) - state.pictures_done)
            fraction = state.step / state.steps if state.step < state.steps else 0.0
            self.progress(first + state.pictures_done + under_way * fraction)

        def preview(at: int, step: int, images: "torch.Tensor") -> None:
            if self.preview is not None:
                self.preview(first + at, step, images)

        return sample(
            self.checkpoint,
            labels,
            source,
            self.settings,
            progress=progress,
            preview=preview if self.preview is not None else None,
            finished=self.finished,
            first=first,
        )
