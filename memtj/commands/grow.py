"""`memtj grow`: pictures that form in the magnetisation of an array, one pulse a pixel and step."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from memtj._answer import answer
from memtj._errors import CommandError
from memtj._options import AsJson, BenchPath, ExitWithParent, WireLogPath
from memtj._outputs import refuse_unwritable
from memtj._processes import end_with_parent
from memtj._progress import ProgressDisplay
from memtj._quantities import si

if TYPE_CHECKING:
    from instruments import Bench
    from memtj.growing import Growing, Grown, RetentionLaw
    from sampler import Frames, RunFolder

_OF_THE_RUN = frozenset(
    {"out", "images", "labels", "steps", "mode", "floor", "microbatch", "animate", "suspend_at"}
)
_OF_A_SUSPENDED = frozenset({"delta", "delta_spread", "most_lost"})


def grow(
    context: typer.Context,
    bench_file: BenchPath,
    model: Annotated[Path, typer.Option(help="Checkpoint folder of 'memtj train --process binary'.")],
    calibration: Annotated[
        Path, typer.Option(help="File of 'memtj calibrate': its pulses and hold are used.")
    ],
    out: Annotated[Path | None, typer.Option(help="New folder for the pictures.")] = None,
    images: Annotated[int, typer.Option(min=1, help="How many pictures.")] = 20,
    store: Annotated[
        Path | None, typer.Option(help="Folder of the store for what is read; in --out by default.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="Labels to draw, in turn, such as 3,1,4; all that there are by default."),
    ] = None,
    steps: Annotated[
        int | None, typer.Option(min=1, help="Steps of the reverse process; all of the model's by default.")
    ] = None,
    mode: Annotated[
        Literal["flip", "write"],
        typer.Option(
            help="flip (what is stored) or write (reset every pixel, and draw it anew): the same law."
        ),
    ] = "flip",
    floor: Annotated[
        float,
        typer.Option(min=0, max=0.5, help="Flips less likely than this are left out, and have no pulse."),
    ] = 0.01,
    microbatch: Annotated[int, typer.Option(min=1, help="Pictures that the network sees at a time.")] = 16,
    grid: Annotated[int, typer.Option(min=1, help="Columns of the sheet of all pictures.")] = 10,
    animate: Annotated[
        Literal["gif", "apng"] | None, typer.Option(help="Also show how the pictures form.")
    ] = None,
    live: Annotated[
        Path | None, typer.Option(help="PNG file that shows the array's magnetisation after each step.")
    ] = None,
    suspend_at: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="STEP",
            help="End after so many steps, everything off: the pictures are in the junctions alone.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Go on with the run in this folder, suspended or ended early."),
    ] = None,
    delta: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1000,
            help="With --resume: thermal stability of the cells with everything off; the bench file's by default.",
        ),
    ] = None,
    delta_spread: Annotated[
        float | None,
        typer.Option(min=0, max=0.5, help="Its standard deviation from cell to cell, over it; likewise."),
    ] = None,
    most_lost: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.5,
            help="With --resume: the share of the sentinels that may have flipped, or it is refused.",
        ),
    ] = 1e-3,
    wire_log: WireLogPath = None,
    as_json: AsJson = False,
    exit_with_parent: ExitWithParent = False,
) -> None:
    """Grow pictures in an array: each step flips each cell with the probability that the network says; all off then."""
    from instruments import Bench, DrawCalibration
    from memtj.commands.sample import labels_of
    from memtj.growing import Growing, RetentionLaw, Suspended, resumed_run
    from sampler import SampleSettings, load_checkpoint

    if exit_with_parent:
        end_with_parent()
    is_suspended = resume is not None and Suspended.is_in(resume)
    _refuse_together(context, resume, suspend_at, is_suspended)
    folder = resume or out
    if folder is None:
        raise typer.BadParameter(
            "name a new folder for the pictures, or a run with --resume", param_hint="--out"
        )
    if resume is None:
        _refuse_used(folder)
    run = _Command(
        Bench.from_toml(bench_file, wire_log=wire_log), store or folder / "store", folder, animate,
        None if live is None else _Live(live).watch, grid, as_json,
    )  # fmt: skip
    known = DrawCalibration.load(calibration)
    checkpoint = load_checkpoint(model)
    if checkpoint.process != "binary":
        raise CommandError(
            f"{model} draws no pictures of bits: name a model of 'memtj train --process binary'."
        )
    if resume is not None:
        growing = resumed_run(resume, checkpoint, known)
        if not is_suspended:
            run.go_on(growing)
            return
        array = run.bench.array
        law = RetentionLaw(
            array.thermal_stability if delta is None else delta,
            array.thermal_stability_spread if delta_spread is None else delta_spread,
            most_lost,
        )
        run.resume(growing, law)
        return
    settings = SampleSettings(
        checkpoint.scheduler, steps or checkpoint.default_steps, microbatch=microbatch, floor=floor
    )
    wanted = labels_of(images, labels, checkpoint.pictures.labels)
    growing = Growing(checkpoint, settings, wanted, known, mode == "write")
    if suspend_at is None:
        run.grow(growing)
    else:
        run.suspend(growing, suspend_at)


def _refuse_together(
    context: typer.Context, resume: Path | None, suspend_at: int | None, is_suspended: bool
) -> None:
    """Raise CommandError where options are given that a suspended run, or one that is not, has no use for."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    given = {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}
    if suspend_at is not None and given & {"animate", "live"}:
        raise CommandError(
            "--animate and --live keep the pictures as they form in files, and --suspend-at leaves them in the "
            "junctions alone: leave one of them out."
        )
    cases = [
        (_OF_THE_RUN if resume else frozenset(), "with --resume, whose run has what it was begun with"),
        (frozenset() if is_suspended else _OF_A_SUSPENDED, "without --resume of a run that is suspended"),
    ]
    for others, why in cases:
        if wrong := sorted(given & others):
            named = ", ".join("--" + name.replace("_", "-") for name in wrong)
            raise CommandError(f"{named} means nothing {why}: leave it out.")


def _refuse_used(out: Path) -> None:
    from sampler import RunFolder

    RunFolder.refuse_used(out)
    refuse_unwritable(out)


@dataclass(frozen=True)
class _Command:
    """One call of the command: on which bench, what is kept where, and how it is shown."""

    bench: "Bench"
    store: Path
    out: Path
    animate: str | None
    watch: Any
    columns: int
    as_json: bool

    def grow(self, growing: "Growing") -> None:
        """Grow pictures from the first step to the last."""
        from memtj.growing import grow_pictures

        with ProgressDisplay() as display, self.bench:
            grown, folder, frames = grow_pictures(
                growing, self.bench, self.store, self.out,
                animate=self.animate, watch=self.watch, progress=self._progress(display, growing),
            )  # fmt: skip
        self._finish(growing, grown, folder, frames)

    def suspend(self, growing: "Growing", at: int) -> None:
        """Leave them in the junctions after some steps."""
        from memtj.growing import suspend_pictures

        with ProgressDisplay() as display, self.bench:
            left = suspend_pictures(
                growing, self.bench, self.store, self.out, at, progress=self._progress(display, growing)
            )
        outcome = {
            "images": len(growing.labels), "suspended_at": at, "steps": growing.settings.steps, "off": left.off,
            "sentinels": len(left.sentinels), "time": left.time, "temperature": left.temperature,
            "store": str(self.store), "out": str(self.out),
        }  # fmt: skip
        off = "everything is off" if left.off else "nobody has confirmed that everything is off: look at it"
        answer(
            self.as_json,
            outcome,
            [
                f"{len(growing.labels)} pictures are suspended after step {at} of {growing.settings.steps}, in the "
                f"junctions of the board alone; {off}. Go on with: memtj grow … --resume {self.out}"
            ],
        )

    def go_on(self, growing: "Growing") -> None:
        """Grow what a run that ended early has not come to."""
        with growing.open(self.out) as folder:
            if not folder.missing:
                raise CommandError(f"the run in {self.out} is finished: its pictures are there.")
        self.grow(growing)

    def resume(self, growing: "Growing", law: "RetentionLaw") -> None:
        """Go on with the pictures that are suspended."""
        from memtj.growing import reopened, resume_pictures

        with ProgressDisplay() as display, reopened(growing, self.out) as (folder, suspended), self.bench:
            grown = resume_pictures(
                growing, self.bench, self.store, folder, suspended, law,
                watch=self.watch, progress=self._progress(display, growing),
            )  # fmt: skip
        self._finish(growing, grown, folder, None)

    def _progress(self, display: ProgressDisplay, growing: "Growing") -> Callable[[float], None]:
        return display.task("growing", len(growing.labels), "pictures").advance_to

    def _finish(
        self, growing: "Growing", grown: "Grown", folder: "RunFolder", frames: "Frames | None"
    ) -> None:
        """Lay the pictures out, and say what they took."""
        from sampler import save_sheet

        kind = growing.checkpoint.pictures
        scale, told = max(1, 128 // max(kind.height, kind.width)), folder.provenance()
        save_sheet(folder.pixels(), self.out / "images.png", self.columns, scale, provenance=told)
        if frames is not None:
            frames.animate(self.columns, scale, told)
        outcome = _outcome(growing, grown, self.out, self.store)
        said = [] if grown.loss is None else [f"{grown.loss.sentence()}."]
        answer(self.as_json, outcome, [*said, _sentence(outcome)])


class _Live:
    """A picture of the magnetisation, written anew after each step: any viewer that looks again shows it live."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def watch(self, step: Any, magnetisation: Any) -> None:
        from sampler import save_sheet

        save_sheet([magnetisation.astype("uint8") * 255], self._path, 1, 2)


def _outcome(growing: "Growing", grown: "Grown", out: Path, store: Path) -> dict[str, Any]:
    from memtj.energy import LEVELS, total

    counts, images = grown.counts, grown.pictures
    return {
        "images": len(growing.labels),
        "grown": images,
        "steps": growing.settings.steps,
        "mode": "write" if growing.writes else "flip",
        "floor": growing.settings.floor,
        "bits_per_picture": counts.draws / images,
        "pulses_per_picture": (counts.pulses + counts.resets) / images,
        "resets_per_picture": counts.resets / images,
        "energy_per_picture": {level: total(grown.terms, level) for level in LEVELS},
        "energy_terms": [asdict(term) for term in grown.terms],
        "counts": asdict(counts),
        "straying_per_step": grown.straying,
        "seconds": grown.seconds,
        "network_seconds": grown.network_seconds,
        "simulated": grown.simulated,
        **({} if grown.loss is None else {"sentinels": asdict(grown.loss)}),
        "store": str(store),
        "out": str(out),
    }


def _sentence(outcome: dict[str, Any]) -> str:
    joules = outcome["energy_per_picture"]
    return (
        f"{outcome['grown']} pictures of {outcome['steps']} steps in {outcome['out']}"
        f"{' (simulated)' if outcome['simulated'] else ''}: {outcome['bits_per_picture']:,.0f} bits, "
        f"{outcome['pulses_per_picture']:,.0f} pulses ({outcome['resets_per_picture']:,.0f} of them resets) and "
        f"{si(joules['junction'], 'J')} at the junctions, {si(joules['circuit'], 'J')} with the circuit, "
        f"{si(joules['system'], 'J')} in all, a picture."
    )
