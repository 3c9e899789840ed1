"""The pictures that are in an array at a time: their steps, and how they are read out."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from entropy import Recording
from memtj.energy import DrawAccount
from memtj.growing._drawing import Drawing
from memtj.growing._growing import Growing
from memtj.growing._network import Network
from memtj.growing._recorder import DrawRecorder
from sampler import Frames, Picture, Step, picture_digest, picture_versions, pixels, pixels_digest
from sampler.processes import BinaryStep, Bits, grow

Watch = Callable[[Step, np.ndarray], None]
"""Gets each step, and the magnetisation of the whole array, bool (rows, columns)."""
Progress = Callable[[float], None]
"""Gets how many pictures are done, in parts of one."""


@dataclass(frozen=True)
class Lot:
    """The pictures of a run, by their `numbers`, that are in the array at a time; `done`: how many are there before."""

    run: Growing
    drawing: Drawing
    network: Network
    numbers: tuple[int, ...]
    done: int
    progress: Progress
    watch: Watch | None = None
    frames: Frames | None = None

    def grow(self, *, after: int = 0, x: Bits | None = None, until: int | None = None) -> None:
        """Take the steps `after` so many, which have left `x` in the cells, `until` so many are taken, or all."""
        run, count = self.run, len(self.numbers)
        kind, process, settings = run.checkpoint.pictures, run.process, run.settings
        labels = [run.labels[number] for number in self.numbers]
        begun = None
        if x is not None:
            begun = BinaryStep(process.times(settings.steps)[after], x, np.full(x.shape, 0.5))
        steps = grow(
            process, lambda x, t: self.network.ask(labels, x, t), self.drawing.draws, (count, *kind.shape),
            settings.steps, writes=run.writes, floor=settings.floor, begun=begun,
        )  # fmt: skip
        seen = torch.zeros(0)
        for at, step in enumerate(steps, after):
            bits = torch.from_numpy(step.x) * 2.0 - 1
            if at > after:
                told = Step(
                    self.numbers, at, settings.steps, bits, seen, torch.from_numpy(step.guess) * 2 - 1
                )
                if self.frames is not None:
                    self.frames.watch(told)
                if self.watch is not None:
                    self.watch(told, self.drawing.draws.magnetisation)
                self.progress(self.done + count * at / settings.steps)
            if at == until:
                break
            seen = bits

    def read_out(
        self,
        recorder: DrawRecorder,
        recording: Recording,
        store: str,
        *,
        before: DrawAccount | None = None,
        suspended: Mapping[str, Any] | None = None,
    ) -> tuple[list[Picture], DrawAccount]:
        """Read them, and give what each took, with what it took `before` it was suspended."""
        drawing, count = self.drawing, len(self.numbers)
        last = drawing.draws.read().reshape(len(drawing.cells), *self.run.checkpoint.pictures.shape)[:count]
        account = drawing.account(count, self.network.seconds)
        if before is not None:
            account = before + account
        buffer, block = recorder.block
        bits = {
            "source": "array", "simulated": drawing.array.simulated, "store": store, "recording": recording.uuid,
            "buffer": buffer, "block": block,
        }  # fmt: skip
        more = {"energy": account.model_dump(), **({} if suspended is None else {"suspended": suspended})}
        pictures = [
            self._picture(number, image, {"bits": {**bits, "cells": own.tolist()}, **more})
            for number, image, own in zip(self.numbers, last, drawing.cells, strict=False)
        ]
        return pictures, account

    def _picture(self, number: int, bits: np.ndarray, more: Mapping[str, Any]) -> Picture:
        run, image = self.run, torch.from_numpy(bits) * 2.0 - 1
        picture = Picture(number, run.labels[number], image, {})
        picture.provenance.update({
            "format": "memtj-picture",
            "format_version": 1,
            "picture": number,
            "label": run.labels[number],
            "shape": list(image.shape),
            "picture_sha256": picture_digest(image),
            "pixels_sha256": pixels_digest(pixels(picture)),
            **more,
            "process": "binary",
            "model_sha256": run.checkpoint.sha256,
            "model_config_sha256": run.checkpoint.config_sha256,
            "calibration": run.calibration.source,
            "sampling": {
                **run.settings.as_json(),
                **run.mode,
                "threads": torch.get_num_threads(),
                "scheduler_class": type(run.process).__name__,
                "scheduler_config": run.process.config,
            },
            "versions": picture_versions(),
        })  # fmt: skip
        return picture
