"""Suspending a run, its pictures in the junctions alone, and going on with it."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from entropy import Store
from instruments import Bench, DrawCalibration
from memtj._errors import CommandError
from memtj.growing._drawing import switched_on
from memtj.growing._grow import Grown
from memtj.growing._growing import Growing
from memtj.growing._lot import Lot, Progress, Watch
from memtj.growing._recorder import calibrated_array
from memtj.growing._retention import refuse_forgetting
from memtj.growing._suspension import (
    RetentionLaw,
    SoFar,
    Suspended,
    known_pattern,
    place_sentinels,
    utc,
)
from sampler import Checkpoint, RunFolder, SampleSettings


def suspend_pictures(
    run: Growing,
    bench: Bench,
    store: Path,
    out: Path,
    at: int,
    *,
    progress: Progress = lambda done: None,
) -> Suspended:
    """Grow all pictures for `at` steps and leave them in the junctions, everything off; `resume_pictures` goes on.

    No bit of them is kept elsewhere. Sentinels beside them hold a known pattern. Raises CommandError as
    `grow_pictures`, and before anything where the pictures are too many to be in the array at once, beside the
    sentinels.
    """
    if not 1 <= at < run.settings.steps:
        raise CommandError(
            f"a run of {run.settings.steps} steps is suspended after 1 to {run.settings.steps - 1}, not {at}."
        )
    array = calibrated_array(bench, run.calibration)
    cells, network = run.place(array), run.network(array)
    count = len(cells)
    if count < len(run.labels):
        raise CommandError(
            f"what is suspended is in the array at once, and {count} of {len(run.labels)} pictures fit: grow fewer, "
            "or without --suspend-at."
        )
    sentinels = place_sentinels(run.calibration.used, cells.ravel())
    step = run.seconds_of_a_step(count)
    with contextlib.ExitStack() as kept:
        with switched_on(array, cells, run.calibration, run.watchdog) as drawing:
            straying = refuse_forgetting(drawing.draws, step, run.calibration.conditions.hold)
            kept.enter_context(run.open(out))
            opened = kept.enter_context(Store(store))
            plan = run.plan(bench, array, hidden=True, suspend_at=at)
            drawing.record(kept.enter_context(opened.record(plan)), hidden=True)
            drawing.draws.read()
            Lot(run, drawing, network, tuple(range(count)), 0, progress).grow(until=at)
            drawn = drawing.counts
            drawing.unrecorded()  # a pattern that is known is no draw; it is paid for all the same
            pattern = drawing.draws.write(known_pattern(len(sentinels)), sentinels)
            took = SoFar(drawn, straying.share, drawing.account(count, network.seconds))
            suspended = Suspended(
                at, run.checkpoint.sha256, run.process.config, array.identity, cells.tolist(), sentinels.tolist(),
                "".join(map(str, pattern)), utc().isoformat(timespec="seconds"), array.temperature(), False, took,
            )  # fmt: skip
            # A kill from here on leaves a run that can be resumed: the board goes off by itself.
            suspended.save(out)
            array.field(False)  # while the hold keeps what is stored
        suspended = replace(suspended, off=array.switch_off())
        suspended.save(out)
        return suspended


def resumed_run(out: Path, checkpoint: Checkpoint, calibration: DrawCalibration) -> Growing:
    """Give the run in a folder; raises CommandError where there is none, or its model or calibration is another."""
    told = RunFolder.begun_with(out)
    if told is None or told.get("source") != "array":
        raise CommandError(f"{out} holds no run of 'memtj grow': name its folder, or a new one with --out.")
    if (checkpoint.sha256, checkpoint.config_sha256) != (told["model"], told["model_config"]):
        raise CommandError(
            f"the run was begun with the model {told['model'][:12]}…, and this one is {checkpoint.sha256[:12]}…: name "
            "that one with --model."
        )
    if told["calibration"].get("sha256") != calibration.source.get("sha256"):
        raise CommandError(
            f"the run was begun with the calibration {told['calibration'].get('file')}, and this one is another: name "
            "that one with --calibration."
        )
    labels = told["labels"] or [None] * told["images"]
    # The file of the calibration may have another name by now.
    known = replace(calibration, source=told["calibration"])
    return Growing(checkpoint, SampleSettings.from_json(told), labels, known, told["draws"] == "write")


@contextlib.contextmanager
def reopened(run: Growing, out: Path) -> Iterator[tuple[RunFolder, Suspended]]:
    """Have the folder of a suspended run, others kept out; raises CommandError where it was resumed before."""
    with run.open(out) as folder:
        suspended = Suspended.load(out)
        suspended.refuse_resumed(len(folder.missing))
        yield folder, suspended


def resume_pictures(
    run: Growing,
    bench: Bench,
    store: Path,
    folder: RunFolder,
    suspended: Suspended,
    law: RetentionLaw,
    *,
    watch: Watch | None = None,
    progress: Progress = lambda done: None,
) -> Grown:
    """Go on with the pictures in the junctions, if the sentinels, which are read first, have kept their pattern.

    `folder` and `suspended`: as `reopened` gives them. Raises CommandError where more than `law` allows is lost, and
    BenchError where the board is another; then the run is suspended as before.
    """
    array = calibrated_array(bench, run.calibration)
    cells, network = np.array(suspended.cells), run.network(array)
    with (
        contextlib.ExitStack() as kept,
        switched_on(array, cells, run.calibration, run.watchdog, read=False) as drawing,
    ):
        now, kelvin = utc(), array.temperature()
        loss = suspended.lost(drawing.draws.read(np.array(suspended.sentinels)), now, law)
        law.refuse_lost(loss)
        opened = kept.enter_context(Store(store))
        recording = kept.enter_context(opened.record(run.plan(bench, array, resumed_at=suspended.step)))
        recorder, took = drawing.record(recording), suspended.so_far
        x = drawing.draws.read().reshape(len(cells), *run.checkpoint.pictures.shape)
        # From here on the cells have pulses, and only this process knows what is to come of them.
        resumed = now.isoformat(timespec="seconds")
        replace(suspended, resumed=resumed).save(folder.folder)
        lot = Lot(run, drawing, network, tuple(range(len(cells))), 0, progress, watch)
        lot.grow(after=suspended.step, x=x)
        told = {
            "step": suspended.step, "suspended": suspended.time, "resumed": resumed, "field_off": suspended.off,
            "temperature": [suspended.temperature, kelvin], "sentinels": asdict(loss),
        }  # fmt: skip
        pictures, account = lot.read_out(
            recorder, recording, opened.uuid, before=took.account, suspended=told
        )
        folder.save(pictures)
        counts = took.counts + drawing.counts
        return Grown.of(drawing, counts, took.straying, [account] * len(cells), loss)
