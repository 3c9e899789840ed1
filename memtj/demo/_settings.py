"""What a demo is to do."""

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
