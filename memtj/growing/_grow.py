"""Growing pictures: the reverse process of a binary network, each of whose steps an array draws and stores."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from entropy import Store
from instruments import Bench
from instruments.array import DrawCounts
from memtj.energy import DrawAccount, Term
from memtj.growing._drawing import Drawing, switched_on
from memtj.growing._growing import Growing
from memtj.growing._lot import Lot, Progress, Watch
from memtj.growing._recorder import calibrated_array
from memtj.growing._retention import refuse_forgetting
from memtj.growing._suspension import SentinelLoss
from sampler import Frames, RunFolder


@dataclass(frozen=True)
class Grown:
    """What `pictures` came to: `counts` of their draws, `straying` of the cells in a step, a picture's energy by term.

    `loss`: what the sentinels of a run that was resumed said.
    """

    pictures: int
    counts: DrawCounts
    straying: float
    network_seconds: float
    seconds: float
    terms: tuple[Term, ...]
    simulated: bool
    loss: SentinelLoss | None = None

    @classmethod
    def of(
        cls,
        drawing: Drawing,
        counts: DrawCounts,
        straying: float,
        accounts: Sequence[DrawAccount],
        loss: SentinelLoss | None = None,
    ) -> "Grown":
        """Give what pictures of these `accounts`, one each, came to."""
        return cls(
            len(accounts),
            counts,
            straying,
            sum(each.network_seconds for each in accounts),
            sum(each.seconds for each in accounts),
            DrawAccount.mean(accounts).terms(drawing.assumptions),
            drawing.array.simulated,
            loss,
        )


def grow_pictures(
    run: Growing,
    bench: Bench,
    store: Path,
    out: Path,
    *,
    animate: str | None = None,
    watch: Watch | None = None,
    progress: Progress = lambda done: None,
) -> tuple[Grown, RunFolder, Frames | None]:
    """Grow all pictures that `out` has not got, as many at a time as the array holds; a lot is kept once it is read.

    Nothing is made, and no cell is pulsed, before array, calibration, cells and retention are known to do. Raises
    CommandError where they do not, or a cell fails on the way. Everything is off at every end.
    """
    array = calibrated_array(bench, run.calibration)
    cells, network = run.place(array), run.network(array)
    step = run.seconds_of_a_step(len(cells))
    # What is kept is closed after the output is off.
    with (
        contextlib.ExitStack() as kept,
        switched_on(array, cells, run.calibration, run.watchdog) as drawing,
    ):
        straying = refuse_forgetting(drawing.draws, step, run.calibration.conditions.hold)
        folder = kept.enter_context(run.open(out))
        opened = kept.enter_context(Store(store))
        recording = kept.enter_context(opened.record(run.plan(bench, array)))
        frames = None if animate is None else Frames(folder, out / f"images.{animate}")
        recorder = drawing.record(recording)
        accounts: list[DrawAccount] = []  # one a picture
        missing = [number for number, _ in folder.missing]
        done = len(run.labels) - len(missing)
        for at in range(0, len(missing), len(cells)):
            numbers = tuple(missing[at : at + len(cells)])
            lot = Lot(run, drawing, network, numbers, done + at, progress, watch, frames)
            drawing.draws.read()  # what was there before
            lot.grow()
            pictures, account = lot.read_out(recorder, recording, opened.uuid)
            accounts += [account] * len(pictures)
            if frames is not None:
                frames.save(pictures)
            folder.save(pictures)
            progress(done + at + len(numbers))
        return Grown.of(drawing, drawing.counts, straying.share, accounts), folder, frames
