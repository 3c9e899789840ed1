"""Growing pictures: the reverse process of a binary network, each of whose steps an array draws and stores."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from entropy import RecordingPlan, Store
from instruments import Bench, DrawCalibration
from instruments.array import Array, BernoulliArray, DrawCounts, DrawDrift
from memtj import __version__
from memtj.energy import DrawAccount, Term, load_assumptions
from memtj.growing._energy import DrawEnergy
from memtj.growing._placing import most_pictures, place
from memtj.growing._recorder import DrawRecorder, calibrated_array, draws_plan
from memtj.growing._retention import refuse_forgetting
from sampler import (
    Checkpoint,
    Frames,
    Picture,
    RunFolder,
    SampleSettings,
    Step,
    picture_digest,
    picture_versions,
    pixels,
    pixels_digest,
)
from sampler.processes import BinaryProcess, Bits, Probabilities, grow

if TYPE_CHECKING:
    from entropy import Recording

Watch = Callable[[Step, np.ndarray], None]
"""Gets each step, and the magnetisation of the whole array, bool (rows, columns)."""


@dataclass(frozen=True)
class Grown:
    """What a run came to: `counts` of its draws, `straying` of the cells in a step, the energy of a picture by term."""

    counts: DrawCounts
    straying: float
    network_seconds: float
    seconds: float
    terms: tuple[Term, ...]
    simulated: bool


class _Network:
    """A network asked microbatch by microbatch, `between` which others may be told that we live."""

    def __init__(self, checkpoint: Checkpoint, size: int, between: Callable[[], None]) -> None:
        self._model, self._size, self._between = checkpoint.model, size, between
        self._labelled = checkpoint.pictures.labels is not None
        self.seconds = 0.0

    def ask(self, labels: Sequence[int | None], x: Bits, t: int) -> Probabilities:
        """Give P(x_0 = 1) of pictures x_t (pictures, channels, height, width); t counts from 1."""
        start, answers = time.monotonic(), []
        for at in range(0, len(x), self._size):
            part = torch.full((self._size, *x.shape[1:]), -1.0)
            count = min(self._size, len(x) - at)
            part[:count] = torch.from_numpy(x[at : at + count]) * 2.0 - 1
            classes = None
            if self._labelled:
                own = [label or 0 for label in labels[at : at + count]]
                classes = torch.tensor([*own, *[0] * (self._size - count)])
            with torch.no_grad():
                # The network counts its timesteps from 0.
                logits = self._model(part, t - 1, class_labels=classes).sample[:count]
            answers.append(torch.sigmoid(logits.double()).numpy())
            self._between()
        self.seconds += time.monotonic() - start
        return np.concatenate(answers)


@dataclass(frozen=True)
class Growing:
    """A run that is asked for: `labels` one a picture; `writes` draws anew instead of flipping what is stored."""

    checkpoint: Checkpoint
    settings: SampleSettings
    labels: Sequence[int | None]
    calibration: DrawCalibration
    writes: bool
    watchdog: float = 20.0

    def run(
        self,
        bench: Bench,
        store: Path,
        out: Path,
        *,
        animate: str | None = None,
        watch: Watch | None = None,
        progress: Callable[[float], None] = lambda done: None,
    ) -> tuple[Grown, RunFolder, Frames | None]:
        """Grow all pictures into `out`, as many at a time as the array holds; each lot is kept once it is read out.

        Nothing is made, and no cell is pulsed, before array, calibration, cells and retention are known to do. Raises
        CommandError where they do not, or a cell fails on the way. Everything is off at every end.
        """
        array = calibrated_array(bench, self.calibration)
        kind, used = self.checkpoint.pictures, self.calibration.used
        lot = min(len(self.labels), max(1, most_pictures(used, kind.height * kind.width * kind.channels)))
        cells = place(used, array.shape, lot, kind.height * kind.channels, kind.width)
        drift = DrawDrift(self.calibration.law)
        draws, assumed = BernoulliArray(array, drift, cells.ravel()), load_assumptions(None)
        network = _Network(self.checkpoint, self.settings.microbatch, array.keep_alive)
        step = self._seconds_of_a_step(lot)
        known = self.calibration.conditions
        # What is kept is closed after the output is off.
        with (
            contextlib.ExitStack() as kept,
            draws.switched_on(known.lowest, known.highest, hold=known.hold, watchdog=self.watchdog),
        ):
            energy = DrawEnergy(self.calibration, assumed)
            straying = refuse_forgetting(draws, step, known.hold)
            folder = kept.enter_context(RunFolder.open(out, self._described(), self.labels, __version__))
            opened = kept.enter_context(Store(store))
            recording = kept.enter_context(opened.record(self._plan(bench, array)))
            frames = None if animate is None else Frames(folder, out / f"images.{animate}")
            recorder = DrawRecorder(recording, draws, drift, energy, array.shape[1])
            draws.observe, before = recorder.take, draws.counts
            accounts: list[DrawAccount] = []  # one a picture
            for first in range(0, len(self.labels), lot):
                numbers = tuple(range(first, min(first + lot, len(self.labels))))
                told = _Lot(self, draws, network, energy, frames, watch, progress, numbers)
                pictures, own = told.pictures(recorder, recording, opened.uuid, cells, array.simulated)
                accounts += [own] * len(pictures)
                if frames is not None:
                    frames.save(pictures)
                folder.save(pictures)
                progress(numbers[-1] + 1)
            terms, counts = DrawAccount.mean(accounts).terms(assumed), draws.counts - before
            seconds = sum(each.seconds for each in accounts)
            grown = Grown(counts, straying.share, network.seconds, seconds, terms, array.simulated)
            return grown, folder, frames

    def _seconds_of_a_step(self, pictures: int) -> float:
        """Time a step of the network; the output is off."""
        network = _Network(self.checkpoint, self.settings.microbatch, lambda: None)
        x = np.zeros((pictures, *self.checkpoint.pictures.shape), np.uint8)
        network.ask(self.labels[:pictures], x, 1)  # which sets things up
        before = network.seconds
        network.ask(self.labels[:pictures], x, 1)
        return network.seconds - before

    def _plan(self, bench: Bench, array: Array) -> RecordingPlan:
        return draws_plan(
            bench, array, self.calibration, "grow", model=self.checkpoint.sha256, steps=self.settings.steps,
            floor=self.settings.floor, draws="write" if self.writes else "flip",
        )  # fmt: skip

    def _described(self) -> dict[str, Any]:
        return {
            "images": len(self.labels),
            "labels": None if None in self.labels else list(self.labels),
            "model": self.checkpoint.sha256,
            "model_config": self.checkpoint.config_sha256,
            **self.settings.as_json(),
            **self.process(),
            "source": "array",
            "calibration": self.calibration.source,
        }

    def process(self) -> dict[str, Any]:
        """What a picture's sampling says beside its settings."""
        return {"draws": "write" if self.writes else "flip"}


@dataclass(frozen=True)
class _Lot:
    """The pictures that are in the array at a time."""

    run: Growing
    draws: BernoulliArray
    network: _Network
    energy: DrawEnergy
    frames: Frames | None
    watch: Watch | None
    progress: Callable[[float], None]
    numbers: tuple[int, ...]

    def pictures(
        self, recorder: DrawRecorder, recording: "Recording", store: str, cells: np.ndarray, simulated: bool
    ) -> tuple[list[Picture], DrawAccount]:
        """Grow them, and read them out; gives what each took, too."""
        kind, count = self.run.checkpoint.pictures, len(self.numbers)
        before = self.draws.counts
        self.draws.read()  # what was there before
        self._grow()
        last = self.draws.read().reshape(len(cells), *kind.shape)[:count]
        bits_drawn = (self.draws.counts - before).draws
        account = self.energy.account(count, bits_drawn, self.network.seconds)
        buffer, block = recorder.block
        bits = {
            "source": "array", "simulated": simulated, "store": store, "recording": recording.uuid,
            "buffer": buffer, "block": block,
        }  # fmt: skip
        pictures = [
            self._picture(number, image, {**bits, "cells": own.tolist()}, account)
            for number, image, own in zip(self.numbers, last, cells, strict=False)
        ]
        return pictures, account

    def _grow(self) -> None:
        run, count = self.run, len(self.numbers)
        kind, process = run.checkpoint.pictures, BinaryProcess.from_config(run.checkpoint.card["scheduler"])
        labels = [run.labels[number] for number in self.numbers]
        steps = grow(
            process, lambda x, t: self.network.ask(labels, x, t), self.draws, (count, *kind.shape), run.settings.steps,
            writes=run.writes, floor=run.settings.floor,
        )  # fmt: skip
        seen = torch.zeros(0)
        for at, step in enumerate(steps):
            x = torch.from_numpy(step.x) * 2.0 - 1
            if at:
                told = Step(
                    self.numbers, at, run.settings.steps, x, seen, torch.from_numpy(step.guess) * 2 - 1
                )
                if self.frames is not None:
                    self.frames.watch(told)
                if self.watch is not None:
                    self.watch(told, self.draws.magnetisation)
                self.progress(self.numbers[0] + count * at / run.settings.steps)
            seen = x

    def _picture(
        self, number: int, bits: np.ndarray, source: Mapping[str, Any], account: DrawAccount
    ) -> Picture:
        run, image = self.run, torch.from_numpy(bits) * 2.0 - 1
        picture = Picture(number, run.labels[number], image, {})
        process = BinaryProcess.from_config(run.checkpoint.card["scheduler"])
        picture.provenance.update({
            "format": "memtj-picture",
            "format_version": 1,
            "picture": number,
            "label": run.labels[number],
            "shape": list(image.shape),
            "picture_sha256": picture_digest(image),
            "pixels_sha256": pixels_digest(pixels(picture)),
            "bits": source,
            "energy": account.model_dump(),
            "process": "binary",
            "model_sha256": run.checkpoint.sha256,
            "model_config_sha256": run.checkpoint.config_sha256,
            "calibration": run.calibration.source,
            "sampling": {
                **run.settings.as_json(),
                **run.process(),
                "threads": torch.get_num_threads(),
                "scheduler_class": type(process).__name__,
                "scheduler_config": process.config,
            },
            "versions": picture_versions(),
        })  # fmt: skip
        return picture
