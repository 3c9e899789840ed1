"""What a demo is to do."""

import os
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DEVICE = "C"


@dataclass(frozen=True)
class DemoSettings:
    """What to do: `bench` None starts a simulated lab with `seed` (None: from the operating system) and `device`."""

    out: Path
    images: int
    bench: Path | None
    device: str
    conditioning: str
    seed: int | None
    steps: int
    microbatch: int
    calibrate: bool
    voltage: float | None
    baseline: bool

    @property
    def beside(self) -> int:
        """How many microbatches are drawn beside each other: one a processor where each has two of them or more.

        One processor a network is faster than all for one. With fewer, an interruption would burn all there is.
        """
        microbatches = -(-self.images // self.microbatch)
        return max(1, min(os.cpu_count() or 1, microbatches // 2))
