"""The forward process in an array: pictures are written, then noised by one pulse a pixel and step, and read."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.stats

from entropy import Store
from instruments import Bench, DrawCalibration
from instruments.array import BernoulliArray, DrawCounts, SwitchingLaw
from memtj.energy import Term
from memtj.growing._drawing import switched_on
from memtj.growing._placing import place
from memtj.growing._recorder import calibrated_array, draws_plan
from memtj.growing._retention import Straying, refuse_forgetting
from sampler.processes import BinaryProcess, Bits

FAMILY = 1e-6
"""The chance that any of a process's steps is outside its interval, where each flips as it was asked to."""


@dataclass(frozen=True, eq=False)
class NoisedStep:
    """The pictures after step `t` (0: as written), uint8, and the share of `cells` that `flipped` in it.

    `asked`: β_t; `low`, `high`: between which the share is to be, by counting, by the calibration's own interval, and
    by the share that flips by itself meanwhile, which is `strayed` at most.
    """

    t: int
    x: Bits
    cells: int
    asked: float = 0.0
    flipped: float = 0.0
    low: float = 0.0
    high: float = 0.0
    strayed: float = 0.0

    @property
    def inside(self) -> bool:
        """Whether the share is in its interval."""
        return self.low <= self.flipped <= self.high


def noise_forward(
    draws: BernoulliArray, law: SwitchingLaw, process: BinaryProcess, clean: Bits, straying: float = 0.0
) -> Iterator[NoisedStep]:
    """Write pictures of bits, (pictures, …), and noise them; yields them as they are read, and after each step.

    `straying`: at which rate a cell flips by itself, 1/s at most. What flips so in s of the cells takes the share of
    flips from β to β + s (1 - 2 β), which is no less than β.
    """
    flips = process.flips
    x = draws.write(clean)
    read = time.monotonic()
    yield NoisedStep(0, x, x.size)
    alpha = FAMILY / (4 * process.steps)  # half of the chance is for the rate
    for t, beta in enumerate(flips, 1):
        state = draws.magnetisation.ravel()
        low, high = (each[draws.cells[: x.size]].mean() for each in law.interval(float(beta), state))
        before, x = x, draws.flip(np.full(x.shape, beta))
        now = time.monotonic()
        strayed, read = -np.expm1(-straying * (now - read)), now
        yield NoisedStep(
            t, x, x.size, float(beta), float(np.mean(x != before)),
            float(scipy.stats.binom.ppf(alpha, x.size, low)) / x.size,
            float(scipy.stats.binom.isf(alpha, x.size, min(1.0, high + strayed))) / x.size,
            float(strayed),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Noised:
    """What noising pictures came to: each step, the `cells` of the pictures' pixels, and what the draws took.

    `terms`: the energy of a picture; `recording`: of the store, uuid.
    """

    steps: list[NoisedStep]
    cells: np.ndarray
    straying: Straying
    counts: DrawCounts
    terms: tuple[Term, ...]
    recording: str
    simulated: bool

    @property
    def outside(self) -> list[int]:
        """The steps whose share of flips is outside its interval."""
        return [step.t for step in self.steps if not step.inside]


def noise_pictures(
    bench: Bench,
    calibration: DrawCalibration,
    process: BinaryProcess,
    clean: Bits,
    store: Path,
    *,
    progress: Callable[[float], None] = lambda done: None,
    watchdog: float = 20.0,
) -> Noised:
    """Noise pictures of bits, (pictures, channels, height, width), in the array of an open bench.

    What is read is recorded, judged and followed as that of growing pictures. Raises CommandError where the pictures
    have no room, the array forgets, or a cell fails on the way. Everything is off at every end.
    """
    array, flips = (
        calibrated_array(bench, calibration),
        process.flips,
    )  # which takes seconds where it is first
    pictures, channels, height, width = clean.shape
    cells = place(calibration.used, array.shape, pictures, channels * height, width)
    with contextlib.ExitStack() as kept, switched_on(array, cells, calibration, watchdog) as drawing:
        start = time.monotonic()
        drawing.draws.read()
        # A step sends a table, pulses and reads: it takes longer than this, and its own time counts.
        straying = refuse_forgetting(drawing.draws, time.monotonic() - start, calibration.conditions.hold)
        opened = kept.enter_context(Store(store))
        plan = draws_plan(bench, array, calibration, "noise", steps=len(flips))
        recording = kept.enter_context(opened.record(plan))
        drawing.record(recording)
        steps = list[NoisedStep]()
        for step in noise_forward(drawing.draws, calibration.law, process, clean, straying.most):
            steps.append(step)
            progress(step.t)
        terms = drawing.account(pictures, 0.0).terms(drawing.assumptions)
        return Noised(steps, cells, straying, drawing.counts, terms, recording.uuid, array.simulated)
