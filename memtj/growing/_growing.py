"""A run of growing pictures, as it is asked for."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from entropy import RecordingPlan
from instruments import Bench, DrawCalibration
from instruments.array import Array
from memtj import __version__
from memtj.growing._network import Network
from memtj.growing._placing import most_pictures, place
from memtj.growing._recorder import draws_plan
from sampler import Checkpoint, RunFolder, SampleSettings
from sampler.processes import BinaryProcess


@dataclass(frozen=True)
class Growing:
    """A run that is asked for: `labels` one a picture; `writes` draws anew instead of flipping what is stored."""

    checkpoint: Checkpoint
    settings: SampleSettings
    labels: Sequence[int | None]
    calibration: DrawCalibration
    writes: bool
    watchdog: float = 20.0

    @property
    def process(self) -> BinaryProcess:
        """The process of its network."""
        return BinaryProcess.from_config(self.checkpoint.card["scheduler"])

    def place(self, array: Array) -> np.ndarray:
        """Give the cells of as many pictures as the array holds at a time, int (pictures, pixels)."""
        kind, used = self.checkpoint.pictures, self.calibration.used
        lot = min(len(self.labels), max(1, most_pictures(used, kind.height * kind.width * kind.channels)))
        return place(used, array.shape, lot, kind.height * kind.channels, kind.width)

    def network(self, array: Array) -> Network:
        """Give its network, which tells the array that we live."""
        return Network(self.checkpoint, self.settings.microbatch, array.keep_alive)

    def seconds_of_a_step(self, pictures: int) -> float:
        """Time a step of the network; the output is off."""
        network = Network(self.checkpoint, self.settings.microbatch, lambda: None)
        x = np.zeros((pictures, *self.checkpoint.pictures.shape), np.uint8)
        network.ask(self.labels[:pictures], x, 1)  # which sets things up
        before = network.seconds
        network.ask(self.labels[:pictures], x, 1)
        return network.seconds - before

    def plan(self, bench: Bench, array: Array, *, hidden: bool = False, **more: int) -> RecordingPlan:
        """Give the plan of its recording."""
        return draws_plan(
            bench, array, self.calibration, "grow", hidden=hidden, model=self.checkpoint.sha256,
            steps=self.settings.steps, floor=self.settings.floor, **self.mode, **more,
        )  # fmt: skip

    def open(self, out: Path) -> contextlib.AbstractContextManager[RunFolder]:
        """Begin the run in its folder, or go on with it; others are kept out meanwhile."""
        return RunFolder.open(out, self.described, self.labels, __version__)

    @property
    def mode(self) -> dict[str, Any]:
        """What a picture's sampling says beside its settings."""
        return {"draws": "write" if self.writes else "flip"}

    @property
    def described(self) -> dict[str, Any]:
        """What it is, for its folder."""
        return {
            "images": len(self.labels),
            "labels": None if None in self.labels else list(self.labels),
            "model": self.checkpoint.sha256,
            "model_config": self.checkpoint.config_sha256,
            **self.settings.as_json(),
            **self.mode,
            "source": "array",
            "calibration": self.calibration.source,
        }
